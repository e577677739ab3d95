"""Records for tests: one of each, complete and free of personal data; pass what the test is about."""

from __future__ import annotations

from schemas.event import EventType, ReceivedEvent
from schemas.features import Features
from schemas.identity import with_content_hash
from schemas.measured import MeasuredTurn, SpeechSegment
from schemas.turn import Audio, ReceivedRoom, ReceivedTurn, Role, Word

T0 = 1_767_225_600_000
"""2026-01-01T00:00:00Z: when the tests' calls begin [epoch ms]."""

MINUTE = 60 * 1000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


def received_turn(
    start: int = 0,
    end: int = 1_000,
    turn_id: str = "t1",
    participant: str = "caller",
    text: str = "hello there you",
    *,
    role: Role = "user",
    received: int | None = None,
    workspace: str = "default",
    call_id: str = "call-1",
    audio: Audio | None = None,
    words: list[Word] | None = None,
    room: ReceivedRoom | None = None,
    metadata: dict[str, str] | None = None,
) -> ReceivedTurn:
    """A turn of T0 + [start, end) ms; received at T0 + `received` ms, by default 100 ms after its end."""
    return with_content_hash(
        ReceivedTurn(
            workspace=workspace,
            call_id=call_id,
            turn_id=turn_id,
            participant=participant,
            role=role,
            text=text,
            started_at=T0 + start,
            ended_at=T0 + end,
            received_at=1000 * (T0 + (end + 100 if received is None else received)),
            content_hash="",
            audio=audio,
            words=words,
            room=room,
            metadata=metadata,
        )
    )


def received_event(
    at: int = 0,
    type_: EventType = "system",
    event_id: str = "e1",
    *,
    received: int | None = None,
    workspace: str = "default",
    call_id: str = "call-1",
    data: dict[str, str | int | float | bool | None] | None = None,
) -> ReceivedEvent:
    """An event at T0 + `at` ms; received at T0 + `received` ms, by default at once."""
    return with_content_hash(
        ReceivedEvent(
            workspace=workspace,
            call_id=call_id,
            event_id=event_id,
            type=type_,
            at=T0 + at,
            received_at=1000 * (T0 + (at if received is None else received)),
            content_hash="",
            data=data or {},
        )
    )


def unmeasured(turn: ReceivedTurn) -> MeasuredTurn:
    """The turn as the features stage passes it on when it has no audio."""
    return MeasuredTurn(turn=turn, not_measured_reason="no_audio", features_version="0.0.0")


FEATURES = Features(duration_s=1.0, speech_s=0.75, level_dbfs=-23.5)


def measured(turn: ReceivedTurn, features: Features = FEATURES) -> MeasuredTurn:
    """The turn with acoustics."""
    return MeasuredTurn(
        turn=turn,
        features=features,
        segments=[SpeechSegment(5, 505), SpeechSegment(720, 970)],
        features_version="0.0.0",
    )
