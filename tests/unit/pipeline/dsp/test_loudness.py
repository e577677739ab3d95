"""Levels, loudness and noise: closed forms, the standards' own procedures, and laws."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pyloudnorm
import pytest
import scipy.signal
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.activity import inside, speech_segments
from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.loudness import (
    active_level_dbfs,
    clipped_ratio,
    level_dbfs,
    level_range_db,
    level_slope_db_per_s,
    loudness_lufs,
    noise_and_snr,
    peak_dbfs,
)
from pipeline.dsp.tracks import measure_tracks

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])

SIGNALS = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200).map(lambda x: np.array(x, dtype=np.float32))


def tone(peak: float, *, hz: float = 1_000, rate: int = 16_000, seconds: float = 1) -> Floats:
    found: Floats = (peak * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)
    return found


def voice(rate: int, seconds: float, *, hz: float = 130.0) -> Floats:
    """Harmonics that fall by 6 dB an octave, with a peak of 0.3."""
    at = np.arange(round(rate * seconds)) / rate
    samples = sum((np.sin(2 * np.pi * hz * k * at) / k for k in range(1, int(0.45 * rate / hz))), np.zeros(len(at)))
    found: Floats = (0.3 * samples / np.abs(samples).max()).astype(np.float32)
    return found


def noise(rate: int, seconds: float, *, rms: float, seed: int = 0) -> Floats:
    found: Floats = (rms * np.random.default_rng(seed).standard_normal(round(rate * seconds))).astype(np.float32)
    return found


def gate(rate: int, seconds: float, *, on_s: float = 0.7, off_s: float = 0.5) -> Floats:
    """1 and 0 in turn, beginning with 0."""
    at = np.arange(round(rate * seconds)) / rate
    return ((at % (on_s + off_s)) >= off_s).astype(np.float32)


def of(found: float | None) -> float:
    assert found is not None
    return found


def test_sine_at_full_scale_is_minus_3_01_and_peaks_at_0() -> None:
    assert of(level_dbfs(tone(1.0))) == pytest.approx(-3.0103, abs=1e-3)
    assert peak_dbfs(tone(1.0)) == pytest.approx(0.0, abs=1e-6)


def test_square_wave_at_full_scale_is_0() -> None:
    assert of(level_dbfs(np.array([1, -1] * 100, dtype=np.float32))) == 0.0


def test_offset_adds_nothing_to_the_level() -> None:
    assert of(level_dbfs(tone(0.1) + np.float32(0.5))) == pytest.approx(of(level_dbfs(tone(0.1))), abs=1e-3)
    assert level_dbfs(np.full(8_000, 0.5, dtype=np.float32)) is None


def test_digital_silence_has_no_level_no_peak_no_clipping_and_no_loudness() -> None:
    silent = np.zeros(8_000, dtype=np.float32)
    assert (level_dbfs(silent), peak_dbfs(silent), clipped_ratio(silent)) == (None, None, None)
    assert active_level_dbfs(Sound(silent, 8_000)) is None
    assert loudness_lufs(measure_tracks(Sound(silent, 8_000)).weighted_power) is None


@given(SIGNALS)
def test_level_is_at_most_the_peak_and_that_at_most_full_scale(samples: Floats) -> None:
    level, peak = level_dbfs(samples), peak_dbfs(samples)
    if level is None:
        assert float(np.var(samples, dtype=np.float64)) < 1e-12
    else:
        assert -120 <= level <= of(peak) + 1e-6
        assert of(peak) <= 0


@given(SIGNALS, st.floats(-20, 20))
def test_gain_moves_level_and_peak_by_itself(samples: Floats, gain_db: float) -> None:
    louder = samples * np.float32(10 ** (gain_db / 20))
    for measure in (level_dbfs, peak_dbfs):
        before, after = measure(samples), measure(louder)
        if before is not None and after is not None:
            assert after - before == pytest.approx(gain_db, abs=1e-3)


def test_peak_is_of_either_sign() -> None:
    assert peak_dbfs(np.array([0.1, -0.5, 0.2], dtype=np.float32)) == pytest.approx(-6.0206, abs=1e-3)


def test_square_wave_at_full_scale_is_clipped_all_over() -> None:
    square = np.repeat(np.array([1, -1] * 100, dtype=np.float32), 40)
    assert of(clipped_ratio(square)) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("peak", [0.5, 0.97, 0.999])
def test_sine_that_full_scale_does_not_cut_is_not_clipped(peak: float) -> None:
    assert clipped_ratio(tone(peak, hz=997)) == 0.0


@pytest.mark.parametrize("over_db", [1.0, 6.0, 20.0])
def test_clipped_share_of_a_sine_is_what_lay_over_full_scale(over_db: float) -> None:
    beyond = 10 ** (over_db / 20)
    clipped = np.clip(tone(beyond, hz=99.7), -1, 1).astype(np.float32)
    assert of(clipped_ratio(clipped)) == pytest.approx(1 - 2 / np.pi * np.arcsin(1 / beyond), abs=0.01)


def test_waveform_cut_below_full_scale_is_not_said_to_be_clipped() -> None:
    assert clipped_ratio(np.clip(tone(1.0), -0.5, 0.5).astype(np.float32)) == 0.0


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "PCM_16", "PCM_24", "FLOAT"])
def test_clipping_is_seen_through_any_codec(subtype: str) -> None:
    """The greatest value of the laws is less than 1; that of whole numbers is not the same for both signs."""
    file = io.BytesIO()
    soundfile.write(file, np.clip(tone(2.0, hz=99.7, rate=8_000), -1, 1), 8_000, format="WAV", subtype=subtype)
    read, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    assert of(clipped_ratio(read)) == pytest.approx(2 / 3, abs=0.03)


def test_one_sign_alone_may_be_clipped() -> None:
    samples = np.clip(tone(1.0, hz=99.7) + np.float32(0.5), -1, 1).astype(np.float32)
    assert of(clipped_ratio(samples)) == pytest.approx(1 / 3, abs=0.01)


@given(SIGNALS)
def test_clipped_share_is_a_share(samples: Floats) -> None:
    found = clipped_ratio(samples)
    assert found is None or 0 <= found <= 1


def p56(samples: Floats, rate: int) -> float:
    """ITU-T P.56, method B, as it is written: sample by sample, the thresholds a factor of 2 apart."""
    keep = np.exp(-1 / (rate * 0.03))
    squares = np.square(samples, dtype=np.float64).sum()
    once = scipy.signal.lfilter([1 - keep], [1, -keep], np.abs(samples).astype(np.float64))
    envelope = scipy.signal.lfilter([1 - keep], [1, -keep], once)
    number = np.arange(len(samples))
    before = None
    for threshold in 2.0 ** np.arange(-15, 1):
        last = np.maximum.accumulate(np.where(envelope >= threshold, number, -len(samples)))
        active = (number - last <= np.ceil(rate * 0.2)).sum()
        level = 10 * np.log10(squares / max(active, 1))
        above = level - 20 * np.log10(threshold)
        if above <= 15.9:
            assert before is not None
            share = (before[1] - 15.9) / (before[1] - above)
            return float(before[0] + share * (level - before[0]))
        before = level, above
    raise AssertionError("no threshold lies 15.9 dB under its level")


SPEECHLIKE: dict[str, Callable[[int], Floats]] = {
    "voice": lambda rate: voice(rate, 3),
    "gated voice": lambda rate: voice(rate, 6) * gate(rate, 6),
    "gated voice in noise": lambda rate: voice(rate, 6) * gate(rate, 6) + noise(rate, 6, rms=0.003),
    "slow gate": lambda rate: voice(rate, 8) * gate(rate, 8, on_s=1, off_s=2),
    "noise": lambda rate: noise(rate, 3, rms=0.1),
    "quiet": lambda rate: voice(rate, 3) * np.float32(0.01),
    "a bang in noise": lambda rate: np.concatenate(
        [noise(rate, 15, rms=0.03), noise(rate, 0.1, rms=0.9, seed=1), noise(rate, 15, rms=0.03)]
    ),
}


@RATES
@pytest.mark.parametrize("name", SPEECHLIKE)
def test_active_level_is_that_of_the_standards_own_procedure(rate: int, name: str) -> None:
    samples = SPEECHLIKE[name](rate)
    assert of(active_level_dbfs(Sound(samples, rate))) == pytest.approx(p56(samples, rate), abs=0.3)


@RATES
def test_active_level_of_what_sounds_half_the_time_is_3_db_over_the_whole_level(rate: int) -> None:
    """Less what the hangover of 0.2 s and the envelope add to each second of sound."""
    samples = noise(rate, 20, rms=0.1) * gate(rate, 20, on_s=1, off_s=1)
    more = of(active_level_dbfs(Sound(samples, rate))) - of(level_dbfs(samples))
    assert more == pytest.approx(10 * np.log10(2 / 1.25), abs=0.4)


@RATES
@given(gain_db=st.floats(-30, 10))
def test_active_level_follows_the_gain(rate: int, gain_db: float) -> None:
    samples = voice(rate, 1.2) * gate(rate, 1.2)
    louder = Sound(samples * np.float32(10 ** (gain_db / 20)), rate)
    assert of(active_level_dbfs(louder)) - of(active_level_dbfs(Sound(samples, rate))) == pytest.approx(
        gain_db, abs=0.1
    )


def lufs(samples: Floats, rate: int) -> float | None:
    return loudness_lufs(measure_tracks(Sound(samples, rate)).weighted_power)


@RATES
def test_sine_of_997_hz_at_full_scale_has_minus_3_01_lufs(rate: int) -> None:
    """ITU-R BS.1770-5, annex 1."""
    assert lufs(tone(1.0, hz=997, rate=rate, seconds=3), rate) == pytest.approx(-3.01, abs=0.1)


@RATES
@pytest.mark.parametrize(
    "name",
    ["voice", "gated voice in noise", "noise", "low tone", "high tone", "loud then 30 dB less", "a bang in noise"],
)
def test_loudness_is_pyloudnorms_at_the_rate_for_which_the_standard_has_filters(rate: int, name: str) -> None:
    more: dict[str, Callable[[int], Floats]] = {
        "low tone": lambda rate: tone(0.5, hz=120, rate=rate, seconds=3),
        "high tone": lambda rate: tone(0.5, hz=2_500, rate=rate, seconds=3),
        "loud then 30 dB less": lambda rate: np.concatenate(
            [voice(rate, 3), voice(rate, 3) * np.float32(10 ** (-30 / 20))]
        ),
    }
    samples = (SPEECHLIKE | more)[name](rate)
    at_48_khz = scipy.signal.resample(samples.astype(np.float64), len(samples) * 48_000 // rate)
    expected = pyloudnorm.Meter(48_000).integrated_loudness(at_48_khz)
    assert lufs(samples, rate) == pytest.approx(expected, abs=0.15)


@RATES
def test_what_is_shorter_than_a_block_or_under_the_absolute_gate_has_no_loudness(rate: int) -> None:
    assert lufs(voice(rate, 0.39), rate) is None
    assert lufs(voice(rate, 0.41), rate) is not None
    assert lufs(voice(rate, 2) * np.float32(1e-3), rate) is None


@RATES
@pytest.mark.parametrize("snr_db", [20.0, 10.0])
def test_noise_and_signal_to_noise_are_those_that_were_mixed(rate: int, snr_db: float) -> None:
    speech, on = voice(rate, 8), gate(rate, 8)
    rms = 10 ** ((of(level_dbfs(speech)) - snr_db) / 20)
    tracks = measure_tracks(Sound(speech * on + noise(rate, 8, rms=rms), rate))
    floor, snr = noise_and_snr(tracks.power, inside(speech_segments(tracks), len(tracks)))
    assert of(floor) == pytest.approx(20 * np.log10(rms), abs=1)
    assert of(snr) == pytest.approx(snr_db, abs=1)


def test_noise_needs_100_ms_that_are_50_ms_from_speech() -> None:
    power = np.full(100, 1e-4, np.float32)
    speech = np.ones(100, bool)
    speech[:14] = False
    assert noise_and_snr(power, speech) == (None, None)
    speech[14] = False
    power[15:] = 1.0
    floor, snr = noise_and_snr(power, speech)
    assert of(floor) == pytest.approx(-40, abs=1e-3)
    assert of(snr) == pytest.approx(40, abs=0.01)


def test_speech_that_is_not_over_the_noise_has_no_ratio_to_it() -> None:
    speech = np.arange(100) < 50
    assert noise_and_snr(np.where(speech, 1e-6, 1e-4).astype(np.float32), speech)[1] is None
    assert noise_and_snr(np.where(speech, 1e-6, 0).astype(np.float32), speech) == (None, None)


@given(st.integers(0, 200), st.floats(-90, 0, width=32), st.integers(0, 10_000))
def test_noise_and_its_ratio_are_finite_or_none(frames: int, level: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    power = (10 ** (level / 10) * random.random(frames) * (random.random(frames) > 0.3)).astype(np.float32)
    for found in noise_and_snr(power, random.random(frames) > random.random()):
        assert found is None or np.isfinite(found)


def ramp(db_per_s: float, frames: int) -> tuple[NDArray[np.float64], Floats]:
    times = np.arange(frames, dtype=np.float64) * 0.01 + 0.005
    return times, (-40 + db_per_s * times).astype(np.float32)


@given(st.floats(-30, 30), st.integers(60, 500))
def test_ramp_has_its_slope_and_eight_tenths_of_its_height_as_range(db_per_s: float, frames: int) -> None:
    times, levels = ramp(db_per_s, frames)
    assert of(level_slope_db_per_s(times, levels)) == pytest.approx(db_per_s, abs=1e-3)
    assert of(level_range_db(levels)) == pytest.approx(0.8 * abs(db_per_s) * (frames - 1) / 100, abs=1e-3)


@RATES
def test_fading_voice_falls_as_fast_as_it_fades(rate: int) -> None:
    seconds = 2.0
    fade = 10 ** (-6 / 20 * np.arange(round(rate * seconds)) / rate)
    tracks = measure_tracks(Sound((voice(rate, seconds) * fade).astype(np.float32), rate))
    assert of(level_slope_db_per_s(tracks.times_s, tracks.level_dbfs)) == pytest.approx(-6, abs=0.3)
    assert of(level_range_db(tracks.level_dbfs)) == pytest.approx(0.8 * 12, abs=0.5)


def test_slope_needs_half_a_second_and_range_a_frame() -> None:
    assert level_slope_db_per_s(*ramp(3, 50)) is None
    assert level_slope_db_per_s(*ramp(3, 52)) is not None
    nothing = np.empty(0, np.float32)
    assert level_slope_db_per_s(np.empty(0), nothing) is None
    assert level_range_db(nothing) is None
