"""The calls of one partition: records in, annotated records, summaries and state changes out.

No I/O and no clock: the calls stage feeds it, sends what it returns, saves the state changes, and then acknowledges.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

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
from pipeline.dialogue.stored import (
    MARK_KEY,
    NOWHERE,
    SavedCall,
    StoredGone,
    StoredMark,
    gone_key,
    head_key,
    saved_state,
    state_key,
    stored,
    stored_call,
)
from pipeline.dialogue.tone import NO_TONE, Tone
from schemas.annotated import AnnotatedEvent, AnnotatedTurn, CallSummary
from schemas.codec import encode
from schemas.errors import Refused
from schemas.identity import KEY_SEPARATOR, Position, record_key
from schemas.instants import to_iso
from schemas.measured import MeasuredTurn
from schemas.records import Measured, source

GONE_KEPT_MS = 35 * 24 * 60 * 60 * 1000
"""How long it is remembered that a call was there: as long as its records can be read from the topics."""


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
        self._saved: dict[bytes, SavedCall] = {}
        """The other calls: closed, or of an earlier process, and not asked for since."""
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
        return len(self._calls) + len(self._saved)

    @property
    def open(self) -> int:
        """Those that are not closed."""
        return sum(not call.closed for calls in (self._calls, self._saved) for call in calls.values())

    def restore(self, values: Iterable[tuple[bytes, bytes]]) -> None:
        """Take back the state as it was saved: the newest value of each key, in any order.

        Raises Refused when it is not what this version saves; so do `apply` and `advance`, for a call's records.
        """
        saved = saved_state(values)
        self._saved = saved.calls
        self._litter = saved.litter
        self._sent_to = saved.mark
        for key, gone_at in saved.gone.items():
            self._remember(key, gone_at)
        for key, call in self._saved.items():
            self.watermark_ms = max(self.watermark_ms, call.received_ms)
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
            self._wake(key)
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
                    changes.state.append((head_key(key), stored_call(call)))
                changes.state.append((state_key(key, record), stored(call, record, position)))
                if known is not None:
                    changes.state.append((state_key(key, known[0]), None))
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
            call: Call | SavedCall | None = self._calls.get(key) or self._saved.get(key)
            if call is None or call.due != due:
                continue
            call.due = None
            if _next_moment(call) > now_ms:
                self._schedule(key, call)
            elif call.closed:
                self._forget(key, call, changes)
            else:
                self._wake(key)
                self._close(key, self._calls[key], changes)
                self._saved[key] = SavedCall.of(key, self._calls.pop(key))
                self._schedule(key, self._saved[key])
        while self._gone_due and self._gone_due[0][0] <= now_ms:
            due, key = heapq.heappop(self._gone_due)
            if self._gone.get(key) == due - GONE_KEPT_MS:
                del self._gone[key]
                changes.state.append((gone_key(key), None))
        return changes

    def _changes(self) -> Changes:
        changes = Changes(state=[(state_key, None) for state_key in self._litter])
        self._litter.clear()
        return changes

    def _wake(self, key: bytes) -> None:
        """Take in the records of a call that is kept as it was saved. Raises Refused when it can't."""
        saved = self._saved.get(key)
        if saved is not None:
            self._calls[key] = saved.awake(self._rules, self._tone)
            del self._saved[key]

    def _call_of(self, key: bytes, record: Measured, touched: dict[bytes, set[RecordId]], changes: Changes) -> Call:
        origin = source(record)
        kind, identity = record_id(record)
        for name, value in (
            ("workspace", origin.workspace),
            ("call_id", origin.call_id),
            (f"{kind}_id", identity),
            ("content_hash", origin.content_hash),
        ):
            if KEY_SEPARATOR in value:
                raise Refused(f"{name}: {value!r} has a control character; the gateway takes none", field=name)
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
                f"call {origin.call_id!r} was closed and forgotten; a {kind} of {to_iso(began)} "
                f"belongs to it: reprocess its topics to take it in",
                reason="call_expired",
            )
        if call is None:
            call = self._calls[key] = Call(
                origin.workspace, origin.call_id, received_ms(record), self._rules, self._tone
            )
            changes.state.append((head_key(key), stored_call(call)))
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
            changes.state.append((head_key(key), stored_call(call)))
        self._schedule(key, call)

    def _schedule(self, key: bytes, call: Call | SavedCall) -> None:
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
        changes.state.append((head_key(key), stored_call(call)))

    def _forget(self, key: bytes, call: Call | SavedCall, changes: Changes) -> None:
        """Drop the records of a call that was kept long enough, and remember that it was there.

        In this order: a crash in between leaves a call that is forgotten once more, or records that belong to no call.
        """
        gone_at = call.closed_at() + KEPT_MS
        self._remember(key, gone_at)
        gone = StoredGone(workspace=call.workspace, call_id=call.call_id, gone_at=gone_at)
        changes.state.append((gone_key(key), encode(gone)))
        changes.state.append((head_key(key), None))
        if isinstance(call, SavedCall):
            del self._saved[key]
            changes.state.extend((record.state_key, None) for record in call.records.values())
        else:
            del self._calls[key]
            changes.state.extend((state_key(key, record), None) for record, _ in call.records.values())

    def _remember(self, key: bytes, gone_at: int) -> None:
        self._gone[key] = gone_at
        heapq.heappush(self._gone_due, (gone_at + GONE_KEPT_MS, key))


def _next_moment(call: Call | SavedCall) -> int:
    return call.closed_at() + (KEPT_MS if call.closed else 0)
