"""Where in a piece of audio somebody spoke."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from mise_observer.voiced import EDGE_S, bounds, voiced


def tone(seconds: float, sample_rate: int, level: float = 8_000.0) -> NDArray[np.int16]:
    times = np.arange(round(seconds * sample_rate)) / sample_rate
    return (level * np.sin(2 * np.pi * 220 * times)).astype(np.int16)


def silence(seconds: float, sample_rate: int) -> NDArray[np.int16]:
    """What a quiet line has: a little noise."""
    return np.random.default_rng(0).integers(-3, 4, round(seconds * sample_rate), dtype=np.int16)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 22_050, 24_000, 48_000])
@given(
    before=st.integers(0, 200), spoken=st.integers(2, 200), after=st.integers(0, 200), level=st.integers(600, 30_000)
)
def test_bounds_of_a_tone_in_silence(sample_rate: int, before: int, spoken: int, after: int, level: int) -> None:
    """In hundredths of a second."""
    parts = (
        silence(before / 100, sample_rate),
        tone(spoken / 100, sample_rate, level),
        silence(after / 100, sample_rate),
    )
    found = voiced(np.concatenate(parts), sample_rate)
    assert found is not None
    assert found == pytest.approx((before / 100, (before + spoken) / 100), abs=0.0101)


def test_soft_end_of_a_word_belongs_to_it() -> None:
    found = voiced(np.concatenate([tone(0.5, 16_000), tone(0.2, 16_000, 300), silence(1, 16_000)]), 16_000)
    assert found == pytest.approx((0.0, 0.7))


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.int16), np.zeros(16_000, np.int16), silence(1, 16_000), tone(0.009, 16_000)]
)
def test_nobody_spoke(samples: NDArray[np.int16]) -> None:
    assert voiced(samples, 16_000) is None


@pytest.mark.parametrize("spoken_s", [0.5, EDGE_S, 3 * EDGE_S])
def test_speech_is_found_in_audio_around_it_however_long(spoken_s: float) -> None:
    around = np.concatenate([silence(0.5, 8_000), tone(spoken_s, 8_000), silence(0.2, 8_000)])
    assert bounds(around, 8_000) == pytest.approx((0.5, 0.5 + spoken_s), abs=0.0101)


def test_what_reaches_the_edge_of_the_audio_is_no_bound() -> None:
    assert bounds(tone(1.0, 8_000), 8_000) == (None, None)
    assert bounds(silence(1.0, 8_000), 8_000) == (None, None)
    begins, ends = bounds(np.concatenate([silence(0.5, 8_000), tone(1.0, 8_000)]), 8_000)
    assert begins == pytest.approx(0.5)
    assert ends is None
