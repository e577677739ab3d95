"""The audio of one stream on a clock: frames come late, in bursts, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer_pipecat.recording import Recording, Samples

RATE = 8_000
FRAME = 160
"""20 ms."""


def numbered(first: int) -> Samples:
    """A frame whose samples say where in the stream they are."""
    return np.arange(first * FRAME, (first + 1) * FRAME).astype(np.int16)


def recorded(frames: int, late_s: list[float], began: float = 100.0) -> Recording:
    """Frame k is complete at `began` + 20 (k + 1) ms, and arrives later by late_s[k % n]."""
    recording = Recording(RATE)
    for k in range(frames):
        assert recording.append(numbered(k), began + 0.02 * (k + 1) + late_s[k % len(late_s)])
    return recording


@given(late_ms=st.lists(st.integers(0, 60), min_size=1, max_size=7), start=st.integers(0, 90), frames=st.integers(1, 9))
def test_late_frames_lie_where_they_belong(late_ms: list[int], start: int, frames: int) -> None:
    recording = recorded(200, [0.0, *(ms / 1000 for ms in late_ms)])
    begins = 100.0 + 0.02 * start
    pcm = recording.cut(begins, begins + 0.02 * frames)
    assert pcm is not None
    assert pcm.started_at == pytest.approx(begins, abs=1 / RATE)
    assert len(pcm.samples) == frames * FRAME
    assert (
        abs(int(pcm.samples[0]) - start * FRAME) <= 0.02 * RATE
    )  # as late as the earliest tenth, at most a frame here


def test_a_stall_and_the_burst_after_it_move_nothing() -> None:
    recording = Recording(RATE)
    for k in range(200):
        complete = 100.0 + 0.02 * (k + 1)
        recording.append(numbered(k), max(complete, 101.5) if complete > 101.0 else complete)
    pcm = recording.cut(101.6, 101.7)
    assert pcm is not None
    assert int(pcm.samples[0]) == pytest.approx(1.6 * RATE, abs=1)


def test_a_stall_of_seconds_moves_nothing_either() -> None:
    recording = Recording(RATE)
    for k in range(400):
        complete = 100.0 + 0.02 * (k + 1)
        recording.append(numbered(k % 200), max(complete, 105.0) if complete > 101.0 else complete)
    pcm = recording.cut(106.0, 106.1)
    assert pcm is not None
    assert int(pcm.samples[0]) == pytest.approx(2.0 * RATE, abs=1)


def test_a_muted_track_leaves_a_gap_of_silence() -> None:
    # s      100       101                103       104
    #        |---------|      nothing     |---------|
    recording = Recording(RATE)
    for k in range(50):
        recording.append(numbered(k) + 1, 100.0 + 0.02 * (k + 1))
    for k in range(50):
        recording.append(numbered(k) + 1, 103.0 + 0.02 * (k + 1))
    pcm = recording.cut(100.5, 103.5)
    assert pcm is not None
    assert pcm.started_at == pytest.approx(100.5, abs=1 / RATE)
    assert pcm.ended_at == pytest.approx(103.5, abs=1 / RATE)
    assert not pcm.samples[round(0.5 * RATE) : round(2.5 * RATE)].any()
    assert pcm.samples[: round(0.5 * RATE)].all()
    assert pcm.samples[round(2.5 * RATE) :].all()


def test_where_nothing_came_nothing_is_cut() -> None:
    recording = Recording(RATE)
    recording.append(numbered(0), 100.02)
    for k in range(50):
        recording.append(numbered(1), 110.02 + 0.02 * k)
    assert recording.cut(104.0, 105.0) is None


def test_only_what_is_there_is_cut() -> None:
    recording = recorded(50, [0.0])
    assert Recording(RATE).cut(0.0, 1.0) is None
    assert recording.cut(90.0, 91.0) is None
    pcm = recording.cut(99.0, 200.0)
    assert pcm is not None
    assert pcm.started_at == pytest.approx(100.0)
    assert pcm.ended_at == pytest.approx(101.0)
    assert pcm.whole


def test_what_is_forgotten_is_gone() -> None:
    recording = recorded(500, [0.0])
    recording.forget_before(105.5)
    pcm = recording.cut(100.0, 110.0)
    assert pcm is not None
    assert 104.5 <= pcm.started_at <= 105.5


def test_what_does_not_fit_is_given_up_and_said() -> None:
    recording = Recording(RATE, most_bytes=10 * 2 * FRAME)
    kept = [recording.append(numbered(k), 100.0 + 0.02 * (k + 1)) for k in range(20)]
    assert kept == [True] * 10 + [False] * 10
    cut_short = recording.cut(100.0, 100.4)
    assert cut_short is not None
    assert not cut_short.whole
    assert len(cut_short.samples) == 10 * FRAME
    recording.forget_before(101.0)
    assert recording.append(numbered(20), 100.42)
    again = recording.cut(100.4, 100.42)
    assert again is not None
    assert again.whole
    assert np.array_equal(again.samples, numbered(20))
