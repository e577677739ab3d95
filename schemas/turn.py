"""A turn: as a client sends it (`Turn`), and as the gateway publishes it (`ReceivedTurn`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Role = Literal["user", "agent", "human_agent"]
AudioFormat = Literal["wav", "flac", "ogg", "mp3", "pcm_s16le", "mulaw"]
AudioChannel = Literal[0, 1, "mix"]

RAW_FORMATS: frozenset[str] = frozenset({"pcm_s16le", "mulaw"})
"""Formats without a header: their `sample_rate` has to be declared."""

Instant = Annotated[
    int | float | str,
    Meta(description="Epoch seconds (fractions allowed), or ISO 8601 with a zone, e.g. 2026-01-31T09:30:00.250Z."),
]
CallId = Annotated[str, Meta(description="Groups turns, whichever worker or room they come from; 1 to 256 bytes.")]
Participant = Annotated[
    str,
    Meta(
        description="Who speaks, as an anonymous id of 1 to 256 bytes. "
        "Phone numbers, e-mail addresses and SIP URIs with a number are refused."
    ),
]


class SpokenWord(Struct, frozen=True, forbid_unknown_fields=True):
    """A word with its times, as a client sends it."""

    w: Annotated[str, Meta(description="The word as transcribed.")]
    start: Instant
    end: Instant


class Room(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the turn was spoken, in the terms of the voice platform; all optional."""

    name: Annotated[str | None, Meta(description="Room name; rooms are reused, so it does not identify a call.")] = None
    sid: Annotated[str | None, Meta(description="The platform's id of the room session.")] = None
    participant_sid: Annotated[str | None, Meta(description="The platform's id of the participant's session.")] = None
    connected_at: Annotated[Instant | None, Meta(description="When the participant connected.")] = None


class Turn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/turns`: one participant's turn in a call."""

    call_id: CallId
    participant: Participant
    role: Annotated[Role, Meta(description="What the participant is in the call.")]
    text: Annotated[str, Meta(description="What was said, at most 100 kB; empty when unknown.")]
    started_at: Instant
    ended_at: Instant
    turn_id: Annotated[
        str | None,
        Meta(
            description="The sender's idempotency key, 1 to 256 bytes: a turn sent again under it replaces the first. "
            "Default: a hash of participant, role and started_at in whole milliseconds."
        ),
    ] = None
    audio_b64: Annotated[
        str | None,
        Meta(description="The turn's audio in base64 (RFC 4648, standard alphabet). Sample 0 is at started_at."),
    ] = None
    audio_format: Annotated[
        AudioFormat | None,
        Meta(description="Format of the audio; may be left out for wav, flac, ogg and mp3, which say it themselves."),
    ] = None
    sample_rate: Annotated[
        Annotated[int, Meta(ge=8_000, le=48_000)] | None,
        Meta(description="Samples per second and channel; needed for pcm_s16le and mulaw."),
    ] = None
    channels: Annotated[
        Annotated[int, Meta(ge=1, le=2)] | None,
        Meta(description="Channels of pcm_s16le or mulaw audio; default 1."),
    ] = None
    audio_channel: Annotated[
        AudioChannel, Meta(description="Which channel is this participant's: 0, 1, or mix (the mean of all).")
    ] = "mix"
    language: Annotated[str | None, Meta(description="BCP 47 tag of the language spoken, e.g. en or de-CH.")] = None
    interrupted: Annotated[
        bool | None, Meta(description="Whether the voice platform says that this turn was cut off.")
    ] = None
    words: Annotated[
        list[SpokenWord] | None,
        Meta(description="Words with times on the clock of started_at; at most 20,000."),
    ] = None
    room: Room | None = None
    metadata: Annotated[dict[str, str] | None, Meta(description="Anything of the sender's, as flat strings.")] = None


class Audio(Struct, frozen=True, omit_defaults=True, gc=False):
    """Where a turn's audio lies and how to read it."""

    blob: Annotated[
        str, Meta(description="Key in the blob store: {workspace}/{sha256(call_id)}/{sha256(audio)}.{ext}.")
    ]
    format: AudioFormat
    size: Annotated[int, Meta(description="Bytes.")]
    sample_rate: Annotated[int | None, Meta(description="Hz; declared for raw formats, else None.")] = None
    channels: Annotated[int | None, Meta(description="Declared for raw formats, else None.")] = None
    channel: AudioChannel = "mix"


class Word(Struct, frozen=True, array_like=True, gc=False):
    """A word with its times in epoch milliseconds."""

    w: str
    started_at: int
    ended_at: int


class ReceivedRoom(Struct, frozen=True, omit_defaults=True):
    """`Room` with its time in epoch milliseconds."""

    name: str | None = None
    sid: str | None = None
    participant_sid: str | None = None
    connected_at: int | None = None


class ReceivedTurn(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="turn"):
    """A turn on `turns.received`: checked, identified and stamped by the gateway.

    Identity: (workspace, call_id, turn_id). Among revisions of one turn the greatest (received_at, content_hash) wins.
    """

    workspace: str
    call_id: str
    turn_id: str
    participant: str
    role: Role
    text: str
    started_at: Annotated[int, Meta(description="Epoch ms.")]
    ended_at: Annotated[int, Meta(description="Epoch ms, not before started_at.")]
    received_at: Annotated[int, Meta(description="Epoch µs, stamped by the gateway; kept by re-injection and replay.")]
    content_hash: Annotated[str, Meta(description="32 hex digits over everything but received_at.")]
    audio: Audio | None = None
    language: str | None = None
    interrupted: bool | None = None
    words: list[Word] | None = None
    room: ReceivedRoom | None = None
    metadata: dict[str, str] | None = None

    def __post_init__(self) -> None:
        if self.ended_at < self.started_at:
            raise ValueError(f"ended_at {self.ended_at} is before started_at {self.started_at}")
