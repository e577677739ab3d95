"""Fuzzing of all that is done with a turn's audio: whatever the bytes, there is a measured turn, and it can be sent.

    .venv/bin/python -m tests.fuzz.measure -max_total_time=600

As `tests.fuzz.decode`, and slower: what decodes is measured.
"""

from __future__ import annotations

import math
import zlib

import msgspec

# Without instruments: atheris 3.0 keeps every array that an instrumented line compares.
from pipeline.measure import measure
from schemas.codec import encode
from tests.fuzz.decode import LONGEST_S, fuzz, read
from tests.records import received_turn


def check(data: bytes) -> None:
    """One input. Raises AssertionError, or what else should not escape."""
    if not data:
        return
    audio, file = read(data)
    # Turns shorter and longer than their audio; which one is part of the input.
    length_ms = zlib.crc32(data) % 1_000
    turn = received_turn(0, length_ms, audio=audio)
    found = measure(turn, file, longest_s=LONGEST_S)
    assert found.turn == turn
    assert (found.not_measured_reason is None) == bool(found.measured)
    for value in msgspec.structs.asdict(found.features).values():
        assert not isinstance(value, float) or math.isfinite(value)
    encode(found)


if __name__ == "__main__":
    fuzz(check)
