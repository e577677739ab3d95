"""F0 by autocorrelation, after Boersma (1993), "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound", Proc. Institute of Phonetic Sciences 17.

Per frame: the autocorrelation of the tapered frame over that of the taper is the signal's own; its peaks are the
candidates. One path through the candidates of all frames maximises their strength less the cost of jumps: what keeps
an octave from jumping. The constants are Boersma's (Praat's defaults).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import WIDE_HZ, frame_count, grid

LOWEST_HZ = 75.0
HIGHEST_HZ = 500.0

CANDIDATES = 6
"""Kept of each frame: with fifteen, Boersma's number, 28 of the 37,858 frames of our recordings have another F0."""

VOICING_THRESHOLD = 0.45
SILENCE_THRESHOLD = 0.03
OCTAVE_COST = 0.01
OCTAVE_JUMP_COST = 0.35
VOICED_UNVOICED_COST = 0.14

LAG_RATE = WIDE_HZ
"""Lags are looked at on this raster at either analysis rate."""

REACH = 8
"""Lags on either side from which a peak is interpolated. A parabola through three takes up to 0.2 off the peak of a
voice that is bright up to 8 kHz, and then a multiple of its period that lies nearer to the raster wins."""

FINE = 32
"""Steps of a lag for which the interpolation is tabled."""

BESIDE = 0.25
"""Lags on either side of the peak through which the last parabola goes: of an even spectrum up to 0.9 of half the rate
its height is within 0.01, its place within 0.006 lags."""

HIGHEST_STRENGTH = 0.9999
"""Harmonicity of 40 dB: beyond it the strength is the rounding of float32."""


class Candidates(NamedTuple):
    """Candidates of each frame, the strongest first.

    f0_hz : float32 [frames, CANDIDATES], 0 where there are fewer. strength : the same shape, height of the peak of the
    normalised autocorrelation, at most HIGHEST_STRENGTH, 0 where there are fewer.
    """

    f0_hz: Floats
    strength: Floats


class Pitch(NamedTuple):
    """The path. f0_hz : float32 [frames], NaN where unvoiced. strength : of the candidate on it, NaN where unvoiced."""

    f0_hz: Floats
    strength: Floats


def candidates(power: Floats, rate: int) -> Candidates:
    """Candidates of a block of frames. power : float32 [frames, bins], as `frames.power_spectra` gives it."""
    lags, taper, bias = _lags(rate)
    bins = power.shape[1]
    transform = 2 * (bins - 1) * LAG_RATE // rate
    if transform != 2 * (bins - 1):
        power = np.concatenate([power, np.zeros((len(power), transform // 2 + 1 - bins), np.float32)], axis=1)
    # The autocorrelation is the inverse transform of the power; of what is real and even, a cosine transform.
    correlation = scipy.fft.dct(power, type=1, axis=1)
    energy = np.maximum(correlation[:, :1], np.finfo(np.float32).tiny)
    around = correlation[:, lags.start - REACH + 1 : lags.stop + REACH - 1] / (energy * taper)
    heights = around[:, REACH - 1 : 1 - REACH]
    middle = heights[:, 1:-1]
    is_peak = (middle > heights[:, :-2]) & (middle >= heights[:, 2:])
    order = np.where(is_peak, middle + bias, np.float32(-1))
    rows = np.arange(len(power))
    f0_hz = np.zeros((len(power), CANDIDATES), np.float32)
    strength = np.zeros_like(f0_hz)
    for rank in range(CANDIDATES):
        at = order.argmax(axis=1)
        found = order[rows, at] > 0
        if not found.any():
            break
        order[rows, at] = -1
        near, _ = _parabola(heights[rows, at], heights[rows, at + 1], heights[rows, at + 2])
        step = np.rint(near * FINE).astype(np.intp)
        nearby = around[rows[:, None], at[:, None] + np.arange(2 * REACH + 1)]
        rest, height = _parabola(*np.einsum("nk,nsk->sn", nearby, _interpolation()[step + FINE // 2]))
        shift = step / np.float32(FINE) + BESIDE * rest
        # Dividing by the taper's own correlation can lift a peak over 1; its distance from 1 is the error both ways.
        height = np.minimum(height, 1 / np.maximum(height, np.float32(0.5)))
        hz = LAG_RATE / (lags.start + 1 + at + shift)
        found &= (hz >= LOWEST_HZ) & (hz <= HIGHEST_HZ)
        f0_hz[:, rank] = np.where(found, hz, 0)
        strength[:, rank] = np.where(found, np.minimum(height, np.float32(HIGHEST_STRENGTH)), 0)
    return Candidates(f0_hz, strength)


def path(found: Candidates, loudness: Floats) -> Pitch:
    """The best path through the candidates of a sound.

    found : of all frames. loudness : float32 [frames], local peak over global peak (`relative_peaks`).
    """
    weakness = 2 - loudness * np.float32((1 + VOICING_THRESHOLD) / SILENCE_THRESHOLD)
    unvoiced = VOICING_THRESHOLD + np.maximum(0, weakness)
    octaves = np.log2(np.maximum(found.f0_hz, np.float32(1)))
    voiced = np.where(
        found.f0_hz > 0, found.strength - OCTAVE_COST * (np.log2(np.float32(HIGHEST_HZ)) - octaves), -np.inf
    )
    # A voiced frame saves two changes of voicing at most: where no candidate comes so near, the frame is unvoiced for
    # certain, and the path is made of parts that know nothing of each other.
    open_frames = (voiced > (unvoiced - 2 * VOICED_UNVOICED_COST)[:, None]).any(axis=1)
    choice = np.zeros(len(unvoiced), dtype=np.intp)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], open_frames, [False]))))
    _choose(choice, edges.reshape(-1, 2), np.concatenate([unvoiced[:, None], voiced], axis=1), octaves)
    rows = np.arange(len(choice))
    on_path = choice > 0
    column = np.maximum(choice - 1, 0)
    return Pitch(
        np.where(on_path, found.f0_hz[rows, column], np.float32(np.nan)),
        np.where(on_path, found.strength[rows, column], np.float32(np.nan)),
    )


def relative_peaks(sound: Sound) -> Floats:
    """The greatest sample of each frame's own 10 ms and the 5 ms beside it over the greatest of all, float32 [frames].

    0 in digital silence. (Boersma looks one period of the lowest pitch around: 13 ms.)
    """
    half = grid(sound.rate).hop // 2
    count = frame_count(sound)
    size = np.zeros(2 * count * half, np.float32)
    inside = np.abs(sound.samples[: len(size)])
    size[: len(inside)] = inside
    halves = size.reshape(-1, half).max(axis=1)
    greatest = float(halves.max())
    if not greatest:
        return np.zeros(count, np.float32)
    around = np.maximum.reduce([np.pad(halves, 1)[shift : shift + 2 * count : 2] for shift in range(4)])
    peaks: Floats = around / np.float32(greatest)
    return peaks


def _choose(choice: NDArray[np.intp], parts: NDArray[np.intp], score: Floats, octaves: Floats) -> None:
    """Viterbi over all parts at once: write the best path's states into `choice`; elsewhere the frame is unvoiced.

    parts : [n, 2], first frame and the one after the last. score : [frames, states], state 0 is unvoiced. octaves :
    [frames, states - 1], log2 of the F0.
    """
    if not len(parts):
        return
    lengths = parts[:, 1] - parts[:, 0]
    # Longest first: then the parts that still go on at a step are the first ones.
    parts = parts[np.argsort(-lengths, kind="stable")]
    lengths = parts[:, 1] - parts[:, 0]
    states = score.shape[1]
    longest = int(lengths[0])
    going = [int(n) for n in np.searchsorted(-lengths, -np.arange(longest), side="left")]
    came_from = [np.empty((0, 0), np.intp)] * longest
    # Before and after a part the frames are unvoiced.
    change = np.where(np.arange(states) > 0, np.float32(VOICED_UNVOICED_COST), np.float32(0))
    total = score[parts[:, 0]] - change
    cost = np.full((len(score), states, states), VOICED_UNVOICED_COST, dtype=np.float32)
    cost[:, 0, 0] = 0
    cost[1:, 1:, 1:] = OCTAVE_JUMP_COST * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    for step in range(1, longest):
        frame = parts[: going[step], 0] + step
        reached = total[: len(frame), :, None] - cost[frame]
        came_from[step] = reached.argmax(axis=1)
        total[: len(frame)] = reached.max(axis=1) + score[frame]
    state = (total - change).argmax(axis=1)
    for step in range(longest - 1, -1, -1):
        count = going[step]
        choice[parts[:count, 0] + step] = state[:count]
        if step:
            state[:count] = came_from[step][np.arange(count), state[:count]]


def _parabola(left: Floats, top: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Where between the neighbours' middles the peak of the parabola through three points lies [steps], and its
    height."""
    curvature = np.minimum(left - 2 * top + right, np.float32(-1e-9))
    shift: Floats = np.clip((left - right) / (2 * curvature), np.float32(-0.5), np.float32(0.5))
    height: Floats = top - (left - right) * shift / np.float32(4)
    return shift, height


@lru_cache
def _interpolation() -> Floats:
    """Weights of the lags around a peak, float32 [FINE + 1, 3, 2 * REACH + 1]: of its shift from half a lag less to
    half a lag more, BESIDE less, itself, and BESIDE more; a sinc under a Hann, as Boersma has it."""
    shift = np.arange(-FINE // 2, FINE // 2 + 1)[:, None] / FINE + np.array([-BESIDE, 0, BESIDE])
    distance = np.arange(-REACH, REACH + 1) - shift[..., None]
    weights: Floats = (np.sinc(distance) * np.cos(np.pi / 2 * distance / (REACH + 1)) ** 2).astype(np.float32)
    return weights


@lru_cache
def _lags(rate: int) -> tuple[slice, Floats, Floats]:
    """Lags to look at on the raster of LAG_RATE, one more at each end; the taper's autocorrelation there and REACH - 1
    further at each end; what a lag's height gains over a longer one's in the order of candidates."""
    lags = slice(int(LAG_RATE / HIGHEST_HZ) - 1, int(np.ceil(LAG_RATE / LOWEST_HZ)) + 2)
    cut = grid(rate)
    spectrum = scipy.fft.rfft(cut.taper.astype(np.float64), n=cut.transform)
    own = scipy.fft.irfft(np.abs(spectrum) ** 2, n=cut.transform * LAG_RATE // rate)
    taper: Floats = (own / own[0])[lags.start - REACH + 1 : lags.stop + REACH - 1].astype(np.float32)
    middle = np.arange(lags.start + 1, lags.stop - 1)
    bias: Floats = (-OCTAVE_COST * np.log2(HIGHEST_HZ * middle / LAG_RATE)).astype(np.float32)
    return lags, taper, bias
