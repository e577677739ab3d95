"""Praat as an oracle, through praat-parselmouth, with its own defaults except where said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import parselmouth
from numpy.typing import NDArray
from parselmouth.praat import call

from pipeline.audio.decode import Sound
from pipeline.dsp.frames import HOP_S
from pipeline.dsp.pitch import HIGHEST_HZ, LOWEST_HZ

Doubles = NDArray[np.float64]

AUDITORY_DB = 20 * np.log10(1 / 2e-5)
"""Praat's decibels are relative to 2e-5, ours to full scale."""


class Voice(NamedTuple):
    """Of Praat's voice report."""

    jitter_local: float
    shimmer_local: float
    hnr_db: float


def pitch(sound: Sound, frames: int) -> tuple[Doubles, Doubles]:
    """F0 by Praat's autocorrelation, 75-500 Hz, every 10 ms.

    Returns ([frames] at our frames' centres: 0 where unvoiced, NaN where Praat has no frame; all of Praat's voiced F0).
    """
    found = _sound(_aligned(sound)).to_pitch_ac(time_step=HOP_S, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    times, f0_hz = found.xs(), found.selected_array["frequency"]
    ours = np.full(frames, np.nan)
    index = np.rint(times / HOP_S - 0.5).astype(int)
    assert np.abs((index + 0.5) * HOP_S - times).max() < 1e-3, "Praat's frames lie beside ours"
    inside = index < frames
    ours[index[inside]] = f0_hz[inside]
    return ours, f0_hz[f0_hz > 0]


def voice(sound: Sound) -> Voice:
    """Jitter, shimmer and HNR as the voice report gives them."""
    made = _sound(sound)
    path = made.to_pitch_ac(time_step=HOP_S, pitch_floor=LOWEST_HZ, pitch_ceiling=HIGHEST_HZ)
    pulses = call([made, path], "To PointProcess (cc)")
    report = call([made, path, pulses], "Voice report", 0, 0, LOWEST_HZ, HIGHEST_HZ, 1.3, 1.6, 0.03, 0.45)
    return Voice(
        call(pulses, "Get jitter (local)", 0, 0, 0.0001, 0.02, 1.3),
        call([made, pulses], "Get shimmer (local)", 0, 0, 0.0001, 0.02, 1.3, 1.6),
        float(report.split("Mean harmonics-to-noise ratio: ")[1].split()[0]),
    )


def intensity_dbfs(sound: Sound) -> tuple[Doubles, Doubles]:
    """Times [s] and level [dBFS] of Praat's intensity, lowest pitch 100 Hz, every 10 ms."""
    found = _sound(_aligned(sound)).to_intensity(minimum_pitch=100, time_step=HOP_S)
    return found.xs(), found.values[0] - AUDITORY_DB


def syllables(sound: Sound, *, below_db: float = 25, dip_db: float = 2) -> int:
    """Syllable nuclei after the steps of de Jong & Wempe (2009)."""
    made = _sound(sound)
    level = made.to_intensity(minimum_pitch=50)
    times, values = level.xs(), level.values[0]
    if len(values) < 3:
        return 0
    threshold = max(float(np.quantile(values, 0.99)) - below_db, values.min())
    peaks = 1 + np.flatnonzero((values[1:-1] > values[:-2]) & (values[1:-1] >= values[2:]))
    peaks = peaks[values[peaks] > threshold]
    if not len(peaks):
        return 0
    dips = np.minimum.reduceat(values, peaks)
    deep = peaks[values[peaks] - dips > dip_db]
    path = call(made, "To Pitch (ac)", 0.02, 30, 4, "no", 0.03, 0.25, 0.01, 0.35, 0.25, 450)
    return sum(not np.isnan(call(path, "Get value at time", times[peak], "Hertz", "linear")) for peak in deep)


def _sound(sound: Sound) -> parselmouth.Sound:
    return parselmouth.Sound(sound.samples.astype(np.float64), sound.rate)


def _aligned(sound: Sound) -> Sound:
    """Cut so that Praat, which centres its frames in the sound, has them where ours are: one sample less than whole
    hops leaves half a hop at either end."""
    hop = round(sound.rate * HOP_S)
    return Sound(sound.samples[: len(sound.samples) // hop * hop - 1], sound.rate)
