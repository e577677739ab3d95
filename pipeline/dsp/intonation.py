"""The F0 over a turn: its distribution, slope and final contour. Pure functions on numpy arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.decode import Floats
from schemas.features import FinalContour

FEWEST_FRAMES = 5
"""50 ms: two or three periods of a low voice."""

SHORTEST_SLOPE_S = 0.5
SLOPE_POINTS = 100
"""Frames that the median of slopes is made of, evenly spread: 4,950 pairs."""

FINAL_S = 0.3
FINAL_WITHIN_S = 0.5
FEWEST_FINAL_FRAMES = 8
FINAL_OUTLIER_ST = 6.0
"""Half an octave from the final stretch's median: an octave jump that the track let pass, or creak."""

RISE_ST = 1.5
"""Smaller movements are not heard as a rise or a fall in running speech ('t Hart 1981: 1.5 to 2 semitones)."""


class Distribution(NamedTuple):
    mean_hz: float
    median_hz: float
    sd_hz: float
    p5_hz: float
    p95_hz: float
    range_st: float


def distribution(f0_hz: Floats) -> Distribution | None:
    """Of the F0 of the voiced frames; None when there are fewer than 5. f0_hz : float32 [voiced frames]."""
    if len(f0_hz) < FEWEST_FRAMES:
        return None
    p5, median, p95 = (float(value) for value in np.percentile(f0_hz, (5, 50, 95)))
    return Distribution(
        mean_hz=float(f0_hz.mean(dtype=np.float64)),
        median_hz=median,
        sd_hz=float(f0_hz.std(dtype=np.float64)),
        p5_hz=p5,
        p95_hz=p95,
        range_st=12 * float(np.log2(p95 / p5)),
    )


def semitones(f0_hz: Floats) -> NDArray[np.float64]:
    """Semitones over 1 Hz."""
    found: NDArray[np.float64] = 12 * np.log2(f0_hz, dtype=np.float64)
    return found


def slope_st_per_s(times_s: NDArray[np.float64], f0_hz: Floats) -> float | None:
    """Median of the slopes between voiced frames [semitones/s] (Theil 1950, Sen 1968): octave errors don't move it.

    times_s, f0_hz : of the voiced frames. None when they span less than 0.5 s.
    """
    if len(f0_hz) < FEWEST_FRAMES or times_s[-1] - times_s[0] < SHORTEST_SLOPE_S:
        return None
    chosen = np.unique(np.linspace(0, len(f0_hz) - 1, min(len(f0_hz), SLOPE_POINTS)).astype(np.intp))
    first, second = np.triu_indices(len(chosen), 1)
    pitch, times = semitones(f0_hz[chosen]), times_s[chosen]
    return float(np.median((pitch[second] - pitch[first]) / (times[second] - times[first])))


def final_movement_st(times_s: NDArray[np.float64], f0_hz: Floats, *, end_s: float) -> float | None:
    """Change of the F0 along the last 300 ms that are voiced [semitones], by least squares.

    times_s, f0_hz : of the voiced frames. end_s : end of the last speech. None when fewer than 8 voiced frames lie in
    the last 500 ms before it.
    """
    near = times_s > end_s - FINAL_WITHIN_S
    if near.sum() < FEWEST_FINAL_FRAMES:
        return None
    times, pitch = times_s[near], semitones(f0_hz[near])
    last = times > times[-1] - FINAL_S
    times, pitch = times[last], pitch[last]
    kept = np.abs(pitch - np.median(pitch)) < FINAL_OUTLIER_ST
    times, pitch = times[kept], pitch[kept]
    if len(times) < FEWEST_FINAL_FRAMES:
        return None
    centred = times - times.mean()
    return float(centred @ pitch / (centred @ centred) * (times[-1] - times[0]))


def final_contour(movement_st: float) -> FinalContour:
    """rise or fall from 1.5 semitones on, else level."""
    if abs(movement_st) < RISE_ST:
        return "level"
    return "rise" if movement_st > 0 else "fall"
