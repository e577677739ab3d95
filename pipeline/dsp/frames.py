"""Frames: the turn cut into windows once, their spectra shared by everything that is measured of a frame.

Frame i is centred on (i + 0.5) * 10 ms and stands for the stretch [i, i + 1) * 10 ms; its window is a Hann of 40 ms,
three periods of the lowest pitch (75 Hz), as Boersma (1993) asks of it. Sound ends with its last whole hop, and has one
frame at least. At a quarter of the window's length squared Hann windows add up to a constant, so that a mean over
frames is a mean over time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.audio.decode import Floats, Sound

HOP_S = 0.010
WINDOW_S = 0.040

NARROW_HZ = 8_000
WIDE_HZ = 16_000
"""The two analysis rates. A turn is measured at 16 kHz when it was sampled at that or more, else at 8 kHz."""

BLOCK_FRAMES = 128
"""Frames in work at once: their spectra at 16 kHz (0.5 MB) stay in a core's cache, and memory does not grow."""


@dataclass(frozen=True)
class Grid:
    """What follows from an analysis rate: all lengths in samples.

    bins : of the spectrum of a frame, from 0 Hz to half the rate. taper : float32 [window], the Hann.
    """

    rate: int
    hop: int
    window: int
    transform: int
    taper: Floats

    @property
    def bins(self) -> int:
        return self.transform // 2 + 1

    @property
    def frequencies(self) -> Floats:
        """Hz of each bin."""
        found: Floats = np.linspace(0, self.rate / 2, self.bins, dtype=np.float32)
        return found


@lru_cache
def grid(rate: int) -> Grid:
    """The grid of an analysis rate. Raises KeyError for another rate."""
    # The window and the longest lag that is looked at (14 ms), rounded up to a product of small primes.
    transform = {NARROW_HZ: 432, WIDE_HZ: 864}[rate]
    window = round(rate * WINDOW_S)
    taper = np.hanning(2 * window + 1)[1::2].astype(np.float32)
    return Grid(rate, round(rate * HOP_S), window, transform, taper)


def analysis_rate(rate: int) -> int:
    """The rate at which sound of this rate is measured [Hz]."""
    return WIDE_HZ if rate >= WIDE_HZ else NARROW_HZ


def frame_count(sound: Sound) -> int:
    """Frames of a sound at an analysis rate: its whole hops, at least one."""
    return max(1, len(sound.samples) // grid(sound.rate).hop)


def power_spectra(sound: Sound) -> Iterator[tuple[slice, Floats]]:
    """The frames' power spectra, block by block.

    sound : at an analysis rate, without an offset. Yields (which frames, float32 [frames, bins]); a bin holds
    |X|^2 of the tapered frame, its own mean taken off, so that 0 Hz holds nothing but leakage.
    """
    cut = grid(sound.rate)
    count = frame_count(sound)
    before = (cut.window - cut.hop) // 2
    padded = np.zeros(cut.window + cut.hop * (count - 1), dtype=np.float32)
    inside = sound.samples[: len(padded) - before]
    padded[before : before + len(inside)] = inside
    windows = sliding_window_view(padded, cut.window)[:: cut.hop]
    for start in range(0, count, BLOCK_FRAMES):
        block = windows[start : start + BLOCK_FRAMES]
        tapered = (block - block.mean(axis=1, keepdims=True)) * cut.taper
        spectrum = scipy.fft.rfft(tapered, n=cut.transform, axis=1)
        power: Floats = np.square(spectrum.real) + np.square(spectrum.imag)
        yield slice(start, start + len(block)), power
