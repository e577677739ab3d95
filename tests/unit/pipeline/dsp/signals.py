"""Sounds whose F0, periods and spectrum are known, for the tests beside this module."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.audio.decode import Sound
from pipeline.dsp.frames import HOP_S

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])

BAND = 0.45
"""Harmonics go up to this share of the rate."""


def made(samples: NDArray[np.floating], rate: int, *, peak: float = 0.3) -> Sound:
    """A sound of this shape with this peak."""
    return Sound((peak * samples / np.abs(samples).max()).astype(np.float32), rate)


def seconds(rate: int, length_s: float) -> NDArray[np.float64]:
    return np.arange(round(length_s * rate)) / rate


def sine(f0_hz: float, rate: int, *, length_s: float = 0.5, peak: float = 0.3) -> Sound:
    return Sound((peak * np.sin(2 * np.pi * f0_hz * seconds(rate, length_s))).astype(np.float32), rate)


def sung(
    f0_hz: NDArray[np.float64], rate: int, *, fall: float = 1.0, first: int = 1, gain: Mapping[int, float] | None = None
) -> Sound:
    """A voice with this F0 at each sample. Its k-th harmonic has 1 / k ** fall (0: a pulse train, 1: 6 dB an octave)
    times its gain; those below the first are missing."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    found = np.zeros(len(phase))
    for k in range(first, int(BAND * rate / f0_hz.max()) + 1):
        found += (gain or {}).get(k, 1.0) / k**fall * np.cos(k * phase)
    return made(found, rate)


def voice(f0_hz: float, rate: int, *, length_s: float = 0.5, fall: float = 1.0) -> Sound:
    return sung(np.full(round(length_s * rate), f0_hz), rate, fall=fall)


def white(rate: int, *, length_s: float = 1.0, rms: float = 0.1, seed: int = 0) -> Sound:
    samples = rms * np.random.default_rng(seed).standard_normal(round(length_s * rate))
    return Sound(samples.astype(np.float32), rate)


def pulses(at_s: NDArray[np.float64], size: NDArray[np.float64], rate: int, *, band: float = BAND) -> Sound:
    """Pulses of these sizes at these times, wherever between the samples: a sinc under a Hann each, up to `band`."""
    found = np.zeros(round((at_s[-1] + 0.01) * rate) + 60)
    for at, height in zip(at_s * rate, size, strict=True):
        k = np.arange(max(0, int(at) - 24), int(at) + 26)
        window = np.cos(np.pi / 2 * np.clip((k - at) / 26, -1, 1)) ** 2
        found[k] += height * np.sinc(2 * band * (k - at)) * window
    return made(found, rate)


def centres_s(frames: int) -> NDArray[np.float64]:
    return (np.arange(frames, dtype=np.float64) + np.float64(0.5)) * HOP_S
