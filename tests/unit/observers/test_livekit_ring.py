"""The last minutes of a participant's audio, found by time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer_livekit.ring import Ring

RATE = 1_000
FRAME = 50


def counted(ring: Ring, frames: int, *, first_at: float = 100.0, late: dict[int, float] | None = None) -> None:
    """Frames whose samples count on; the n-th arrives when its last sample is spoken, or so much later."""
    for n in range(frames):
        samples = np.arange(n * FRAME, (n + 1) * FRAME, dtype=np.int16)
        ring.append(samples, first_at + (n + 1) * FRAME / RATE + (late or {}).get(n, 0.0))


@given(start_ms=st.integers(0, 900), length_ms=st.integers(1, 100))
def test_a_cut_is_what_arrived_then(start_ms: int, length_ms: int) -> None:
    ring = Ring(RATE)
    counted(ring, 20)
    cut = ring.cut(100 + start_ms / 1000, 100 + (start_ms + length_ms) / 1000)
    assert cut is not None
    assert cut.at == pytest.approx(100 + start_ms / 1000)
    np.testing.assert_array_equal(cut.samples, np.arange(start_ms, start_ms + length_ms))


def test_frames_that_were_held_up_move_nothing() -> None:
    """A host that blocks its loop for 0.3 s, twice, gets what came meanwhile late."""
    ring = Ring(RATE)
    late = {n: 0.3 - 0.05 * (n % 6) for n in (*range(12, 18), *range(40, 46))}
    counted(ring, 80, late=late)
    cut = ring.cut(100.6, 100.9)
    assert cut is not None
    np.testing.assert_array_equal(cut.samples, np.arange(600, 900))


def test_a_backlog_at_the_start_moves_nothing_later() -> None:
    """Frames of before the stream was listened to come at once, then in their time: earlier than their samples say."""
    ring = Ring(RATE)
    ring.append(np.zeros(260, np.int16), 100.0)
    for n in range(100):
        ring.append(np.full(FRAME, n, np.int16), 100.26 + (n + 1) * FRAME / RATE)
    cut = ring.cut(104.26, 104.31)
    assert cut is not None
    np.testing.assert_array_equal(cut.samples, np.full(FRAME, 80))


def test_after_a_pause_of_the_stream_times_follow_the_new_arrivals() -> None:
    ring = Ring(RATE)
    counted(ring, 100)
    for n in range(100):
        ring.append(np.full(FRAME, n, np.int16), 115.0 + (n + 1) * FRAME / RATE)
    cut = ring.cut(117.0, 117.05)
    assert cut is not None
    np.testing.assert_array_equal(cut.samples, np.full(FRAME, 40))


def test_what_is_kept_is_bounded_and_a_cut_says_when_its_beginning_is_gone() -> None:
    ring = Ring(RATE, kept_s=2.0)
    counted(ring, 100)
    assert ring.span == pytest.approx((103.0, 105.0))
    gone, kept = ring.cut(102.0, 104.0), ring.cut(103.5, 104.0)
    assert gone is not None
    assert kept is not None
    assert (gone.whole, kept.whole) == (False, True)
    assert gone.at == pytest.approx(103.0)
    assert ring.cut(101.0, 102.0) is None


def test_a_ring_that_heard_nothing_has_nothing() -> None:
    assert Ring(RATE).cut(0.0, 1.0) is None
    assert Ring(RATE).span is None
