"""What of the agent's speech was heard, from runs."""

from __future__ import annotations

import numpy as np
import pytest

from mise_observer.recording import MOST_BYTES
from mise_observer_livekit.playback import Playback, Run, heard, heard_span

RATE = 1_000


def captured(playback: Playback, samples: int, *, speech: str = "s1", first: int = 0) -> None:
    playback.capture(np.arange(first, first + samples, dtype=np.int16), RATE, 9.0, speech)


def test_all_of_it_was_heard() -> None:
    playback = Playback()
    captured(playback, 500)
    captured(playback, 500, first=500)
    playback.end_capture()
    playback.progressed(Run(10.0, 0.0, 1.0))
    playback.finished(1.0, False, "all of it")
    segments = playback.take("s1")
    sound = heard(segments)
    assert sound is not None
    assert (heard_span(segments), sound.started_at, segments[0].transcript) == ((10.0, 11.0), 10.0, "all of it")
    np.testing.assert_array_equal(sound.samples, np.arange(1_000))


def test_what_was_cut_was_not_heard_and_a_pause_is_silence() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.progressed(Run(10.0, 0.0, 0.2))
    playback.progressed(Run(10.7, 0.2, 0.3))
    playback.finished(0.5, True, None)
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
        playback.progressed(Run(10.0 + n * 0.205, n * 0.2, 0.2))
    playback.finished(1.0, False, None)
    sound = heard(playback.take())
    assert sound is not None
    assert len(sound.samples) == 1_020  # four times 5 ms: as one pause, when it has become 20 ms
    np.testing.assert_array_equal(sound.samples[:800], np.arange(800))


def test_segments_of_one_speech_are_one_turn() -> None:
    playback = Playback()
    for n in range(2):
        captured(playback, 100)
        playback.end_capture()
        playback.progressed(Run(10.0 + n, 0.0, 0.1))
        playback.finished(0.1, False, None)
    sound = heard(playback.take())
    assert sound is not None
    assert len(sound.samples) == 1_100


def test_a_speech_takes_its_own_and_only_what_is_over() -> None:
    playback = Playback()
    captured(playback, 100, speech="s1")
    playback.end_capture()
    playback.finished(0.1, False, None)
    captured(playback, 100, speech="s2")
    assert playback.take("s2") == []
    assert [segment.speech_id for segment in playback.take("s1")] == ["s1"]
    assert playback.take("s1") == []


def test_without_runs_the_position_says_what_was_heard() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.started(10.0)
    playback.finished(0.4, True, None)
    assert heard_span(playback.take()) == (10.0, 10.4)


def test_nothing_is_heard_of_what_was_cut_before_it_began() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.finished(0.0, True, None)
    segments = playback.take()
    assert heard_span(segments) is None
    assert heard(segments) is None


def test_what_plays_at_the_end_was_heard_until_then() -> None:
    playback = Playback()
    captured(playback, 1_000)
    playback.started(10.0)
    assert heard_span(playback.take_all(10.25)) == (10.0, 10.25)


def test_of_more_than_is_kept_the_beginning_is_heard_and_it_is_said() -> None:
    playback = Playback()
    seconds = MOST_BYTES / 2 / RATE
    for _ in range(20):
        playback.capture(np.zeros(round(seconds / 10) * RATE, np.int16), RATE, 9.0, None)
    playback.progressed(Run(10.0, 0.0, 2 * seconds))
    playback.finished(2 * seconds, False, None)
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
    playback.progressed(Run(10.0, 0.0, 5.0))
    playback.finished(5.0, True, None)
    sound = heard(playback.take())
    assert sound is not None
    assert sound.whole
    assert len(sound.samples) == 5 * RATE


def test_events_of_nothing_are_nothing() -> None:
    playback = Playback()
    playback.end_capture()
    playback.started(1.0)
    playback.progressed(Run(1.0, 0.0, 1.0))
    playback.finished(1.0, False, None)
    assert playback.take_all(2.0) == []
    assert heard([]) is None
