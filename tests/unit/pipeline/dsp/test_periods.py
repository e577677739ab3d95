"""Jitter and shimmer, of pulse trains whose periods and amplitudes are known one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.periods import FEWEST_PAIRS, Perturbation, period_marks, perturbation
from pipeline.dsp.tracks import measure_tracks
from tests.unit.pipeline.dsp.signals import RATES, pulses, sung, voice, white

BOTH = st.sampled_from([8_000, 16_000])

Values = NDArray[np.float64]


def of(sound: Sound) -> Perturbation:
    return perturbation(sound, measure_tracks(sound).f0_hz)


def told(sound: Sound) -> tuple[float, float]:
    found = of(sound)
    assert found.jitter is not None
    assert found.shimmer is not None
    return found.jitter, found.shimmer


def train(periods_s: Values, size: Values, rate: int, *, phase_s: float = 0.0) -> Sound:
    """Up to 2 or 4 kHz: of one as bright as the rate lets be, shifts of half a sample are told a third too small."""
    return pulses(0.005 + phase_s + np.cumsum(periods_s), size, rate, band=0.25)


def local(values: Values) -> float:
    """Praat's local perturbation: mean difference of neighbours over the mean."""
    return float(np.abs(np.diff(values)).mean() / values.mean())


def alternating(mean: float, share: float, count: int) -> Values:
    return np.where(np.arange(count) % 2, mean * (1 - share), mean * (1 + share))


@settings(max_examples=40)
@given(BOTH, st.floats(90, 250), st.floats(0, 1))
def test_perfect_train_has_neither_wherever_its_pulses_lie(rate: int, hz: float, phase: float) -> None:
    """In the cycle as marked, and between the samples."""
    count = int(hz)
    jitter, shimmer = told(train(np.full(count, 1 / hz), np.ones(count), rate, phase_s=phase / hz))
    assert jitter < 1.5e-3
    assert shimmer < 1e-3


@RATES
@pytest.mark.parametrize("fall", [0.0, 1.0])
@pytest.mark.parametrize("hz", [100.0, 131.3, 210.0])
def test_steady_voice_has_neither(rate: int, fall: float, hz: float) -> None:
    jitter, shimmer = told(voice(hz, rate, length_s=1.0, fall=fall))
    assert jitter < 1.5e-3
    assert shimmer < 0.01


@RATES
def test_glide_is_no_jitter(rate: int) -> None:
    """A period is 0.2 % longer than the one before it."""
    jitter, shimmer = told(sung(np.linspace(200, 140, rate), rate))
    assert jitter < 0.005
    assert shimmer < 0.01


@settings(max_examples=30)
@given(BOTH, st.floats(100, 140), st.floats(0.02, 0.1), st.floats(0, 1))
def test_shimmer_of_alternating_amplitudes_is_theirs(rate: int, hz: float, share: float, phase: float) -> None:
    size = alternating(1, share, int(2 * hz))
    jitter, shimmer = told(train(np.full(len(size), 1 / hz), size, rate, phase_s=phase / hz))
    assert shimmer == pytest.approx(local(size), rel=0.01)
    assert jitter < 1.5e-3


@settings(max_examples=30)
@given(BOTH, st.floats(100, 140), st.floats(0.002, 0.005), st.floats(0, 1))
def test_jitter_of_alternating_periods_is_theirs(rate: int, hz: float, share: float, phase: float) -> None:
    periods_s = alternating(1 / hz, share, int(2 * hz))
    jitter, _ = told(train(periods_s, np.ones(len(periods_s)), rate, phase_s=phase / hz))
    assert jitter == pytest.approx(local(periods_s), rel=0.3)


@RATES
def test_stretches_are_not_compared_with_each_other(rate: int) -> None:
    """Each is steady; every other one is higher and softer."""
    pause = np.zeros(rate // 20, np.float32)
    one, other = (voice(hz, rate, length_s=0.06).samples for hz in (150.0, 170.0))
    jitter, shimmer = told(Sound(np.concatenate([one, pause, 0.75 * other, pause] * 6), rate))
    assert jitter < 0.004
    assert shimmer < 0.004


@RATES
def test_noise_taken_for_voice_has_none(rate: int) -> None:
    """Its cycles are not alike."""
    for seed in range(5):
        assert perturbation(white(rate, seed=seed), np.full(100, 150, np.float32)) == (None, None)


@RATES
@pytest.mark.parametrize("seed", range(3))
def test_jitter_and_shimmer_at_random_are_those_that_were_made(rate: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    periods_s = (1 + 0.01 * random.standard_normal(240)) / 120
    size = 1 + 0.05 * random.standard_normal(240)
    jitter, shimmer = told(train(periods_s, size, rate))
    assert jitter == pytest.approx(local(periods_s), rel=0.05)
    assert shimmer == pytest.approx(local(size), rel=0.25)


@RATES
def test_more_jitter_and_shimmer_are_told_as_more(rate: int) -> None:
    found = []
    for share in (0.0, 0.25, 0.5, 1.0, 2.0):
        random = np.random.default_rng(1)
        periods_s = (1 + 0.005 * share * random.standard_normal(240)) / 120
        found.append(told(train(periods_s, 1 + 0.05 * share * random.standard_normal(240), rate)))
    for values in zip(*found, strict=True):
        assert list(values) == sorted(values)


@given(BOTH, st.integers(-8, 3), st.integers(0, 100))
def test_gain_moves_neither(rate: int, doublings: int, seed: int) -> None:
    clean = voice(130, rate)
    sound = Sound(clean.samples + white(rate, length_s=0.5, rms=0.005, seed=seed).samples, rate)
    louder = Sound(sound.samples * np.float32(2.0**doublings), rate)
    assert told(louder) == pytest.approx(told(sound), rel=1e-3)


@RATES
def test_noise_silence_and_what_is_short_have_none(rate: int) -> None:
    for sound in (white(rate), Sound(np.zeros(rate, np.float32), rate), Sound(np.ones(1, np.float32), rate)):
        assert of(sound) == (None, None)
    assert of(voice(100, rate, length_s=FEWEST_PAIRS / 100)) == (None, None)
    assert of(voice(100, rate, length_s=FEWEST_PAIRS / 100 + 0.06)) != (None, None)


@RATES
def test_pairs_are_counted_not_marks(rate: int) -> None:
    """Two stretches of five marks each have eight pairs of neighbours."""
    sound, f0_hz = voice(90, rate), np.full(50, np.nan, np.float32)
    f0_hz[10:17] = f0_hz[30:37] = 90
    assert len(period_marks(f0_hz, rate).at) == FEWEST_PAIRS
    assert perturbation(sound, f0_hz) == (None, None)
    f0_hz[30:42] = 90
    assert perturbation(sound, f0_hz) != (None, None)


@given(BOTH, st.integers(1, 3_000), st.integers(0, 1_000))
def test_wrong_track_gives_numbers_or_none(rate: int, length: int, seed: int) -> None:
    """Also one that says voiced where there is nothing, and to the very ends."""
    random = np.random.default_rng(seed)
    f0_hz = random.uniform(75, 500, max(1, length * 100 // rate)).astype(np.float32)
    f0_hz[random.random(len(f0_hz)) < 0.2] = np.nan
    gate = random.random(length) > random.random()
    sound = Sound((gate * random.standard_normal(length)).astype(np.float32), rate)
    for value in perturbation(sound, f0_hz):
        assert value is None or 0 <= value < 1


@given(BOTH, st.lists(st.tuples(st.integers(1, 5), st.integers(1, 40), st.floats(75, 500)), min_size=1, max_size=5))
def test_marks_lie_a_period_apart_inside_their_stretch(rate: int, stretches: list[tuple[int, int, float]]) -> None:
    parts: list[Floats] = []
    for gap, length, hz in stretches:
        parts += [np.full(gap, np.nan, np.float32), np.full(length, hz, np.float32)]
    marks = period_marks(np.concatenate(parts), rate)
    hop = rate / 100
    assert (np.diff(marks.at) > 0).all()
    runs, begin = 0, 0
    for gap, length, hz in stretches:
        first, last = (begin + gap + 0.5) * hop, (begin + gap + length - 0.5) * hop
        own = (marks.at >= first - 1e-6) & (marks.at <= last + 1e-6)
        begin += gap + length
        assert abs(own.sum() - (length - 1) * hz / 100) <= 1 + 1e-4  # float32
        assert np.diff(marks.at[own]) == pytest.approx(rate / hz, rel=1e-5)
        assert marks.period[own] == pytest.approx(rate / hz, rel=1e-5)
        assert len(set(marks.run[own])) <= 1
        runs += int(own.any())
    assert len(set(marks.run)) == runs


def test_no_marks_where_nothing_is_voiced() -> None:
    for frames in (1, 5):
        assert len(period_marks(np.full(frames, np.nan, np.float32), 8_000).at) == 0
    assert len(period_marks(np.full(1, 100, np.float32), 8_000).at) == 0
