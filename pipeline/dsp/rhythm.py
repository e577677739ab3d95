"""Rhythm: syllable nuclei, how evenly they come, and which stand out. Pure functions on numpy arrays.

Nuclei after de Jong & Wempe (2009), "Praat script to detect syllable nuclei and measure speech rate automatically",
Behavior Research Methods 41: peaks of intensity over a threshold, with a dip of 2 dB before the next one, that are
voiced.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from pipeline.audio.decode import Floats
from pipeline.dsp.frames import HOP_S, WINDOW_S
from pipeline.dsp.intonation import semitones
from pipeline.dsp.tracks import FLOOR_DBFS, Tracks, levels_dbfs

DIP_DB = 2.0
BELOW_LOUD_DB = 25.0
LOUD_QUANTILE = 0.99

INTENSITY_SIGMA_S = 0.0142
"""Of the window of 128 ms over which Praat smooths intensity at the script's lowest pitch of 50 Hz (a Kaiser window
with beta 20.24 is a Gaussian whose sigma is the half width over the root of beta)."""

VOICED = 0.45
"""Strength of a candidate in a peak's frame, or one beside it, from which on the peak is voiced: the script asks for
less than our pitch path does."""

FEWEST_INTERVALS = 4
FEWEST_SYLLABLES = 4

PROMINENT = 1.5
"""Robust standard deviations over the median of the turn's syllables, loudness and F0 together."""

HELD_S = 0.3
HELD_ST = 0.25
HELD_FLUX = 0.3
"""A sound is held for so long while pitch moves no more than this from frame to frame, and the spectrum no more than
that: in 189 s of read and spoken turns, ten stretches."""

LEAST_SPREAD_DB, LEAST_SPREAD_ST = 1.0, 0.5
"""About what can just be heard: a turn more even than that has no prominent syllables."""


def syllable_nuclei(tracks: Tracks, speech: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Frames of the syllable nuclei, rising. speech : bool [frames]."""
    intensity = _smoothed(tracks.power)
    if len(intensity) < 3 or not speech.any():  # noqa: PLR2004 - a peak has two neighbours
        return np.empty(0, np.intp)
    threshold = max(float(np.quantile(intensity, LOUD_QUANTILE)) - BELOW_LOUD_DB, float(intensity.min()), FLOOR_DBFS)
    middle = intensity[1:-1]
    peaks = 1 + np.flatnonzero((middle > intensity[:-2]) & (middle >= intensity[2:]) & (middle > threshold))
    if not len(peaks):
        return peaks
    # The lowest frame between a peak and the next one, or the end.
    dips = np.minimum.reduceat(intensity, peaks)
    deep = intensity[peaks] - dips > DIP_DB
    voiced = maximum_filter1d(tracks.periodicity, 3)[peaks] > VOICED
    nuclei: NDArray[np.intp] = peaks[deep & voiced & speech[peaks]]
    return nuclei


def rate_variation(nuclei: NDArray[np.intp], speech: NDArray[np.bool_]) -> float | None:
    """Standard deviation over mean of the intervals between neighbouring nuclei; intervals with a pause are left out.

    speech : bool [frames]; silences shorter than a pause count as speech. None when there are fewer than 4 intervals.
    """
    if len(nuclei) <= FEWEST_INTERVALS:
        return None
    silent = np.concatenate(([0], np.cumsum(~speech)))
    intervals = np.diff(nuclei)[silent[nuclei[1:]] == silent[nuclei[:-1]]]
    if len(intervals) < FEWEST_INTERVALS:
        return None
    return float(intervals.std() / intervals.mean())


def emphasis_count(tracks: Tracks, nuclei: NDArray[np.intp]) -> int | None:
    """Prominent syllables: loudness and F0 at the nucleus, each against the turn's median and spread, are over 1.5 on
    average. A nucleus off the pitch path counts by its loudness alone. None when there are fewer than 4."""
    if len(nuclei) < FEWEST_SYLLABLES:
        return None
    loud = _standing(tracks.level_dbfs[nuclei].astype(np.float64), LEAST_SPREAD_DB)
    pitch = np.full(len(nuclei), np.nan)
    on_path = np.isfinite(tracks.f0_hz[nuclei])
    if on_path.sum() >= FEWEST_SYLLABLES:
        pitch[on_path] = _standing(semitones(tracks.f0_hz[nuclei[on_path]]), LEAST_SPREAD_ST)
    both = np.where(np.isfinite(pitch), (loud + pitch) / 2, loud)
    return int((both > PROMINENT).sum())


def held_sounds(tracks: Tracks, speech: NDArray[np.bool_]) -> int:
    """Stretches of 300 ms or more that are voiced while pitch and spectrum are at rest: filled pauses, after Goto, Itou
    & Hayamizu (1999), "A real-time filled pause detection system for spontaneous speech recognition"."""
    pitch = semitones(tracks.f0_hz)
    moves = np.abs(np.diff(pitch, prepend=np.nan))
    rest = speech & (moves < HELD_ST) & (tracks.flux < HELD_FLUX)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], rest, [False]))))
    lengths = edges[1::2] - edges[::2]
    # A frame is at rest against the one before it: the first of a stretch never is.
    return int((lengths >= round(HELD_S / HOP_S) - 1).sum())


def _standing(values: NDArray[np.float64], least_spread: float) -> NDArray[np.float64]:
    """Robust z-scores: distance from the median over 1.4826 times the median distance."""
    distance = values - np.median(values)
    spread = 1.4826 * float(np.median(np.abs(distance)))
    found: NDArray[np.float64] = distance / max(spread, least_spread)
    return found


def _smoothed(power: Floats) -> Floats:
    """Intensity [dB] as the script's: the frames' power smoothed from their own window to INTENSITY_SIGMA_S."""
    kernel = _kernel()
    reach = len(kernel) // 2
    padded = np.pad(power, reach, mode="edge")
    return levels_dbfs(np.convolve(padded, kernel, mode="valid").astype(np.float32))


@lru_cache
def _kernel() -> Floats:
    # A squared Hann is nearly a Gaussian, of a sigma of its half length over pi; variances add up.
    own = WINDOW_S / 2 / np.pi
    sigma = np.sqrt(INTENSITY_SIGMA_S**2 - own**2) / HOP_S
    weights = np.exp(-0.5 * (np.arange(-4, 5) / sigma) ** 2)
    kernel: Floats = weights / weights.sum()
    return kernel
