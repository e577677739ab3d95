"""The measuring of one turn: what is inside the turn counts, what can't be measured says why."""

from __future__ import annotations

import io
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.measure import measure, not_measured
from pipeline.version import VERSION
from schemas.measured import Features, MeasuredTurn
from schemas.turn import Audio, ReceivedTurn
from tests.records import received_turn

RATE = 16_000


def tone(seconds: float, *, rate: int = RATE, peak: float = 0.5) -> bytes:
    file = io.BytesIO()
    samples = peak * np.sin(2 * np.pi * 200 * np.arange(round(rate * seconds)) / rate)
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def turn_of(length_ms: int) -> ReceivedTurn:
    return received_turn(0, length_ms, audio=Audio("key", "wav", 0))


def measured(data: bytes, length_ms: int = 1000) -> MeasuredTurn:
    return measure(turn_of(length_ms), data, longest_s=60)


def test_turn_is_passed_on_as_it_came() -> None:
    assert measured(tone(1)).turn == turn_of(1000)


def test_tone_has_its_length_its_speech_and_its_level() -> None:
    found = measured(tone(1))
    assert found.features.duration_s == 1.0
    assert found.features.speech_s == pytest.approx(1.0, abs=0.02)
    assert found.features.level_dbfs == pytest.approx(-6.02 - 3.01, abs=0.01)
    assert found.measured == ["duration_s", "speech_s", "level_dbfs"]
    assert (found.not_measured_reason, found.audio_length_differs) == (None, False)
    assert found.features_version == VERSION


def test_digital_silence_has_a_length_and_no_level() -> None:
    found = measured(tone(1, peak=0))
    assert (found.features.duration_s, found.features.speech_s, found.features.level_dbfs) == (1.0, 0.0, None)
    assert found.measured == ["duration_s", "speech_s"]
    assert found.segments == []


@pytest.mark.parametrize(
    ("audio_ms", "turn_ms", "duration_s", "differs"),
    [
        (1000, 1000, 1.0, False),
        (1000, 800, 0.8, False),
        (1000, 799, 0.799, True),
        (1000, 1200, 1.0, False),
        (1000, 1201, 1.0, True),
        (3000, 500, 0.5, True),
    ],
)
def test_sound_is_cut_at_the_end_of_the_turn_and_a_great_difference_is_flagged(
    audio_ms: int, turn_ms: int, duration_s: float, differs: bool
) -> None:
    found = measured(tone(audio_ms / 1000), turn_ms)
    assert found.features.duration_s == pytest.approx(duration_s, abs=1e-4)
    assert found.audio_length_differs == differs
    assert all(segment.end_ms <= turn_ms for segment in found.segments)
    assert found.features.speech_s == pytest.approx(duration_s, abs=0.03)


def test_turn_without_length_has_no_acoustics_whatever_its_audio() -> None:
    found = measured(tone(1), 0)
    assert (found.not_measured_reason, found.features, found.measured) == ("empty", Features(), [])
    assert found.audio_length_differs


def test_speech_is_the_sum_of_the_segments() -> None:
    silence, loud = np.zeros(RATE // 2), 0.5 * np.sin(np.arange(RATE // 2) / 10)
    file = io.BytesIO()
    soundfile.write(file, np.concatenate([loud, silence, loud, silence]), RATE, format="WAV")
    found = measured(file.getvalue(), 2000)
    assert len(found.segments) == 2
    assert found.features.speech_s == sum(s.end_ms - s.start_ms for s in found.segments) / 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "undecodable"),
        (b"RIFF", "undecodable"),
        (tone(1)[:2000], "truncated"),
        (tone(0), "empty"),
        (tone(61), "too_long"),
    ],
    ids=["nothing", "garbage", "cut", "empty", "long"],
)
def test_what_cannot_be_measured_says_why_and_has_no_number(data: bytes, reason: str) -> None:
    found = measured(data)
    assert found.not_measured_reason == reason
    assert set(msgspec.structs.asdict(found.features).values()) == {None}
    assert (found.measured, found.segments, found.turn) == ([], [], turn_of(1000))


def test_turn_without_audio_has_no_acoustics() -> None:
    turn = received_turn()
    assert measure(turn, b"", longest_s=60) == not_measured(turn, "no_audio")
    assert not_measured(turn, "blob_missing").not_measured_reason == "blob_missing"


@given(st.sampled_from([8_000, 11_025, 16_000, 44_100]), st.integers(0, 400), st.integers(0, 400))
def test_any_lengths_of_turn_and_sound_are_measured(rate: int, audio_ms: int, turn_ms: int) -> None:
    found = measured(tone(audio_ms / 1000, rate=rate), turn_ms)
    if found.not_measured_reason is None:
        assert found.features.duration_s is not None
        assert found.features.duration_s <= min(audio_ms, turn_ms) / 1000 + 1 / rate
        assert found.measured == [n for n, v in msgspec.structs.asdict(found.features).items() if v is not None]
    else:
        assert found.not_measured_reason == "empty"
        assert 0 in (audio_ms, turn_ms)


@given(st.binary(max_size=200))
def test_garbage_never_costs_the_turn(data: bytes) -> None:
    found: Any = measured(b"RIFF\x24\x10\0\0WAVEfmt " + data)
    assert found.turn == turn_of(1000)
