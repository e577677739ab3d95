"""What a spectrum says of two tones, of noise of a known colour, and of a voice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import grid, power_spectra
from pipeline.dsp.spectrum import BAND_CENTRES_HZ, flux, shape, tilt_db_per_octave
from pipeline.dsp.tracks import Tracks, measure_tracks
from tests.unit.pipeline.dsp.signals import RATES, made, seconds, sine, voice, white

BOTH = st.sampled_from([8_000, 16_000])


def inner(values: Floats) -> Floats:
    """Of the frames that see no end of the sound."""
    return values[5:-5]


def two_tones(rate: int, low_hz: float, high_hz: float, more_db: float) -> Tracks:
    """The first is so many dB over the second."""
    at = seconds(rate, 0.3)
    high = 10 ** (-more_db / 20) * np.sin(2 * np.pi * high_hz * at)
    return measure_tracks(made(np.sin(2 * np.pi * low_hz * at) + high, rate))


@settings(max_examples=40)
@given(BOTH, st.floats(100, 900), st.floats(1_150, 3_700), st.floats(-30, 30))
def test_alpha_ratio_is_energy_below_1_khz_over_energy_above(
    rate: int, low_hz: float, high_hz: float, more_db: float
) -> None:
    found = inner(two_tones(rate, low_hz, high_hz, more_db).alpha_ratio_db)
    assert found == pytest.approx(np.full(len(found), more_db), abs=0.3)


@settings(max_examples=40)
@given(BOTH, st.floats(100, 1_850), st.floats(2_150, 3_700), st.floats(-30, 30))
def test_hammarberg_is_the_peak_below_2_khz_over_that_above(
    rate: int, low_hz: float, high_hz: float, more_db: float
) -> None:
    found = inner(two_tones(rate, low_hz, high_hz, more_db).hammarberg_db)
    assert found == pytest.approx(np.full(len(found), more_db), abs=0.8)  # a peak between two bins is as much less


def test_balances_end_at_5_khz() -> None:
    """What lies over 5 kHz counts for neither."""
    at = seconds(16_000, 0.3)
    tones = np.sin(2 * np.pi * 500 * at) + 0.1 * np.sin(2 * np.pi * 3_000 * at)
    without, beside = (measure_tracks(made(x, 16_000)) for x in (tones, tones + np.sin(2 * np.pi * 6_000 * at)))
    for name in ("alpha_ratio_db", "hammarberg_db"):
        assert inner(getattr(beside, name)) == pytest.approx(inner(getattr(without, name)), abs=0.1)


@settings(max_examples=40)
@given(BOTH, st.floats(100, 1_000), st.floats(1_200, 3_700), st.floats(-20, 20))
def test_centroid_is_the_centre_of_gravity_of_the_power(
    rate: int, low_hz: float, high_hz: float, more_db: float
) -> None:
    found = inner(two_tones(rate, low_hz, high_hz, more_db).centroid_hz)
    weight = 10 ** (more_db / 10)
    assert found == pytest.approx(np.full(len(found), (weight * low_hz + high_hz) / (weight + 1)), rel=0.01, abs=3)


def coloured(rate: int, db_per_octave: float, seed: int) -> Sound:
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(10 * rate))
    hz = np.fft.rfftfreq(10 * rate, 1 / rate)
    spectrum *= np.where(hz > 50, np.maximum(hz, 50) ** (db_per_octave / (20 * np.log10(2))), 0)
    return made(np.fft.irfft(spectrum), rate)


@RATES
@pytest.mark.parametrize("db_per_octave", [-12.0, -6.0, 0.0, 3.0])
def test_tilt_is_the_colour_of_the_noise(rate: int, db_per_octave: float) -> None:
    """Power that falls with the square of the frequency: 6 dB an octave."""
    bands = measure_tracks(coloured(rate, db_per_octave, 0)).bands.mean(axis=0)
    assert tilt_db_per_octave(bands) == pytest.approx(db_per_octave, abs=0.5)


@given(st.floats(-20, 20), st.floats(1e-6, 1e3))
def test_tilt_of_bands_is_that_of_their_line(db_per_octave: float, height: float) -> None:
    bands = height * 10 ** (db_per_octave * np.log2(np.array(BAND_CENTRES_HZ) / 1_000) / 10)
    assert tilt_db_per_octave(bands.astype(np.float32)) == pytest.approx(db_per_octave, abs=1e-3)


@RATES
def test_band_holds_the_tone_at_its_centre(rate: int) -> None:
    for band, hz in enumerate(BAND_CENTRES_HZ):
        bands = measure_tracks(sine(hz, rate)).bands
        assert (inner(bands).argmax(axis=1) == band).all(), hz


@RATES
@pytest.mark.parametrize("hz", [100.0, 137.0, 220.0])
def test_voice_has_a_cepstral_peak_and_noise_has_none(rate: int, hz: float) -> None:
    """The more noise, the lower the peak. (Without any, the valleys between the harmonics are all the window's.)"""
    clean = voice(hz, rate, length_s=1.0)
    rms = float(np.sqrt(np.mean(np.square(clean.samples))))
    found = []
    for share in (0.1, 0.3, 1.0):
        sound = Sound(clean.samples + white(rate, rms=share * rms).samples, rate)
        found.append(float(inner(measure_tracks(sound).cpp_db).mean()))
    noise = float(inner(measure_tracks(white(rate)).cpp_db).mean())
    assert found[0] > found[1] > found[2] > noise + 1
    assert found[0] > noise + 8
    assert float(inner(measure_tracks(clean).cpp_db).mean()) > noise + 8


@RATES
def test_steady_tone_has_no_flux_and_a_change_has_some(rate: int) -> None:
    one, other = (sine(hz, rate, length_s=0.5).samples for hz in (500, 1_500))
    found = measure_tracks(Sound(np.concatenate([one, other]), rate)).flux
    assert np.isnan(found[0])
    assert found[6:46] == pytest.approx(0, abs=1e-3)
    assert found[54:94] == pytest.approx(0, abs=1e-3)
    assert found[46:54].max() > 0.5
    assert np.nanmax(found) <= np.sqrt(2)


@given(BOTH, st.integers(0, 1_000))
def test_flux_goes_on_over_the_blocks(rate: int, seed: int) -> None:
    """The first frame of a block has the last one of the block before it."""
    _, power = next(power_spectra(white(rate, length_s=0.3, seed=seed)))
    magnitude = shape(power, rate).magnitude
    whole = flux(magnitude, None)
    assert np.isnan(whole[0])
    for cut in (1, 7, 20):
        pieces = np.concatenate([flux(magnitude[:cut], None), flux(magnitude[cut:], magnitude[cut - 1])])
        assert pieces == pytest.approx(whole, nan_ok=True)
    assert ((whole[1:] >= 0) & (whole[1:] <= np.sqrt(2) + 1e-6)).all()


@given(BOTH, st.integers(0, 1_000), st.floats(1e-15, 1e15))
def test_shape_of_any_spectrum_is_finite(rate: int, seed: int, height: float) -> None:
    random = np.random.default_rng(seed)
    bins = grid(rate).bins
    power: NDArray[np.float64] = height * random.random((3, bins)) * (random.random((3, bins)) > random.random())
    power[0] = 0
    found = shape(power.astype(np.float32), rate)
    for name, values in found._asdict().items():
        assert np.isfinite(values).all(), name
    lengths = np.sqrt(np.square(found.magnitude).sum(axis=1))
    assert all(length == pytest.approx(0) or length == pytest.approx(1, abs=1e-3) for length in lengths)


@RATES
@pytest.mark.parametrize(("hz", "gain_db"), [(100, -1.1), (997, 0.691), (2_000, 3.1)])
def test_weighted_power_is_that_behind_the_k_filter(rate: int, hz: float, gain_db: float) -> None:
    """BS.1770-5: its -0.691 dB undo the gain at 997 Hz."""
    tracks = measure_tracks(sine(hz, rate))
    found = 10 * np.log10(inner(tracks.weighted_power) / inner(tracks.power))
    assert found == pytest.approx(np.full(len(found), gain_db), abs=0.2)
