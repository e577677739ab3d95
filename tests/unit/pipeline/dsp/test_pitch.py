"""F0: of sounds that have a known one, of those that have none, and the path against a plain Viterbi."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.pitch import (
    CANDIDATES,
    HIGHEST_HZ,
    LOWEST_HZ,
    OCTAVE_COST,
    OCTAVE_JUMP_COST,
    SILENCE_THRESHOLD,
    VOICED_UNVOICED_COST,
    VOICING_THRESHOLD,
    Candidates,
    _choose,
    path,
    relative_peaks,
)
from pipeline.dsp.tracks import measure_tracks
from schemas.features import F0Estimator
from tests.unit.pipeline.dsp.signals import RATES, centres_s, made, pulses, seconds, sine, sung, voice, white

BOTH = st.sampled_from([8_000, 16_000])

END = 5
"""Frames at either end that see where the sound begins or ends."""


def track(sound: Sound, estimator: F0Estimator = "autocorrelation") -> Floats:
    return measure_tracks(sound, estimator).f0_hz


def assert_is(found: Floats, hz: float, *, within: float) -> None:
    """Voiced in every frame, and of this F0 in the median; nowhere an octave off."""
    inner = found[END:-END]
    assert np.isfinite(inner).all()
    assert np.median(inner) == pytest.approx(hz, rel=within)
    assert inner == pytest.approx(np.full(len(inner), hz), rel=0.02)


@given(BOTH, st.floats(80, 480))
def test_sine_has_its_frequency(rate: int, hz: float) -> None:
    assert_is(track(sine(hz, rate)), hz, within=0.002)


@given(BOTH, st.floats(80, 480), st.floats(1, 2))
def test_voice_has_its_f0(rate: int, hz: float, fall: float) -> None:
    assert_is(track(voice(hz, rate, fall=fall)), hz, within=0.002)


@given(BOTH, st.floats(80, 440))
@example(16_000, 386.6)
@example(16_000, 150.3)
@example(8_000, 415.8)
def test_pulse_train_has_its_f0(rate: int, hz: float) -> None:
    """However little its period has to do with the raster of lags. (From 450 Hz on, all five candidates may be
    multiples of its period.)"""
    assert_is(track(voice(hz, rate, fall=0)), hz, within=0.002)


@RATES
def test_chirp_is_followed(rate: int) -> None:
    at = seconds(rate, 3)
    found = track(sung(100 + 80 * at, rate))[END:-END]
    expected = 100 + 80 * centres_s(300)[END:-END]
    assert found == pytest.approx(expected, rel=0.005)


@given(BOTH, st.floats(80, 240), st.floats(1, 5))
def test_strong_second_harmonic_does_not_raise_the_octave(rate: int, hz: float, gain: float) -> None:
    assert_is(track(sung(np.full(rate // 2, hz), rate, gain={2: gain})), hz, within=0.002)


@given(BOTH, st.floats(80, 300), st.integers(2, 4))
def test_fundamental_may_be_missing(rate: int, hz: float, first: int) -> None:
    """As behind a telephone."""
    assert_is(track(sung(np.full(rate // 2, hz), rate, first=first)), hz, within=0.002)


@RATES
@pytest.mark.parametrize("hz", [95.0, 140.0, 230.0])
def test_noise_10_db_down_moves_the_f0_by_less_than_a_percent(rate: int, hz: float) -> None:
    clean = voice(hz, rate)
    noise = white(rate, length_s=0.5, rms=float(np.sqrt(np.mean(np.square(clean.samples)) / 10)))
    assert_is(track(Sound(clean.samples + noise.samples, rate)), hz, within=0.01)


@given(BOTH, st.integers(0, 1_000))
def test_noise_is_unvoiced(rate: int, seed: int) -> None:
    assert np.isfinite(track(white(rate, length_s=1, seed=seed))).mean() < 0.03


@RATES
@pytest.mark.parametrize("length", [1, 50, 16_000])
def test_silence_is_unvoiced(rate: int, length: int) -> None:
    silent = Sound(np.zeros(length, np.float32), rate)
    assert np.isnan(track(silent)).all()
    assert (relative_peaks(silent) == 0).all()


@RATES
def test_pitch_stops_where_the_voice_stops(rate: int) -> None:
    sound = voice(140, rate, length_s=1.0)
    samples = sound.samples * (np.abs(seconds(rate, 1.0) - 0.5) > 0.15)
    voiced = np.isfinite(track(Sound(samples.astype(np.float32), rate)))
    edges = np.flatnonzero(np.diff(voiced[END:-END].astype(int))) + END + 1
    assert edges == pytest.approx([35, 65], abs=2)


@given(BOTH, st.floats(-40, 10), st.integers(0, 100))
def test_gain_moves_no_f0(rate: int, gain_db: float, seed: int) -> None:
    sound = voice(150, rate)
    samples = sound.samples + white(rate, length_s=0.5, rms=0.01, seed=seed).samples
    soft, loud = track(Sound(samples, rate)), track(Sound(samples * np.float32(10 ** (gain_db / 20)), rate))
    assert loud == pytest.approx(soft, rel=1e-4, nan_ok=True)


@given(BOTH, st.integers(1, 3_000), st.integers(0, 1_000))
def test_peaks_are_shares_of_the_greatest(rate: int, length: int, seed: int) -> None:
    samples = white(rate, length_s=length / rate, seed=seed).samples
    found = relative_peaks(Sound(samples, rate))
    hop = rate // 100
    assert len(found) == max(1, length // hop)
    reached = np.abs(samples[: len(found) * hop])
    for frame, share in enumerate(found):
        around = reached[max(0, frame * hop - hop // 2) : (frame + 1) * hop + hop // 2]
        assert share == pytest.approx(around.max() / reached.max(), rel=1e-6)


def viterbi(score: NDArray[np.float64], octaves: NDArray[np.float64]) -> tuple[list[int], float]:
    """The best path through the states of all frames and what it is worth, frame by frame and state by state."""
    frames, states = score.shape

    def cost(frame: int, before: int, after: int) -> float:
        if before == 0 and after == 0:
            return 0.0
        if before == 0 or after == 0:
            return VOICED_UNVOICED_COST
        return OCTAVE_JUMP_COST * abs(float(octaves[frame - 1, before - 1] - octaves[frame, after - 1]))

    best, came_from = list(score[0]), []
    for frame in range(1, frames):
        reached = [[best[i] - cost(frame, i, j) for i in range(states)] for j in range(states)]
        came_from.append([max(range(states), key=row.__getitem__) for row in reached])
        best = [max(row) + score[frame, j] for j, row in enumerate(reached)]
    state = max(range(states), key=best.__getitem__)
    states_taken = [state]
    for step in reversed(came_from):
        states_taken.append(step[states_taken[-1]])
    return states_taken[::-1], float(best[state])


def best_between_silence(score: NDArray[np.float64], octaves: NDArray[np.float64]) -> float:
    """What the best path is worth when the frames before and after are unvoiced."""
    silent = [[0.0] + [-np.inf] * CANDIDATES]
    return viterbi(np.concatenate([silent, score, silent]), np.pad(octaves, ((1, 1), (0, 0))))[1]


def worth_between_silence(chosen: NDArray[np.intp], score: NDArray[np.float64], octaves: NDArray[np.float64]) -> float:
    """What this path is worth there: the best one of its states alone."""
    only = np.full_like(score, -np.inf)
    rows = np.arange(len(chosen))
    only[rows, chosen] = score[rows, chosen]
    return best_between_silence(only, octaves)


def at_random(frames: int, seed: int, *, gaps: float) -> tuple[Candidates, Floats]:
    """Candidates as they might be, those of half the frames about where they were; a frame has none with the
    probability `gaps`."""
    random = np.random.default_rng(seed)
    steady = np.where(random.random((frames, 1)) < 0.5, random.random(CANDIDATES), random.random((frames, CANDIDATES)))
    f0_hz = LOWEST_HZ * (HIGHEST_HZ / LOWEST_HZ) ** steady
    strength = random.random((frames, CANDIDATES)) ** 0.7
    missing = (random.random((frames, CANDIDATES)) < 0.3) | (random.random((frames, 1)) < gaps)
    f0_hz[missing] = strength[missing] = 0
    loudness = np.where(random.random(frames) < 0.8, 1.0, 0.05 * random.random(frames))
    return Candidates(f0_hz.astype(np.float32), strength.astype(np.float32)), loudness.astype(np.float32)


def scores(found: Candidates, loudness: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Boersma's: of each state of each frame, unvoiced first; log2 of the candidates."""
    octaves = np.log2(np.maximum(found.f0_hz, 1)).astype(np.float64)
    unvoiced = VOICING_THRESHOLD + np.maximum(0, 2 - loudness / (SILENCE_THRESHOLD / (1 + VOICING_THRESHOLD)))
    voiced = found.strength - OCTAVE_COST * (np.log2(HIGHEST_HZ) - octaves)
    voiced = np.where(found.f0_hz > 0, voiced, -np.inf)
    return np.concatenate([unvoiced[:, None], voiced], axis=1).astype(np.float64), octaves


@settings(max_examples=60)
@given(st.integers(1, 60), st.integers(0, 100_000), st.sampled_from([0.0, 0.1, 0.4, 1.0]))
def test_path_is_the_best_one(frames: int, seed: int, gaps: float) -> None:
    found, loudness = at_random(frames, seed, gaps=gaps)
    score, octaves = scores(found, loudness)
    pitch = path(found, loudness)
    voiced = np.isfinite(pitch.f0_hz)
    chosen = np.where(voiced, 1 + (found.f0_hz == pitch.f0_hz[:, None]).argmax(axis=1), 0)
    rows = np.flatnonzero(voiced)
    assert (found.f0_hz[rows, chosen[rows] - 1] == pitch.f0_hz[rows]).all()
    assert (found.strength[rows, chosen[rows] - 1] == pitch.strength[rows]).all()
    assert np.isnan(pitch.strength[~voiced]).all()
    assert worth_between_silence(chosen, score, octaves) == pytest.approx(
        best_between_silence(score, octaves), abs=1e-4
    )


def test_weak_frame_in_a_voiced_stretch_is_voiced_while_two_changes_of_voicing_would_cost_more() -> None:
    strength = np.zeros((7, CANDIDATES), np.float32)
    strength[:, 0] = 0.9
    found = Candidates(np.where(strength > 0, 150, 0).astype(np.float32), strength)
    bias = OCTAVE_COST * np.log2(HIGHEST_HZ / 150)
    for under in (0.5, 1.5, 1.9, 2.1):
        strength[3, 0] = VOICING_THRESHOLD + bias - under * VOICED_UNVOICED_COST
        assert np.isfinite(path(found, np.ones(7, np.float32)).f0_hz).tolist() == [True] * 3 + [under < 2] + [True] * 3


@settings(max_examples=60)
@given(st.integers(1, 40), st.integers(0, 100_000))
def test_frame_without_a_near_candidate_is_unvoiced_on_the_best_path(frames: int, seed: int) -> None:
    """Therefore such frames may be left out, and the parts between them looked at one by one."""
    score, octaves = scores(*at_random(frames, seed, gaps=0.1))
    best, _ = viterbi(score, octaves)
    hopeless = score[:, 1:].max(axis=1) <= score[:, 0] - 2 * VOICED_UNVOICED_COST
    assert not np.array(best)[hopeless].any()


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 25)), max_size=6), st.integers(0, 100_000))
def test_parts_looked_at_together_are_chosen_as_each_alone(shape: list[tuple[int, int]], seed: int) -> None:
    """Each as between unvoiced frames; the frames outside stay unvoiced."""
    ends = np.cumsum([gap + length for gap, length in shape], dtype=int)
    parts = np.array([(end - length, end) for end, (_, length) in zip(ends, shape, strict=True)], int).reshape(-1, 2)
    frames = (int(ends[-1]) if shape else 0) + 2
    score, octaves = scores(*at_random(frames, seed, gaps=0.0))
    choice = np.zeros(frames, np.intp)
    _choose(choice, parts, score.astype(np.float32), octaves.astype(np.float32))
    outside = np.ones(frames, bool)
    for start, end in parts:
        outside[start:end] = False
        own = score[start:end], octaves[start:end]
        assert worth_between_silence(choice[start:end], *own) == pytest.approx(best_between_silence(*own), abs=1e-4)
    assert not choice[outside].any()


def buzz(f0_hz: NDArray[np.float64], rate: int) -> Sound:
    """A voice with a breath of noise: of a sound that is periodic to the last bit Harvest finds nothing."""
    clean = sung(f0_hz, rate)
    return Sound(clean.samples + white(rate, length_s=len(f0_hz) / rate, rms=1e-3).samples, rate)


@RATES
@pytest.mark.parametrize("estimator", ["dio", "harvest"])
@pytest.mark.parametrize("hz", [90.0, 100.0, 150.0, 220.0, 350.0])
def test_other_estimators_agree(rate: int, estimator: F0Estimator, hz: float) -> None:
    sound = buzz(np.full(rate, hz), rate)
    one, other = track(sound)[END:-END], track(sound, estimator)[END:-END]
    assert np.isfinite(other).mean() > 0.95
    assert np.nanmedian(other) == pytest.approx(np.nanmedian(one), rel=0.01)


@RATES
@pytest.mark.parametrize("estimator", ["autocorrelation", "dio", "harvest"])
def test_step_lies_at_its_frame(rate: int, estimator: F0Estimator) -> None:
    """From 120 to 180 Hz at 500 ms: as many frames before as after."""
    found = track(buzz(np.where(seconds(rate, 1.0) < 0.5, 120.0, 180.0), rate), estimator)
    low = np.flatnonzero(np.abs(found / 120 - 1) < 0.1)
    high = np.flatnonzero(np.abs(found / 180 - 1) < 0.1)
    assert (low.max() + high.min() + 1) / 2 == pytest.approx(50, abs=1)


@RATES
@pytest.mark.parametrize("estimator", ["autocorrelation", "dio", "harvest"])
def test_glide_is_told_at_its_time(rate: int, estimator: F0Estimator) -> None:
    """Of 200 Hz a second: a hop beside it would be 2 Hz."""
    found = track(buzz(100 + 200 * seconds(rate, 1.0), rate), estimator)
    late_s = (100 + 200 * centres_s(100) - found) / 200
    assert np.nanmedian(late_s[END:-END]) == pytest.approx(0, abs=0.002)


@RATES
@pytest.mark.parametrize("estimator", ["dio", "harvest"])
def test_other_estimators_find_voice_only_where_the_sound_is_periodic(rate: int, estimator: F0Estimator) -> None:
    noise = white(rate, length_s=2, rms=0.075).samples
    tracks = measure_tracks(Sound(voice(150, rate, length_s=2).samples + noise, rate), estimator)
    voiced = np.isfinite(tracks.f0_hz)
    assert voiced.any()
    assert (tracks.periodicity[voiced] > VOICING_THRESHOLD).all()


@RATES
@pytest.mark.parametrize("estimator", ["dio", "harvest"])
def test_other_estimators_find_nothing_in_noise_and_silence(rate: int, estimator: F0Estimator) -> None:
    assert np.isfinite(track(white(rate), estimator)).mean() < 0.03
    for length in (1, rate // 100, rate):
        assert np.isnan(track(Sound(np.zeros(length, np.float32), rate), estimator)).all()


@RATES
def test_strength_tells_the_noise(rate: int) -> None:
    """Boersma 1993: the strength r of a voice in noise makes r / (1 - r) the ratio of their powers."""
    clean = voice(150, rate, length_s=1.0)
    for hnr_db in (5.0, 10.0, 20.0):
        rms = float(np.sqrt(np.mean(np.square(clean.samples))) * 10 ** (-hnr_db / 20))
        strength = measure_tracks(Sound(clean.samples + white(rate, rms=rms).samples, rate)).strength[END:-END]
        found = 10 * np.log10(strength / (1 - strength))
        assert np.nanmean(found) == pytest.approx(hnr_db, abs=1.0)


def test_pulses_of_a_loop_are_those_of_a_sum() -> None:
    """The two ways in which these tests make a pulse train are one."""
    at = 0.01 + np.arange(40) / 100
    assert_is(track(pulses(at, np.ones(40), 16_000)), 100, within=0.002)
    assert_is(track(made(voice(100, 16_000, fall=0).samples, 16_000)), 100, within=0.002)
