"""A turn as it is sent: the fields of `POST /v1/turns`, with the audio as bytes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Role = Literal["user", "agent", "human_agent"]
AudioFormat = Literal["wav", "flac", "ogg", "mp3", "pcm_s16le", "mulaw"]
Instant = float | datetime
"""Epoch seconds, or a datetime with a zone."""

RAW_FORMATS: frozenset[str] = frozenset({"pcm_s16le", "mulaw"})


def new_id() -> str:
    """An id that nobody else makes: sent again under it, a turn or an event is the same one."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Audio:
    """The audio of a turn; sample 0 is at the turn's `started_at`.

    data : the file, or the raw samples, interleaved.
    sample_rate, channels : of raw samples (`pcm_s16le`, `mulaw`), Hz, 1 or 2; any other format says them itself.
    channel : which one is this participant's, or the mean of all.
    Raises ValueError when it is empty, or raw without a sample rate; TypeError when it is no bytes.
    """

    data: bytes = field(repr=False)
    format: AudioFormat
    sample_rate: int | None = None
    channels: int | None = None
    channel: Literal[0, 1, "mix"] = "mix"

    def __post_init__(self) -> None:
        if not isinstance(self.data, bytes):
            raise TypeError(f"data: {type(self.data).__name__}; bytes(…) makes what can be kept, and counted in bytes")
        if not self.data:
            raise ValueError("data: empty; leave the audio out of a turn without audio")
        if self.format in RAW_FORMATS and self.sample_rate is None:
            raise ValueError(f"sample_rate: {self.format} has no header; give its samples per second")


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word with its times, on the clock of the turn's `started_at`."""

    w: str
    start: Instant
    end: Instant

    def __post_init__(self) -> None:
        check_instants(self, "start", "end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where the turn was spoken, in the terms of the voice platform."""

    name: str | None = None
    sid: str | None = None
    participant_sid: str | None = None
    connected_at: Instant | None = None

    def __post_init__(self) -> None:
        check_instants(self, "connected_at")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One participant's turn in a call.

    participant : an anonymous id; phone numbers and e-mail addresses are refused by the gateway.
    turn_id : a turn sent again under it replaces the first; made here when it is not given.
    Raises ValueError for a datetime without a zone. What else is wrong with it the gateway says.
    """

    call_id: str
    participant: str
    role: Role
    text: str = field(repr=False)
    started_at: Instant
    ended_at: Instant
    turn_id: str = field(default_factory=new_id)
    audio: Audio | None = None
    language: str | None = None
    interrupted: bool | None = None
    words: Sequence[SpokenWord] | None = field(default=None, repr=False)
    room: Room | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_instants(self, "started_at", "ended_at")
        # It is sent later, and must be then what it is now.
        if self.words is not None:
            object.__setattr__(self, "words", tuple(self.words))
        if self.metadata is not None:
            object.__setattr__(self, "metadata", dict(self.metadata))


def check_instants(record: object, *names: str) -> None:
    """Raise ValueError for a datetime without a zone: it is another instant on another machine."""
    for name in names:
        value = getattr(record, name)
        if isinstance(value, datetime) and value.utcoffset() is None:
            raise ValueError(
                f"{name}: {value.isoformat()} has no zone; use datetime.now(timezone.utc), or epoch seconds"
            )
