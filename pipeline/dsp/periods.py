"""Periods of the voice one by one, and how they differ from each other: jitter and shimmer.

Marks are set one period apart along the pitch track, and each period is then measured by waveform matching: the shift
at which the cycle around one mark fits best over the next. So nothing depends on where in the cycle the marks fall,
and the telephone may have cut the fundamental away.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import HOP_S

FEWEST_PAIRS = 10
"""Pairs of neighbouring periods below which their mean difference says nothing."""

LONGEST_RATIO = 1.3
"""Neighbours that differ by more are no periods of one voice but an error of the track (Praat's maximum factor)."""

LARGEST_RATIO = 1.6
"""The same of amplitudes (Praat's maximum amplitude factor)."""

SEARCH = 0.08
"""Share of a period by which its length may differ from the track's."""

MATCHED = 0.5
"""Correlation of two neighbouring cycles from which on they are cycles of a voice."""

BLOCK_CYCLES = 256

PHASES = 16
"""Parts of a cycle whose energy is told apart to find its centre."""


class Perturbation(NamedTuple):
    """jitter, shimmer : as shares of the mean; None when there are fewer than FEWEST_PAIRS pairs."""

    jitter: float | None
    shimmer: float | None


class Marks(NamedTuple):
    """at : sample, float64 [n], rising. period : the track's period there, in samples, float64 [n]. run : int [n],
    the voiced stretch that a mark lies in."""

    at: NDArray[np.float64]
    period: NDArray[np.float64]
    run: NDArray[np.intp]


def perturbation(sound: Sound, f0_hz: Floats) -> Perturbation:
    """Jitter (local) and shimmer (local) over the voiced stretches of a sound.

    f0_hz : float32 [frames], NaN where unvoiced. Jitter is the mean difference of neighbouring periods over the mean
    period; shimmer the same of the cycles' amplitudes (root mean square under a Hann one period long).
    """
    marks = period_marks(f0_hz, sound.rate)
    if len(marks.at) < FEWEST_PAIRS:
        return Perturbation(None, None)
    length, amplitude = _measured(sound.samples, _centred(sound.samples, marks))
    same = (marks.run[1:] == marks.run[:-1]) & np.isfinite(length[1:]) & np.isfinite(length[:-1])
    ratio = length[1:] / length[:-1]
    same &= (ratio < LONGEST_RATIO) & (ratio > 1 / LONGEST_RATIO)
    jitter = _mean_difference(length, same)
    louder = np.maximum(amplitude[1:], amplitude[:-1])
    same &= (louder > 0) & (louder < LARGEST_RATIO * np.minimum(amplitude[1:], amplitude[:-1]))
    return Perturbation(jitter, _mean_difference(amplitude, same))


def period_marks(f0_hz: Floats, rate: int) -> Marks:
    """Marks one period apart in each voiced stretch of two frames or more.

    f0_hz : float32 [frames], NaN where unvoiced. The phase is the integral of the F0, linear between frame centres.
    """
    voiced = np.isfinite(f0_hz)
    if not voiced.any():
        return Marks(np.empty(0), np.empty(0), np.empty(0, np.intp))
    # Phase in cycles at each frame; across an unvoiced gap it stands still.
    both = voiced[1:] & voiced[:-1]
    step = np.where(both, (f0_hz[1:] + f0_hz[:-1]) / 2 * HOP_S, 0.0)
    phase = np.concatenate(([0.0], np.cumsum(step, dtype=np.float64)))
    run = np.concatenate(([0], np.cumsum(~both)))
    frames = np.arange(len(f0_hz))
    number = np.arange(1, int(phase[-1]) + 1, dtype=np.float64)
    at_frame = np.interp(number, phase, frames) if len(number) else number
    # A mark between two runs would lie in the gap: where the phase stands still `interp` takes the gap's end.
    left = np.minimum(at_frame.astype(np.intp), len(frames) - 2)
    inside = both[left] if len(both) else np.zeros(0, bool)
    at_frame, left = at_frame[inside], left[inside]
    f0 = np.interp(at_frame, frames[voiced], f0_hz[voiced].astype(np.float64))
    return Marks((at_frame + 0.5) * HOP_S * rate, rate / f0, run[left])


def _centred(samples: Floats, marks: Marks) -> Marks:
    """The marks of each run moved by the same share of a period to where the energy of its cycles lies: a window
    between two pulses would hold half of each, and hide how they differ."""
    shares = (np.arange(PHASES) + 0.5) / PHASES
    edges = marks.at[:, None] + marks.period[:, None] * np.arange(PHASES + 1) / PHASES
    summed = np.concatenate(([0.0], np.cumsum(np.square(samples), dtype=np.float64)))
    energy = np.diff(summed[np.clip(np.rint(edges), 0, len(samples)).astype(np.intp)], axis=1)
    direction = energy @ np.exp(2j * np.pi * shares)
    summed_real, summed_imag = (np.bincount(marks.run, weights=part) for part in (direction.real, direction.imag))
    share = np.arctan2(summed_imag, summed_real) / (2 * np.pi)
    return marks._replace(at=marks.at + share[marks.run] * marks.period)


def _measured(samples: Floats, marks: Marks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Length in samples of the period after each mark, NaN where the cycles don't match; amplitude at each mark."""
    length = np.full(len(marks.at), np.nan)
    amplitude = np.full(len(marks.at), np.nan)
    reach = int(3 * marks.period.max()) + 4
    padded = np.concatenate([np.zeros(reach, np.float32), samples, np.zeros(reach, np.float32)])
    order = np.argsort(marks.period, kind="stable")  # so that a block's cycles are about as long as each other
    for start in range(0, len(order), BLOCK_CYCLES):
        index = order[start : start + BLOCK_CYCLES]
        length[index], amplitude[index] = _block(padded, marks.at[index] + reach, marks.period[index])
    return length, amplitude


def _block(
    samples: Floats, at: NDArray[np.float64], period: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    longest = float(period.max())
    half = int(longest)
    lags = int(np.ceil(SEARCH * longest)) + 1
    here = np.rint(at).astype(np.intp)
    there = np.rint(at + period).astype(np.intp)
    width = 2 * half + 1
    share = np.abs(np.arange(-half, half + 1, dtype=np.float32)) / period[:, None].astype(np.float32)
    taper = _hann(share)
    # Around the mark itself, not the sample beside it: of a short cycle that would be a tenth.
    inner = half // 2 + 2
    off = np.abs(np.arange(-inner, inner + 1, dtype=np.float32) - (at - here).astype(np.float32)[:, None])
    narrow = _hann(off / (period[:, None] / 2).astype(np.float32))
    cycle = samples[here[:, None] + np.arange(-half, half + 1)]
    weighted = cycle * taper
    under = cycle[:, half - inner : half + inner + 1] * narrow
    amplitude = np.sqrt(np.einsum("nk,nk->n", under, under) / np.einsum("nk,nk->n", narrow, narrow))
    ahead = samples[there[:, None] + np.arange(-half - lags, half + lags + 1)]
    product = np.einsum("nlk,nk->nl", sliding_window_view(ahead, width, axis=1), weighted)
    # The energy under a box one period long where the fit would have the taper's: only its change with the shift
    # counts, and a longer box would change with the pulses before and after.
    summed = np.cumsum(np.square(ahead, dtype=np.float64), axis=1)
    first, last = half - half // 2 - 1, half + half // 2
    energy = summed[:, last : last + 2 * lags + 1] - summed[:, first : first + 2 * lags + 1]
    own = np.einsum("nk,nk->n", cycle, cycle) * np.square(taper.mean(axis=1))
    fit = product / np.sqrt(np.maximum(energy * own[:, None], 1e-20))
    rows = np.arange(len(at))
    best = fit[:, 1:-1].argmax(axis=1) + 1
    left, top, right = fit[rows, best - 1], fit[rows, best], fit[rows, best + 1]
    curvature = np.minimum(left - 2 * top + right, -1e-9)
    shift = (left - right) / (2 * curvature)
    is_peak = (top >= left) & (top >= right) & (top >= MATCHED)
    length = there - here + (best - lags) + np.clip(shift, -0.5, 0.5)
    return np.where(is_peak, length, np.nan), amplitude.astype(np.float64)


def _hann(share: NDArray[np.floating]) -> Floats:
    """Hann at these shares of its half length; 0 beyond 1."""
    taper: Floats = np.float32(0.5) + np.float32(0.5) * np.cos(np.float32(np.pi) * np.minimum(share, np.float32(1)))
    return taper


def _mean_difference(values: NDArray[np.float64], pairs: NDArray[np.bool_]) -> float | None:
    """Mean difference of neighbours over their mean, None when there are fewer than FEWEST_PAIRS.

    pairs : bool [n - 1], which neighbours count.
    """
    if pairs.sum() < FEWEST_PAIRS:
        return None
    first, second = values[:-1][pairs], values[1:][pairs]
    return float(np.abs(second - first).mean() / ((first + second).mean() / 2))
