"""What makes two records the same thing, and which of two is newer. Pure functions, the same in every stage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from schemas.event import ReceivedEvent
from schemas.turn import ReceivedTurn, Role

KEY_SEPARATOR = "\x1f"
"""Between workspace and call_id in a record key; control characters are refused in both."""

OFFSET_BITS = 40
"""10^12 records a partition: 30 years at 1,000 a second."""

R = TypeVar("R", ReceivedTurn, ReceivedEvent)

_HASHED = msgspec.json.Encoder(order="deterministic")
"""As the one encoding, with the keys of maps in order: a JSON object means the same whatever their order."""


def record_key(workspace: str, call_id: str) -> bytes:
    """Key of every record of a call: all of them share a partition, in every topic."""
    return f"{workspace}{KEY_SEPARATOR}{call_id}".encode()


def default_turn_id(participant: str, role: Role, started_at: int) -> str:
    """The id of a turn sent without one: the same turn sent again has the same. started_at in epoch ms."""
    return _digest(participant, role, str(started_at))


def default_event_id(event: ReceivedEvent) -> str:
    """The id of an event sent without one: a hash of all that it says."""
    return _digest(_HASHED.encode(msgspec.structs.replace(event, event_id="", content_hash="", received_at=0)).decode())


def with_content_hash(record: R) -> R:
    """The record with `content_hash` over everything but `received_at`."""
    plain = msgspec.structs.replace(record, content_hash="", received_at=0)
    return msgspec.structs.replace(record, content_hash=_digest(_HASHED.encode(plain).decode()))


def revision(record: ReceivedTurn | ReceivedEvent) -> tuple[int, str]:
    """Among records of one identity the greatest wins, whatever their order in the log."""
    return record.received_at, record.content_hash


def _digest(*parts: str) -> str:
    return hashlib.sha256(KEY_SEPARATOR.join(parts).encode()).hexdigest()[:32]


@dataclass(frozen=True, order=True)
class Position:
    """A place in `turns.measured` that stays comparable when the topic is made anew.

    epoch : rises whenever the topic is created, see `pipeline.kafka.topics`. offset : in the record's partition.
    """

    epoch: int
    offset: int

    def version(self, *, closed: bool = False) -> int:
        """Version of a row into which the record here was the newest to go: an unsigned 64-bit integer.

        The epoch counts before the offset, the offset before `closed`: a closed call's summary replaces the open one
        made from the same records, and a later record replaces both.
        """
        return (self.epoch << OFFSET_BITS + 1) | (self.offset << 1) | int(closed)
