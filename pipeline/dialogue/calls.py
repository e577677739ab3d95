"""The calls of one partition: records in, annotated records, summaries and state changes out.

No I/O and no clock: the calls stage feeds it, sends what it returns, saves the state changes, and then acknowledges.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from pipeline.dialogue.baseline import score
from pipeline.dialogue.call import (
    KEPT_MS,
    MAX_PARTICIPANTS,
    Call,
    RecordId,
    annotated_event,
    annotated_turn,
    received_ms,
    record_id,
    summary,
)
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.tone import NO_TONE, Tone
from schemas.annotated import AnnotatedEvent, AnnotatedTurn, CallSummary
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.identity import KEY_SEPARATOR, Position, record_key, revision
from schemas.instants import to_iso
from schemas.measured import MeasuredTurn
from schemas.records import Measured, source

GONE_KEPT_MS = 35 * 24 * 60 * 60 * 1000
"""How long it is remembered that a call was there: as long as its records can be read from the topics."""


NOWHERE = Position(0, -1)


class StoredRecord(Struct, frozen=True, kw_only=True, tag_field="state", tag="record"):
    """A record of a call, as the calls stage remembers it."""

    opened_at: int
    epoch: int
    offset: int
    record: Measured


class StoredCall(Struct, frozen=True, kw_only=True, tag_field="state", tag="call"):
    """A call as such, while its records are kept. rules : by which its rows were made."""

    workspace: str
    call_id: str
    opened_at: int
    closed: bool = False
    rules: str = ""


class StoredGone(Struct, frozen=True, kw_only=True, tag_field="state", tag="gone"):
    """That there was a call. gone_at : epoch ms at which its records were forgotten."""

    workspace: str
    call_id: str
    gone_at: int


class StoredMark(Struct, frozen=True, kw_only=True, tag_field="state", tag="mark"):
    """How far outputs may have been sent: the last record of the newest batch."""

    epoch: int
    offset: int


MARK_KEY = b"mark"
"""Of the partition's one StoredMark; the keys of calls have a separator in them."""

_DECODER: msgspec.json.Decoder[StoredRecord | StoredCall | StoredGone | StoredMark] = msgspec.json.Decoder(
    StoredRecord | StoredCall | StoredGone | StoredMark
)


@dataclass(frozen=True)
class Refusal:
    """A record that no call takes. index : its place in what `apply` was given."""

    index: int
    error: Refused


@dataclass
class Changes:
    """What a step changed, in the order in which it has to be made durable: mark, then outputs, then state.

    mark, state : (key, value) for the compacted state topic, None deletes. annotated, summaries : with their record
    keys.
    """

    mark: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    annotated: list[tuple[bytes, AnnotatedTurn | AnnotatedEvent]] = field(default_factory=list)
    summaries: list[tuple[bytes, CallSummary]] = field(default_factory=list)
    state: list[tuple[bytes, bytes | None]] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


class Calls:
    """The calls of one partition.

    `restore` what was saved, then `apply` records in the order of the partition, and `advance` the time now and then.
    """

    def __init__(self, generation: int, rules: Rules, tone: Tone = NO_TONE) -> None:
        self._generation = generation
        self._rules = rules
        self._tone = tone
        self._calls: dict[bytes, Call] = {}
        self._due: list[tuple[int, bytes]] = []
        """A heap of when to look at a call again: the entry that says its `due`, and few that are out of date."""
        self._gone: dict[bytes, int] = {}
        """gone_at of the newest forgotten call of a key [epoch ms]; what began by then belongs to it or to an older."""
        self._gone_due: list[tuple[int, bytes]] = []
        self._sent_to = NOWHERE
        """How far outputs may have been sent by a process that did not get to save what they were made from."""
        self._litter: list[bytes] = []
        """Keys on the state topic that belong to no call: deleted with the next change, before anything is saved."""
        self.watermark_ms = 0
        """The greatest received_at seen [epoch ms]: the partition's stream time."""

    def __len__(self) -> int:
        """Calls in memory, open ones and closed ones still kept."""
        return len(self._calls)

    @property
    def open(self) -> int:
        """Those that are not closed."""
        return sum(not call.closed for call in self._calls.values())

    def restore(self, saved: Iterable[tuple[bytes, bytes]]) -> None:
        """Take back the state as it was saved: the newest value of each key, in any order.

        Raises Refused when a value is not what this version saves.
        """
        records: list[tuple[bytes, StoredRecord]] = []
        for state_key, value in saved:
            stored = decode(_DECODER, value)
            if isinstance(stored, StoredRecord):
                records.append((state_key, stored))
                continue
            if isinstance(stored, StoredMark):
                self._sent_to = Position(stored.epoch, stored.offset)
                continue
            key = record_key(stored.workspace, stored.call_id)
            if isinstance(stored, StoredGone):
                self._remember(key, stored.gone_at)
            else:
                restored = self._calls[key] = Call(
                    stored.workspace, stored.call_id, stored.opened_at, self._rules, self._tone, closed=stored.closed
                )
                restored.has_rows_of_other_rules = stored.rules != self._rules.version
        newest: dict[tuple[bytes, RecordId], bytes] = {}
        for state_key, stored in records:
            origin = source(stored.record)
            key = record_key(origin.workspace, origin.call_id)
            call = self._calls.get(key)
            if call is None or call.opened_at != stored.opened_at:  # a crash while its call was being forgotten
                self._litter.append(state_key)
                continue
            self.watermark_ms = max(self.watermark_ms, received_ms(stored.record))
            place = key, record_id(stored.record)
            if call.add(stored.record, Position(stored.epoch, stored.offset)):
                superseded, newest[place] = newest.get(place), state_key
            else:
                superseded = state_key
            if superseded is not None:  # a crash before it was deleted, or a process that did not know of the newer one
                self._litter.append(superseded)
        for key in [key for key, call in self._calls.items() if not call.records]:
            # A crash between the saving of a call and of its first record: both come again.
            del self._calls[key]
        for key, call in self._calls.items():
            self._schedule(key, call)

    def apply(self, batch: Sequence[tuple[Position, Measured]]) -> Changes:
        """Take records into their calls and annotate the calls that changed.

        Every turn whose annotation or z changed is emitted, new or not, under the position of the call's newest record.

        Changed against what was emitted before, and after a crash that is not known: the batch that was under way may
        have been another one, and its outputs, made from records that come again now, are durable already. What they
        said may be neither what the saved state says nor what is said after this batch. So a call that takes a record
        which stood in that batch (`mark` tells how far it went) has all its turns emitted.
        """
        changes = self._changes()
        if batch:
            last = max(batch[-1][0], self._sent_to)
            changes.mark.append((MARK_KEY, encode(StoredMark(epoch=last.epoch, offset=last.offset))))
        touched: dict[bytes, set[RecordId]] = {}
        for index, (position, record) in enumerate(batch):
            origin = source(record)
            key = record_key(origin.workspace, origin.call_id)
            self.watermark_ms = max(self.watermark_ms, received_ms(record))
            try:
                call = self._call_of(key, record, touched, changes)
            except Refused as error:
                changes.refused.append(Refusal(index, error))
                continue
            if call.annotation is None and key not in touched:
                call.annotate()
            known = call.records.get(record_id(record))
            if call.add(record, position):
                if position <= self._sent_to or call.has_rows_of_other_rules:
                    call.annotation = None
                touched.setdefault(key, set()).add(record_id(record))
                if call.closed:
                    # Saved before the record: after a crash in between, the call closes once more. The other way round
                    # it would be taken for closed with the record in it, and the closed summary would never come.
                    call.closed = False
                    changes.state.append((_head_key(key), _stored_call(call)))
                changes.state.append((_state_key(key, record), _stored(call, record, position)))
                if known is not None:
                    changes.state.append((_state_key(key, known[0]), None))
        score(self._calls[key].baselines for key in touched)
        for key, new in touched.items():
            self._annotate(key, new, changes)
        return changes

    def advance(self, now_ms: int) -> Changes:
        """Close the calls whose moment has passed, and forget those kept long enough.

        now_ms : stream time, or the clock once the partition is read to its end [epoch ms].
        """
        changes = self._changes()
        while self._due and self._due[0][0] <= now_ms:
            due, key = heapq.heappop(self._due)
            call = self._calls.get(key)
            if call is None or call.due != due:
                continue
            call.due = None
            if _next_moment(call) <= now_ms:
                if call.closed:
                    self._forget(key, call, changes)
                    continue
                self._close(key, call, changes)
            self._schedule(key, call)
        while self._gone_due and self._gone_due[0][0] <= now_ms:
            due, key = heapq.heappop(self._gone_due)
            if self._gone.get(key) == due - GONE_KEPT_MS:
                del self._gone[key]
                changes.state.append((_gone_key(key), None))
        return changes

    def _changes(self) -> Changes:
        changes = Changes(state=[(state_key, None) for state_key in self._litter])
        self._litter.clear()
        return changes

    def _call_of(self, key: bytes, record: Measured, touched: dict[bytes, set[RecordId]], changes: Changes) -> Call:
        origin = source(record)
        call = self._calls.get(key)
        if call is not None and received_ms(record) >= call.closed_at() + KEPT_MS:
            # A backlog holds both: the end of a call, and more than a day later the next of the same id.
            if key in touched:
                self._annotate(key, touched.pop(key), changes)
            if not call.closed:
                self._close(key, call, changes)
            self._forget(key, call, changes)
            call = None
        gone_at = self._gone.get(key)
        began = record.turn.started_at if isinstance(record, MeasuredTurn) else record.at
        if gone_at is not None and began <= gone_at:
            raise Refused(
                f"call {origin.call_id!r} was closed and forgotten; a {record_id(record)[0]} of {to_iso(began)} "
                f"belongs to it: reprocess its topics to take it in",
                reason="call_expired",
            )
        if call is None:
            call = self._calls[key] = Call(
                origin.workspace, origin.call_id, received_ms(record), self._rules, self._tone
            )
            changes.state.append((_head_key(key), _stored_call(call)))
        if not call.takes(record):
            raise Refused(
                f"call {origin.call_id!r} has {MAX_PARTICIPANTS} participants already; is participant an id of the "
                f"speaker, the same in all of its turns?",
                field="participant",
                reason="too_many_participants",
            )
        return call

    def _annotate(self, key: bytes, new: set[RecordId], changes: Changes) -> None:
        call = self._calls[key]
        before = call.annotation
        after = call.annotate()
        version = call.newest.version()
        turns = {identity for identity in call.records if identity[0] == "turn"} if before is None else call.changed
        for identity in sorted(new | turns, key=lambda identity: call.records[identity][1]):
            record, _ = call.records[identity]
            if isinstance(record, MeasuredTurn):
                changes.annotated.append((key, annotated_turn(call, after, record, version, self._generation)))
            else:
                changes.annotated.append((key, annotated_event(call, record, version, self._generation)))
        changes.summaries.append((key, summary(call, after, self._generation)))
        if call.has_rows_of_other_rules:
            call.has_rows_of_other_rules = False
            changes.state.append((_head_key(key), _stored_call(call)))
        self._schedule(key, call)

    def _schedule(self, key: bytes, call: Call) -> None:
        """See to it that `advance` looks at the call in time; one entry serves however often the moment is put off."""
        moment = _next_moment(call)
        if call.due is None or moment < call.due:
            call.due = moment
            heapq.heappush(self._due, (moment, key))

    def _close(self, key: bytes, call: Call, changes: Changes) -> None:
        if call.has_rows_of_other_rules:
            call.annotation = None
            self._annotate(key, set(), changes)
        call.closed = True
        changes.summaries.append((key, summary(call, call.annotation or call.annotate(), self._generation)))
        changes.state.append((_head_key(key), _stored_call(call)))

    def _forget(self, key: bytes, call: Call, changes: Changes) -> None:
        """Drop the records of a call that was kept long enough, and remember that it was there.

        In this order: a crash in between leaves a call that is forgotten once more, or records that belong to no call.
        """
        del self._calls[key]
        gone_at = call.closed_at() + KEPT_MS
        self._remember(key, gone_at)
        gone = StoredGone(workspace=call.workspace, call_id=call.call_id, gone_at=gone_at)
        changes.state.append((_gone_key(key), encode(gone)))
        changes.state.append((_head_key(key), None))
        changes.state.extend((_state_key(key, record), None) for record, _ in call.records.values())

    def _remember(self, key: bytes, gone_at: int) -> None:
        self._gone[key] = gone_at
        heapq.heappush(self._gone_due, (gone_at + GONE_KEPT_MS, key))


def _next_moment(call: Call) -> int:
    return call.closed_at() + (KEPT_MS if call.closed else 0)


def _head_key(key: bytes) -> bytes:
    return key + KEY_SEPARATOR.encode()


def _gone_key(key: bytes) -> bytes:
    return _head_key(key) + b"gone"


def _state_key(key: bytes, record: Measured) -> bytes:
    """Of this revision: under one key for all of them, a process that lost the partition without noticing, and writes
    what it had begun, would replace a newer revision that it does not know of.
    """
    kind, identity = record_id(record)
    received_at, content_hash = revision(source(record))
    return _head_key(key) + KEY_SEPARATOR.join((kind, identity, str(received_at), content_hash)).encode()


def _stored(call: Call, record: Measured, position: Position) -> bytes:
    return encode(StoredRecord(opened_at=call.opened_at, epoch=position.epoch, offset=position.offset, record=record))


def _stored_call(call: Call) -> bytes:
    return encode(
        StoredCall(
            workspace=call.workspace,
            call_id=call.call_id,
            opened_at=call.opened_at,
            closed=call.closed,
            rules=call.rules.version,
        )
    )
