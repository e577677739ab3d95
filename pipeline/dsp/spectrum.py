"""What a frame's spectrum says: power, weighted power, and its shape. Pure functions on blocks of power spectra."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from pipeline.audio.decode import Floats
from pipeline.dsp.frames import NARROW_HZ, Grid, grid

SPLIT_HZ = (50.0, 1_000.0, 5_000.0)
"""Alpha ratio: the energy between the first two over that between the last two (Patel et al. 2010)."""

HAMMARBERG_HZ = (2_000.0, 5_000.0)
"""Strongest peak up to the first over the strongest between the two (Hammarberg et al. 1980)."""

BAND_CENTRES_HZ = tuple(1_000 * 2 ** (k / 3) for k in range(-7, 6))
"""Third octaves from 200 Hz to 3.15 kHz: from about the first harmonic to the end of the telephone's band."""

SPEECH_BAND_HZ = (200.0, 3_500.0)
"""Where speech has most of its power and rumble has little; about the telephone's band."""

CEPSTRUM_HZ = (60.0, 500.0)
TREND_FROM_S = 0.001
"""The cepstrum's peak is sought between these pitches, its trend fitted from 1 ms on (Hillenbrand et al. 1994)."""

TINY = np.float32(1e-15)
"""-150 dB: below any recording, so that a logarithm is finite."""


class Shape(NamedTuple):
    """Of each frame, float32 [frames] unless said otherwise.

    power : mean square under the squared taper, without the frame's mean. weighted_power : the same, K-weighted.
    speech_band_power : the same, of what lies in SPEECH_BAND_HZ.
    bands : [frames, len(BAND_CENTRES_HZ)], power density. centroid_hz : centre of gravity of the power.
    magnitude : [frames, bins], unit length (or 0): what the flux compares. alpha_ratio_db, hammarberg_db, cpp_db.
    """

    power: Floats
    weighted_power: Floats
    speech_band_power: Floats
    bands: Floats
    centroid_hz: Floats
    magnitude: Floats
    alpha_ratio_db: Floats
    hammarberg_db: Floats
    cpp_db: Floats


def shape(power: Floats, rate: int) -> Shape:
    """Shape of each frame of a block. power : float32 [frames, bins], as `frames.power_spectra` gives it."""
    cut = grid(rate)
    sums = power @ _weights(rate)
    total, weighted, speech_band, moment, low, high = sums[:, :6].T
    first, second = (int(np.ceil(hz / rate * cut.transform)) for hz in HAMMARBERG_HZ)
    peaks = np.maximum(power[:, :first].max(axis=1), TINY), np.maximum(power[:, first:second].max(axis=1), TINY)
    magnitude = np.sqrt(power)
    magnitude /= np.maximum(np.sqrt(np.square(magnitude).sum(axis=1, keepdims=True)), TINY)
    return Shape(
        power=total,
        weighted_power=weighted,
        speech_band_power=speech_band,
        bands=sums[:, 6:],
        centroid_hz=moment / np.maximum(total, TINY),
        magnitude=magnitude,
        alpha_ratio_db=10 * np.log10(np.maximum(low, TINY) / np.maximum(high, TINY)),
        hammarberg_db=10 * np.log10(peaks[0] / peaks[1]),
        cpp_db=cepstral_peak_prominence(power, rate),
    )


def flux(magnitude: Floats, before: Floats | None) -> Floats:
    """Distance of each frame's normalised magnitude spectrum from that of the frame before it, 0 to sqrt(2).

    magnitude : float32 [frames, bins]. before : [bins], of the frame before the first, None when there is none: then
    the first is NaN. Returns float32 [frames]. Source: Scheirer & Slaney 1997.
    """
    first = np.full_like(magnitude[:1], np.nan) if before is None else before[None]
    steps = np.diff(magnitude, axis=0, prepend=first)
    distance: Floats = np.sqrt(np.square(steps).sum(axis=1))
    return distance


def cepstral_peak_prominence(power: Floats, rate: int) -> Floats:
    """Height of the cepstrum's peak over its linear trend [dB], float32 [frames], below 4 kHz.

    The cepstrum is the transform of the power spectrum in dB, its magnitude in dB again (Hillenbrand, Cleveland &
    Erickson 1994), unsmoothed.
    """
    cut = grid(rate)
    band = cut.transform * (NARROW_HZ // 2) // rate + 1
    in_db = 10 * np.log10(np.maximum(power[:, :band], TINY))
    cepstrum = scipy.fft.dct(in_db, type=1, axis=1)
    trend_from = round(TREND_FROM_S * NARROW_HZ)
    heights = 20 * np.log10(np.maximum(np.abs(cepstrum[:, trend_from:]), TINY))
    quefrency = np.arange(heights.shape[1], dtype=np.float32)
    centred = quefrency - quefrency.mean()
    slope = heights @ centred / np.square(centred).sum()
    sought = slice(int(NARROW_HZ / CEPSTRUM_HZ[1]) - trend_from, int(NARROW_HZ / CEPSTRUM_HZ[0]) + 1 - trend_from)
    at = heights[:, sought].argmax(axis=1) + sought.start
    prominence: Floats = heights[np.arange(len(heights)), at] - heights.mean(axis=1) - slope * centred[at]
    return prominence


def tilt_db_per_octave(bands: Floats) -> float:
    """Slope of a spectrum [dB per octave]. bands : float [len(BAND_CENTRES_HZ)], power density in third octaves."""
    octaves = np.log2(np.array(BAND_CENTRES_HZ))
    levels = 10 * np.log10(np.maximum(bands, TINY))
    return float(np.polynomial.polynomial.polyfit(octaves, levels, 1)[1])


@lru_cache
def _weights(rate: int) -> Floats:
    """float32 [bins, 6 + bands]: columns total, K-weighted, speech band, total times Hz, low, high, third octaves."""
    cut = grid(rate)
    hz = cut.frequencies.astype(np.float64)
    # Parseval: every bin but the first and the last (the transform is even) counts twice.
    once = np.full(cut.bins, 2.0)
    once[[0, -1]] = 1
    once /= cut.transform * np.square(cut.taper, dtype=np.float64).sum()
    low, middle, high = SPLIT_HZ
    columns = [
        once,
        once * _k_weighting(hz),
        once * ((hz >= SPEECH_BAND_HZ[0]) & (hz < SPEECH_BAND_HZ[1])),
        once * hz,
        once * ((hz >= low) & (hz < middle)),
        once * ((hz >= middle) & (hz < high)),
        *(_band(cut, centre) for centre in BAND_CENTRES_HZ),
    ]
    weights: Floats = np.stack(columns, axis=1).astype(np.float32)
    return weights


def _band(cut: Grid, centre_hz: float) -> Floats:
    """Mean of the bins in the third octave around `centre_hz`; a bin counts by the share of it that lies inside."""
    width = cut.rate / cut.transform
    low, high = centre_hz * 2 ** (-1 / 6), centre_hz * 2 ** (1 / 6)
    left = np.maximum(cut.frequencies - width / 2, low)
    right = np.minimum(cut.frequencies + width / 2, high)
    inside = np.maximum(0, right - left)
    share: Floats = inside / inside.sum()
    return share


def _k_weighting(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power gain of the K-weighting at each frequency: the filters of ITU-R BS.1770-5, tables 1 and 2, at 48 kHz."""
    shelf = ([1.53512485958697, -2.69169618940638, 1.19839281085285], [1.0, -1.69065929318241, 0.73248077421585])
    high_pass = ([1.0, -2.0, 1.0], [1.0, -1.99004745483398, 0.99007225036621])
    gain = np.ones(len(hz))
    for b, a in (shelf, high_pass):
        _, response = scipy.signal.freqz(b, a, worN=hz, fs=48_000)
        gain = gain * np.abs(response) ** 2
    return gain
