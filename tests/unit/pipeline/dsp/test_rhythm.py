"""Syllable nuclei, their evenness, prominence and held sounds, on syllables that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.activity import inside, speech_segments
from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.rhythm import emphasis_count, held_sounds, rate_variation, syllable_nuclei
from pipeline.dsp.tracks import Tracks, measure_tracks

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])

Frames = NDArray[np.bool_]

BEFORE_S = 0.3


def voice(f0_hz: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """Harmonics that fall by 6 dB an octave, with this F0 at each sample."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    harmonics = range(1, int(0.45 * rate / f0_hz.max()))
    return sum((np.sin(k * phase) / k for k in harmonics), np.zeros(len(phase)))


def spoken(
    at_s: Sequence[float],
    rate: int,
    *,
    loud_db: Sequence[float] | None = None,
    high_st: Sequence[float] | None = None,
    voiced: bool = True,
    length_s: float = 0.15,
) -> tuple[Tracks, Frames]:
    """Syllables (one swell of 150 ms each) centred at these times, in a little noise; tracks and speech."""
    seconds = at_s[-1] + 0.5
    at = np.arange(round(seconds * rate)) / rate
    random = np.random.default_rng(1)
    envelope, semitones = np.zeros(len(at)), np.zeros(len(at))
    for k, centre in enumerate(at_s):
        share = (at - centre) / length_s
        near = np.abs(share) < 0.5
        gain = 1.0 if loud_db is None else 10 ** (loud_db[k] / 20)
        envelope[near] = np.maximum(envelope[near], gain * np.cos(np.pi * share[near]) ** 2)
        semitones[near] = 0.0 if high_st is None else high_st[k]
    source = voice(140 * 2 ** (semitones / 12), rate) if voiced else random.standard_normal(len(at))
    samples: Floats = (0.1 * envelope * source + 1e-4 * random.standard_normal(len(at))).astype(np.float32)
    tracks = measure_tracks(Sound(samples, rate))
    return tracks, inside(speech_segments(tracks), len(tracks))


def evenly(count: int, step_s: float = 0.2) -> list[float]:
    return [BEFORE_S + step_s * k for k in range(count)]


@RATES
@pytest.mark.parametrize("count", [1, 2, 4, 12])
@pytest.mark.parametrize("step_s", [0.16, 0.25])
def test_each_voiced_swell_is_a_syllable_at_its_middle(rate: int, count: int, step_s: float) -> None:
    at_s = evenly(count, step_s)
    tracks, speech = spoken(at_s, rate)
    nuclei = syllable_nuclei(tracks, speech)
    assert len(nuclei) == count
    assert tracks.times_s[nuclei] == pytest.approx(at_s, abs=0.02)


@settings(max_examples=40)
@given(st.sampled_from([8_000, 16_000]), st.lists(st.floats(0.17, 0.6), max_size=10))
def test_syllables_at_any_times_are_counted(rate: int, steps_s: list[float]) -> None:
    at_s = np.cumsum([BEFORE_S, *steps_s]).tolist()
    assert len(syllable_nuclei(*spoken(at_s, rate))) == len(at_s)


@RATES
def test_swells_of_noise_are_no_syllables(rate: int) -> None:
    tracks, speech = spoken(evenly(6), rate, voiced=False)
    assert speech.any()
    assert len(syllable_nuclei(tracks, speech)) == 0


@RATES
def test_what_is_no_speech_has_no_syllables(rate: int) -> None:
    tracks, speech = spoken(evenly(6), rate)
    assert len(syllable_nuclei(tracks, np.zeros_like(speech))) == 0
    half = speech & (tracks.times_s < BEFORE_S + 0.5)
    assert len(syllable_nuclei(tracks, half)) == 3


@RATES
def test_swell_that_dips_by_less_than_2_db_is_one_syllable(rate: int) -> None:
    at = np.arange(rate) / rate
    for dip_db, count in ((1.0, 1), (6.0, 2)):
        envelope = np.where(at < 0.6, np.sin(np.pi * at / 0.6), 0) * (
            1 - (1 - 10 ** (-dip_db / 20)) * np.exp(-(((at - 0.3) / 0.04) ** 2))
        )
        envelope = np.minimum(envelope, 0.7 * (1 - (1 - 10 ** (-dip_db / 20)) * np.exp(-(((at - 0.3) / 0.04) ** 2))))
        tracks = measure_tracks(Sound((0.1 * envelope * voice(np.full(rate, 140.0), rate)).astype(np.float32), rate))
        assert len(syllable_nuclei(tracks, tracks.level_dbfs > -60)) == count


@RATES
def test_even_rhythm_varies_by_nothing_and_an_uneven_one_by_what_it_does(rate: int) -> None:
    tracks, speech = spoken(evenly(10), rate)
    even = rate_variation(syllable_nuclei(tracks, speech), speech)
    steps_s = [0.2, 0.3] * 5
    tracks, speech = spoken(np.cumsum([BEFORE_S, *steps_s]).tolist(), rate)
    uneven = rate_variation(syllable_nuclei(tracks, speech), speech)
    assert even == pytest.approx(0, abs=0.05)
    assert uneven == pytest.approx(0.05 / 0.25, abs=0.05)


@given(st.lists(st.integers(10, 60), min_size=4, max_size=20))
def test_rate_variation_is_that_of_the_intervals(steps: list[int]) -> None:
    nuclei = np.cumsum([5, *steps])
    found = rate_variation(nuclei, np.ones(nuclei[-1] + 5, bool))
    assert found == pytest.approx(np.std(steps) / np.mean(steps))


def test_interval_with_a_pause_is_no_interval() -> None:
    nuclei = np.array([5, 25, 45, 145, 165, 185])
    speech = np.ones(200, bool)
    with_pause = speech.copy()
    with_pause[60:120] = False
    assert rate_variation(nuclei, speech) != pytest.approx(0)
    assert rate_variation(nuclei, with_pause) == pytest.approx(0)
    with_pause[170:175] = False
    assert rate_variation(nuclei, with_pause) is None


def test_rate_variation_needs_4_intervals() -> None:
    speech = np.ones(200, bool)
    for count in range(5):
        assert rate_variation(np.arange(count) * 20 + 5, speech) is None
    assert rate_variation(np.arange(5) * 20 + 5, speech) == pytest.approx(0)


@RATES
@pytest.mark.parametrize("emphasised", [[], [4], [2, 7]])
def test_louder_and_higher_syllables_among_even_ones_are_emphasised(rate: int, emphasised: list[int]) -> None:
    loud_db = [8.0 if k in emphasised else 0.0 for k in range(10)]
    high_st = [5.0 if k in emphasised else 0.0 for k in range(10)]
    tracks, speech = spoken(evenly(10), rate, loud_db=loud_db, high_st=high_st)
    nuclei = syllable_nuclei(tracks, speech)
    assert len(nuclei) == 10
    assert emphasis_count(tracks, nuclei) == len(emphasised)


@RATES
def test_softer_and_lower_syllable_is_not_emphasised(rate: int) -> None:
    loud_db, high_st = [0.0] * 10, [0.0] * 10
    loud_db[4], high_st[4] = -8.0, -5.0
    tracks, speech = spoken(evenly(10), rate, loud_db=loud_db, high_st=high_st)
    assert emphasis_count(tracks, syllable_nuclei(tracks, speech)) == 0


@RATES
def test_emphasis_needs_4_syllables(rate: int) -> None:
    tracks, speech = spoken(evenly(4), rate)
    nuclei = syllable_nuclei(tracks, speech)
    assert emphasis_count(tracks, nuclei[:3]) is None
    assert emphasis_count(tracks, nuclei) == 0


def held(rate: int, seconds: float, *, st_per_s: float = 0.0) -> int:
    """Held sounds in a vowel of this length, in silence."""
    at = np.arange(round(seconds * rate)) / rate
    around = np.zeros(round(0.5 * rate))
    samples = np.concatenate([around, 0.1 * voice(140 * 2 ** (st_per_s * at / 12), rate), around])
    tracks = measure_tracks(Sound(samples.astype(np.float32), rate))
    return held_sounds(tracks, inside(speech_segments(tracks), len(tracks)))


@RATES
@pytest.mark.parametrize("seconds", [0.32, 0.5, 1.0, 3.0])
def test_held_vowel_is_one_held_sound(rate: int, seconds: float) -> None:
    assert held(rate, seconds) == 1


@RATES
def test_short_or_gliding_vowel_is_none(rate: int) -> None:
    assert held(rate, 0.25) == 0
    assert held(rate, 0.5, st_per_s=30) == 0


@RATES
def test_syllables_are_no_held_sounds(rate: int) -> None:
    tracks, speech = spoken(evenly(8), rate)
    assert held_sounds(tracks, speech) == 0


@RATES
@given(length=st.integers(1, 4_000), seed=st.integers(0, 1_000))
def test_any_sound_has_rising_nuclei_inside_its_speech(rate: int, length: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    tracks = measure_tracks(Sound(random.standard_normal(length).astype(np.float32), rate))
    speech = random.random(len(tracks)) > random.random()
    nuclei = syllable_nuclei(tracks, speech)
    assert speech[nuclei].all()
    assert (np.diff(nuclei) > 0).all()
    count = emphasis_count(tracks, nuclei)
    assert count is None or 0 <= count <= len(nuclei)
    assert held_sounds(tracks, speech) >= 0
