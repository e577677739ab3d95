"""Where in a piece of audio somebody spoke; for the observers, whose platforms know it only roughly. Needs numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.01

SHARE_OF_LOUDEST = 0.02
"""34 dB below the loudest frame: above what microphones and codecs add, below the softest end of a word."""

SILENCE_RMS = 8.0
"""Of int16. Whatever is softer is the noise of a line on which nobody speaks (-72 dBFS)."""


def voiced(samples: NDArray[np.int16], sample_rate: int) -> tuple[float, float] | None:
    """Where the sound begins and where it ends, in seconds; None when there is none.

    samples : (n,) int16, one channel. sample_rate : Hz.
    In steps of 10 ms: the first and the last whose RMS exceeds 2 % of the loudest one's.
    """
    step = round(sample_rate * FRAME_S)
    steps = len(samples) // step
    if steps == 0:
        return None
    frames = samples[: steps * step].reshape(steps, step).astype(np.float32)
    rms = np.sqrt(np.einsum("ij,ij->i", frames, frames) / step)
    loud = np.flatnonzero(rms > max(SHARE_OF_LOUDEST * float(rms.max()), SILENCE_RMS))
    if loud.size == 0:
        return None
    return float(loud[0]) * FRAME_S, float(loud[-1] + 1) * FRAME_S
