"""Calls as they are saved on `calls.state`: the keys, the values, and a call that nobody has asked for yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from msgspec import Struct

from pipeline.dialogue.call import Call, closed_at, record_id
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.tone import Tone
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.event import ReceivedEvent
from schemas.identity import KEY_SEPARATOR, Position
from schemas.identity import revision as revision_of
from schemas.records import Measured, source
from schemas.topics import CALL_STATE

NOWHERE = Position(0, -1)
"""Before every position."""


class StoredRecord(Struct, frozen=True, kw_only=True, tag_field="state", tag="record"):
    """A record of a call, as the calls stage remembers it."""

    opened_at: int
    epoch: int
    offset: int
    record: Measured


class StoredRecordHead(Struct, frozen=True, kw_only=True, tag_field="state", tag="record"):
    """What of a StoredRecord is read first."""

    opened_at: int


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


_RECORD_DECODER = msgspec.json.Decoder(StoredRecord)
_RECORD_HEAD_DECODER = msgspec.json.Decoder(StoredRecordHead)
_CALL_DECODER = msgspec.json.Decoder(StoredCall)
_GONE_DECODER = msgspec.json.Decoder(StoredGone)
_MARK_DECODER = msgspec.json.Decoder(StoredMark)

MARK_KEY = b"mark"
"""Of the partition's one StoredMark; the keys of calls have separators in them."""

_SEPARATOR = KEY_SEPARATOR.encode()


def head_key(key: bytes) -> bytes:
    """Of the StoredCall. key : of the call's records."""
    return key + _SEPARATOR


def gone_key(key: bytes) -> bytes:
    """Of the StoredGone."""
    return head_key(key) + b"gone"


def state_key(key: bytes, record: Measured) -> bytes:
    """Of the StoredRecord of this revision.

    Under one key for all revisions, a process that lost the partition without noticing, and writes what it had begun,
    would replace a newer revision that it does not know of.
    """
    kind, identity = record_id(record)
    received_at, content_hash = revision_of(source(record))
    return head_key(key) + KEY_SEPARATOR.join((kind, identity, str(received_at), content_hash)).encode()


def stored(call: Call, record: Measured, position: Position) -> bytes:
    """The StoredRecord."""
    return encode(StoredRecord(opened_at=call.opened_at, epoch=position.epoch, offset=position.offset, record=record))


def stored_call(call: Call) -> bytes:
    """The StoredCall."""
    return encode(_head(call))


def _head(call: Call) -> StoredCall:
    return StoredCall(
        workspace=call.workspace,
        call_id=call.call_id,
        opened_at=call.opened_at,
        closed=call.closed,
        rules=call.rules.version,
    )


class SavedRecord(NamedTuple):
    """A record as it was saved. revision : the greatest of a record's is the newest; value : a StoredRecord."""

    revision: tuple[int, bytes]
    state_key: bytes
    value: bytes

    def decoded(self) -> StoredRecord:
        """Raises Refused when it is not what this version saves."""
        return decode(_RECORD_DECODER, self.value)


@dataclass
class SavedCall:
    """A call as it was saved: what follows from its records is found when one more comes, or when it closes.

    Most calls that are kept are over, and are never asked for again; so they take half the memory, and a process that
    gets a day of them back is at work in seconds.

    records : the newest revision of each, by kind and id. due : when `Calls.advance` looks at it next [epoch ms].
    """

    head: StoredCall
    records: dict[tuple[bytes, bytes], SavedRecord] = field(default_factory=dict)
    due: int | None = None

    @classmethod
    def of(cls, key: bytes, call: Call) -> SavedCall:
        """The call as it would come back after a restart. key : of its records."""
        records = {}
        for (kind, identity), (record, position) in call.records.items():
            received_at, content_hash = revision_of(source(record))
            records[kind.encode(), identity.encode()] = SavedRecord(
                (received_at, content_hash.encode()), state_key(key, record), stored(call, record, position)
            )
        return cls(_head(call), records, call.due)

    @property
    def workspace(self) -> str:
        return self.head.workspace

    @property
    def call_id(self) -> str:
        return self.head.call_id

    @property
    def closed(self) -> bool:
        return self.head.closed

    def put(self, identity: tuple[bytes, bytes], record: SavedRecord) -> SavedRecord | None:
        """Keep the record if it is the newest revision; the one that is superseded, if one is."""
        known = self.records.get(identity)
        if known is not None and known.revision >= record.revision:
            return record
        self.records[identity] = record
        return known

    @property
    def received_ms(self) -> int:
        """When its latest record was received, epoch ms."""
        return max(record.revision[0] for record in self.records.values()) // 1000

    def closed_at(self) -> int:
        """As `Call.closed_at`."""
        ended = any(
            isinstance(event := record.decoded().record, ReceivedEvent) and event.type == "call_ended"
            for (kind, _), record in self.records.items()
            if kind == b"event"
        )
        return closed_at(self.received_ms, ended=ended)

    def awake(self, rules: Rules, tone: Tone) -> Call:
        """The call with its records taken in. Raises Refused when one is not what this version saves."""
        head = self.head
        call = Call(head.workspace, head.call_id, head.opened_at, rules, tone, closed=head.closed, due=self.due)
        call.has_rows_of_other_rules = head.rules != rules.version
        for saved in self.records.values():
            record = saved.decoded()
            call.add(record.record, Position(record.epoch, record.offset))
        return call


@dataclass
class Saved:
    """The state of a partition. calls, gone (its gone_at) : by the key of the call's records. litter : state keys of
    what belongs to no call, or is superseded.
    """

    mark: Position = NOWHERE
    calls: dict[bytes, SavedCall] = field(default_factory=dict)
    gone: dict[bytes, int] = field(default_factory=dict)
    litter: list[bytes] = field(default_factory=list)


def saved_state(values: Iterable[tuple[bytes, bytes]]) -> Saved:
    """The state from the newest value of each key, in any order. Raises Refused for a key that is none of ours."""
    found = Saved()
    records: list[tuple[bytes, tuple[bytes, bytes], SavedRecord]] = []
    for saved_under, value in values:
        *of_call, rest = saved_under.split(_SEPARATOR, 2)
        match rest.split(_SEPARATOR):
            case [kind, identity, received_at, content_hash] if of_call:
                revision = int(received_at), content_hash
                records.append((_SEPARATOR.join(of_call), (kind, identity), SavedRecord(revision, saved_under, value)))
            case [b""] if of_call:
                found.calls[_SEPARATOR.join(of_call)] = SavedCall(decode(_CALL_DECODER, value))
            case [b"gone"] if of_call:
                found.gone[_SEPARATOR.join(of_call)] = decode(_GONE_DECODER, value).gone_at
            case [b"mark"]:
                mark = decode(_MARK_DECODER, value)
                found.mark = Position(mark.epoch, mark.offset)
            case _:
                raise Refused(
                    f"{CALL_STATE.name}: the key {saved_under!r} is none that this version saves; delete the topic and "
                    f"make it anew with `mise-voice migrate` (calls that are open begin anew), or run the version that "
                    f"saved it"
                )
    for key, record_of, record in records:
        call = found.calls.get(key)
        if call is None or call.head.opened_at != decode(_RECORD_HEAD_DECODER, record.value).opened_at:
            found.litter.append(record.state_key)  # a crash while its call was being forgotten
            continue
        superseded = call.put(record_of, record)
        if superseded is not None:  # a crash before it was deleted, or a process that did not know of the newer one
            found.litter.append(superseded.state_key)
    # A crash between the saving of a call and of its first record: both come again.
    found.calls = {key: call for key, call in found.calls.items() if call.records}
    return found
