"""The audio of one stream on a clock: frames come late, in bursts, or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer.recording import MOST_BYTES, Pcm, Recording, Samples, audio_of, mono

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
        recording.append(numbered(k), began + 0.02 * (k + 1) + late_s[k % len(late_s)])
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


def test_gap_longer_than_is_kept_costs_no_more_than_is_kept() -> None:
    recording = Recording(RATE, most_bytes=2 * 2 * RATE)
    for k in range(50):
        recording.append(numbered(k), 100.0 + 0.02 * (k + 1))
    for k in range(50):
        recording.append(numbered(k), 3_700.0 + 0.02 * (k + 1))
    pcm = recording.cut(100.5, 3_701.0)
    assert pcm is not None
    assert not pcm.whole
    assert len(pcm.samples) == 2 * RATE
    assert pcm.ended_at == pytest.approx(3_701.0, abs=1 / RATE)


def test_backlog_at_the_start_moves_nothing_later() -> None:
    """Frames of before the stream was listened to come at once, then in their time: earlier than their samples say."""
    recording = Recording(RATE)
    recording.append(np.zeros(round(0.26 * RATE), np.int16), 100.0)
    for k in range(250):
        recording.append(np.full(FRAME, k, np.int16), 100.26 + 0.02 * (k + 1))
    pcm = recording.cut(104.26, 104.28)
    assert pcm is not None
    np.testing.assert_array_equal(pcm.samples, np.full(FRAME, 200))


def test_after_a_pause_times_follow_the_new_arrivals() -> None:
    recording = recorded(250, [0.0])
    for k in range(250):
        recording.append(np.full(FRAME, k, np.int16), 115.0 + 0.02 * (k + 1))
    pcm = recording.cut(117.0, 117.02)
    assert pcm is not None
    np.testing.assert_array_equal(pcm.samples, np.full(FRAME, 100))


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


def test_what_is_kept_is_bounded_and_a_cut_says_when_its_beginning_made_room() -> None:
    recording = Recording(RATE, most_bytes=2 * 2 * RATE)
    for k in range(250):
        recording.append(numbered(k % 200), 100.0 + 0.02 * (k + 1))
    assert recording.span == pytest.approx((103.0, 105.0))
    gone, kept = recording.cut(102.0, 104.0), recording.cut(103.5, 104.0)
    assert gone is not None
    assert kept is not None
    assert (gone.whole, kept.whole) == (False, True)
    assert gone.started_at == pytest.approx(103.0)
    assert recording.cut(101.0, 102.0) is None


def test_a_clip_stays_what_it_is_when_the_recording_forgets() -> None:
    recording = recorded(500, [0.0])
    clip, cut = recording.clip(102.0, 104.5), recording.cut(102.0, 104.5)
    recording.forget_before(200.0)
    assert clip is not None
    assert cut is not None
    assert clip.nbytes == cut.samples.nbytes == 2.5 * RATE * 2
    np.testing.assert_array_equal(clip.pcm().samples, cut.samples)
    assert (recording.nbytes, recording.cut(102.0, 104.5)) == (0, None)


def test_what_makes_room_is_missed() -> None:
    recording = recorded(500, [0.0])
    recording.make_room()
    gone, kept = recording.cut(100.0, 102.0), recording.cut(101.0, 102.0)
    assert gone is not None
    assert kept is not None
    assert (gone.whole, kept.whole) == (False, True)
    assert gone.started_at == pytest.approx(101.0)
    Recording(RATE).make_room()


def test_what_nobody_asks_for_any_more_makes_no_later_cut_less_than_whole() -> None:
    recording = Recording(RATE, most_bytes=2 * 2 * RATE)
    for k in range(250):
        recording.append(numbered(k % 200), 100.0 + 0.02 * (k + 1))
    recording.forget_before(104.5)
    pcm = recording.cut(103.9, 105.0)
    assert pcm is not None
    assert pcm.whole
    assert pcm.started_at == pytest.approx(104.0)


def test_recording_of_nothing_has_nothing() -> None:
    assert Recording(RATE).cut(0.0, 1.0) is None
    assert Recording(RATE).span is None


def test_what_is_kept_fits_a_request() -> None:
    assert MOST_BYTES * 4 / 3 < 16 * 2**20


def test_part_of_audio_lies_where_it_did() -> None:
    pcm = Pcm(np.arange(RATE, dtype=np.int16), RATE, 10.0, whole=False)
    part = pcm.between(10.25, 10.5)
    assert part is not None
    np.testing.assert_array_equal(part.samples, np.arange(RATE // 4, RATE // 2))
    assert (part.started_at, part.ended_at, part.whole) == (10.25, 10.5, False)
    assert pcm.between(9.0, 10.0) is None
    assert pcm.between(8.0, 9.5) is None
    assert pcm.between(11.0, 12.0) is None


def test_no_audio_is_none() -> None:
    assert audio_of(None) is None
    assert audio_of(Pcm(np.zeros(0, np.int16), RATE, 0.0)) is None


def test_channels_are_heard_as_one_and_half_a_sample_is_none() -> None:
    stereo = np.array([[2, 4], [-6, -2]], np.int16).tobytes()
    np.testing.assert_array_equal(mono(stereo, 2), [3, -4])
    np.testing.assert_array_equal(mono(stereo + b"\x01\x02\x03", 2), [3, -4])
    np.testing.assert_array_equal(mono(b"\x01\x00\x02", 1), [1])
    assert not len(mono(b"", 2))
