"""Where in a piece of audio somebody spoke; for the observers, whose platforms know it only roughly. Needs numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FRAME_S = 0.01

EDGE_S = 10.0
"""Of the audio at each end of a turn in which its bounds are looked for, so that a long turn costs no more."""

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


def bounds(samples: NDArray[np.int16], sample_rate: int) -> tuple[float | None, float | None]:
    """Where speech begins and ends in audio that has some more on both sides, in seconds.

    None where it seems to reach the edge of the audio: then it is the noise of the line that does; and for silence.
    """
    edge = min(len(samples), round(EDGE_S * sample_rate))
    before_s = (len(samples) - edge) / sample_rate
    first, last = voiced(samples[:edge], sample_rate), voiced(samples[len(samples) - edge :], sample_rate)
    return (
        first[0] if first is not None and first[0] >= FRAME_S / 2 else None,
        before_s + last[1] if last is not None and last[1] < edge / sample_rate - 2 * FRAME_S else None,
    )
