"""Turns and events to send."""

from __future__ import annotations

from itertools import count

from mise_observer import Audio, CallEvent, Turn

_numbers = count()


def turn(text: str = "Hello?", *, audio_bytes: int = 0, call_id: str = "call", turn_id: str | None = None) -> Turn:
    """A turn, with so many bytes of silence."""
    audio = Audio(data=bytes(audio_bytes), format="pcm_s16le", sample_rate=16_000) if audio_bytes else None
    return Turn(
        call_id=call_id,
        turn_id=turn_id or f"turn-{next(_numbers)}",
        participant="caller",
        role="user",
        text=text,
        started_at=1_764_000_000.25,
        ended_at=1_764_000_001.5,
        audio=audio,
    )


def event(call_id: str = "call") -> CallEvent:
    return CallEvent(call_id=call_id, type="tool_call", at=1_764_000_000.0, data={"name": "look_up", "n": 2})
