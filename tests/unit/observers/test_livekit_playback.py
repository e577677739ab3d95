"""What of the agent's speech was heard, from runs."""

from __future__ import annotations

import numpy as np
import pytest

from mise_observer.recording import MOST_BYTES
from mise_observer_livekit.playback import KEPT_BYTES, Playback, Run, heard, heard_span

RATE = 1_000


def captured(playback: Playback, samples: int, *, speech: str = "s1", first: int = 0) -> None:
    playback.capture(np.arange(first, first + samples, dtype=np.int16), RATE, 9.0, speech)


def test_all_of_it_was_heard() -> None:
    playback = Playback()
    captured(playback, 500)
    captured(playback, 500, first=500)
    playback.end_capture()
    playback.progressed(Run(10.0, 0.0, 1.0), 11.0)
    playback.finished(1.0, False, "all of it", 11.0)
    segments = playback.take("s1")
    sound = heard(segments)
    assert sound is not None
    assert (heard_span(segments), sound.started_at, segments[0].transcript) == ((10.0, 11.0), 10.0, "all of it")
    np.testing.assert_array_equal(sound.samples, np.arange(1_000))


def test_what_was_cut_was_not_heard_and_a_pause_is_silence() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.progressed(Run(10.0, 0.0, 0.2), 10.2)
    playback.progressed(Run(10.7, 0.2, 0.3), 11.0)
    playback.finished(0.5, True, None, 11.0)
    segments = playback.take("s1")
    sound = heard(segments)
    assert sound is not None
    assert heard_span(segments) == pytest.approx((10.0, 11.0))
    np.testing.assert_array_equal(sound.samples[:200], np.arange(200))
    assert not sound.samples[200:700].any()
    np.testing.assert_array_equal(sound.samples[700:], np.arange(200, 500))


def test_runs_a_few_ms_apart_follow_one_another() -> None:
    playback = Playback()
    captured(playback, 1_000)
    for n in range(5):
        playback.progressed(Run(10.0 + n * 0.205, n * 0.2, 0.2), 10.2 + n * 0.205)
    playback.finished(1.0, False, None, 11.02)
    sound = heard(playback.take())
    assert sound is not None
    assert len(sound.samples) == 1_020  # four times 5 ms: as one pause, when it has become 20 ms
    np.testing.assert_array_equal(sound.samples[:800], np.arange(800))


def test_segments_of_one_speech_are_one_turn() -> None:
    playback = Playback()
    for n in range(2):
        captured(playback, 100)
        playback.end_capture()
        playback.progressed(Run(10.0 + n, 0.0, 0.1), 10.1 + n)
        playback.finished(0.1, False, None, 10.1 + n)
    sound = heard(playback.take())
    assert sound is not None
    assert len(sound.samples) == 1_100


def test_a_speech_takes_its_own_and_only_what_is_over() -> None:
    playback = Playback()
    captured(playback, 100, speech="s1")
    playback.end_capture()
    playback.finished(0.1, False, None, 9.1)
    captured(playback, 100, speech="s2")
    assert playback.take("s2") == []
    assert [segment.speech_id for segment in playback.take("s1")] == ["s1"]
    assert playback.take("s1") == []


def test_without_runs_the_position_says_what_was_heard() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.started(10.0)
    playback.finished(0.4, True, None, 10.4)
    assert heard_span(playback.take()) == (10.0, 10.4)


def test_nothing_is_heard_of_what_was_cut_before_it_began() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.finished(0.0, True, None, 9.1)
    segments = playback.take()
    assert heard_span(segments) is None
    assert heard(segments) is None


def test_what_plays_at_the_end_was_heard_until_then() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.started(10.0)
    assert heard_span(playback.end_all(10.25)) == (10.0, 10.25)


@pytest.mark.parametrize("kept", [0, 20])
def test_what_plays_at_the_end_was_heard_for_as_long_as_it_was_offered(kept: int) -> None:
    # Frames of 20 ms, of which nothing is kept, or all; they play until 10.4, and nobody says so.
    playback = Playback()
    for _ in range(20):
        playback.capture(np.zeros(kept, np.int16), RATE, 9.0, "s1", offered_s=0.02)
    playback.started(10.0)
    assert heard_span(playback.end("s1", 12.0)) == pytest.approx((10.0, 10.4))


def test_of_more_than_is_kept_all_was_heard_that_played_at_the_end() -> None:
    playback = Playback()
    seconds = round(MOST_BYTES / 2 / RATE)
    for _ in range(2):
        playback.capture(np.zeros(seconds * RATE, np.int16), RATE, 9.0, "s1")
    playback.started(10.0)
    segments = playback.end_all(10.0 + 1.5 * seconds)
    sound = heard(segments)
    assert sound is not None
    assert heard_span(segments) == (10.0, 10.0 + 1.5 * seconds)
    assert not sound.whole


def test_a_stamp_of_before_the_clock_was_set_moves_nothing() -> None:
    # The stamp is 3,600 s off, and 0.2 s ahead: the wall clock has been set forward, and back, while it was said.
    for off_s in (-3_600.0, 0.2):
        playback = Playback()
        captured(playback, 1_000)
        playback.started(10.0)
        playback.progressed(Run(10.0 + off_s, 0.0, 0.5), 10.5)
        playback.progressed(Run(11.5 + off_s, 0.5, 0.5), 12.0)
        playback.finished(1.0, False, None, 12.0)
        assert [run.started_at for run in playback.take()[0].runs] == [10.0, 11.5]


def test_what_is_told_late_lies_where_its_stamp_says() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.progressed(Run(10.0, 0.0, 1.0), 11.8)
    playback.finished(1.0, False, None, 11.8)
    assert heard_span(playback.take()) == pytest.approx((10.0, 11.0), abs=0.001)


def test_playing_that_is_told_before_anything_is_captured_is_of_what_follows() -> None:
    playback = Playback()
    playback.started(5.0)  # of something long ago
    playback.started(10.02)
    playback.capture(np.zeros(1_000, np.int16), RATE, 10.0, "s1")
    playback.finished(0.4, True, None, 13.0)
    assert heard_span(playback.take()) == (10.02, 10.42)
    captured(playback, 1_000, speech="s2")
    playback.finished(0.4, True, None, 14.0)
    assert heard_span(playback.take()) == (13.6, 14.0)


def test_a_piece_whose_end_nobody_reports_shifts_none_of_the_next_speech() -> None:
    playback = Playback()
    for speech, first in (("s1", 0), ("s2", 200)):
        captured(playback, 100, speech=speech, first=first)
        playback.end_capture()
        captured(playback, 100, speech=speech, first=first + 100)  # it is dropped by the output, which says nothing
        playback.end_capture()
        playback.progressed(Run(10.0 + first, 0.0, 0.1), 10.1 + first)
        playback.finished(0.1, False, None, 10.1 + first)
        assert heard_span(playback.end(speech, 10.2 + first)) == pytest.approx((10.0 + first, 10.1 + first))
    assert playback.end_all(500.0) == []


def test_what_was_playing_when_its_speech_was_over_was_heard_until_then() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.started(10.0)
    segments = playback.end("s1", 10.4)
    assert (heard_span(segments), segments[0].interrupted) == ((10.0, 10.4), True)
    captured(playback, 1_000, speech="s2")
    playback.progressed(Run(20.0, 0.0, 0.3), 20.3)
    assert heard_span(playback.end("s2", 25.0)) == (20.0, 20.3)


def test_what_waits_is_bounded_whatever_is_never_played() -> None:
    playback = Playback()
    second = np.zeros(RATE, np.int16)
    for _ in range(4):
        for _ in range(MOST_BYTES // second.nbytes):
            playback.capture(second, RATE, 9.0, None)
        playback.end_capture()
    assert KEPT_BYTES - second.nbytes < playback.nbytes <= KEPT_BYTES
    playback.end_all(10.0)
    assert playback.nbytes == 0


def test_of_more_than_is_kept_the_beginning_is_heard_and_it_is_said() -> None:
    playback = Playback()
    seconds = MOST_BYTES / 2 / RATE
    for _ in range(20):
        playback.capture(np.zeros(round(seconds / 10) * RATE, np.int16), RATE, 9.0, None)
    playback.progressed(Run(10.0, 0.0, 2 * seconds), 10.0 + 2 * seconds)
    playback.finished(2 * seconds, False, None, 10.0 + 2 * seconds)
    segments = playback.take()
    sound = heard(segments)
    assert sound is not None
    assert len(sound.samples) == MOST_BYTES // 2
    assert not sound.whole
    assert heard_span(segments) == (10.0, 10.0 + 2 * seconds)


def test_what_was_kept_of_more_is_whole_when_no_more_was_heard() -> None:
    playback = Playback()
    seconds = round(MOST_BYTES / 2 / RATE)
    for _ in range(2):
        playback.capture(np.zeros(seconds * RATE, np.int16), RATE, 9.0, None)
    playback.progressed(Run(10.0, 0.0, 5.0), 15.0)
    playback.finished(5.0, True, None, 15.0)
    sound = heard(playback.take())
    assert sound is not None
    assert sound.whole
    assert len(sound.samples) == 5 * RATE


def test_nothing_is_kept_of_what_comes_after_the_end() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.end_all(10.0)
    captured(playback, 1_000)
    playback.end_capture()
    playback.finished(1.0, False, None, 11.0)
    assert (playback.nbytes, playback.take()) == (0, [])


def test_events_of_nothing_are_nothing() -> None:
    playback = Playback()
    playback.end_capture()
    playback.started(1.0)
    playback.progressed(Run(1.0, 0.0, 1.0), 2.0)
    playback.finished(1.0, False, None, 2.0)
    assert playback.end("s1", 2.0) == playback.end_all(2.0) == []
    assert heard([]) is None
