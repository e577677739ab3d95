"""Calls to send: one with known overlaps, and the example's real voices."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from deploy.example import load
from tests.records import T0

STEP_MS = 700
TURN_MS = 900
OVERLAP_MS = TURN_MS - STEP_MS
RATE = 8_000

EVENT = {"type": "tool_call", "at": (T0 + 5_000) / 1000, "event_id": "e1", "data": {"tool": "orders", "ms": 120}}
"""An event of the conversation."""

Body = dict[str, Any]


def conversation(call_id: str, count: int = 20) -> list[Body]:
    """Turns of two people, each of whom comes in 200 ms before the other has ended; every fourth with audio.

    # ms     0         700  900       1400 1600
    # a      |--------------|         |--------------|
    # b                |--------------|              ...     count - 1 overlaps of 200 ms
    """
    return [turn(call_id, number) for number in range(count)]


def turn(call_id: str, number: int) -> Body:
    """One turn of the conversation."""
    begin = T0 + number * STEP_MS
    body: Body = {
        "call_id": call_id,
        "turn_id": f"t{number:03}",
        "participant": "ab"[number % 2],
        "role": ("user", "agent")[number % 2],
        "text": f"I would like to order number {number}",
        "started_at": begin / 1000,
        "ended_at": (begin + TURN_MS) / 1000,
    }
    return body | tone(100 + number) if number % 4 == 0 else body


def tone(frequency: int) -> Body:
    """Fields of a turn's audio: a sine."""
    at = np.arange(RATE * TURN_MS // 1000) / RATE
    samples = (8_000 * np.sin(2 * np.pi * frequency * at)).astype("<i2")
    return {
        "audio_b64": base64.b64encode(samples.tobytes()).decode(),
        "audio_format": "pcm_s16le",
        "sample_rate": RATE,
    }


def example(call_id: str, begin_ms: int) -> list[Body]:
    """The example call's turns, the call beginning at `begin_ms` [epoch ms]."""
    return [
        {
            "call_id": call_id,
            "participant": turn.participant,
            "role": turn.role,
            "text": turn.text,
            "started_at": seconds(begin_ms, turn.starts_s),
            "ended_at": seconds(begin_ms, turn.ends_s),
            "audio_b64": base64.b64encode(turn.audio).decode(),
            "audio_format": turn.audio_format,
        }
        for turn in load().turns
    ]


def seconds(begin_ms: int, after_s: float) -> float:
    return (begin_ms + round(after_s * 1000)) / 1000


def instant(begin_ms: int, after_s: float = 0) -> datetime:
    """The instant as ClickHouse's client gives it: naive, in UTC."""
    return datetime(1970, 1, 1) + timedelta(milliseconds=begin_ms + round(after_s * 1000))
