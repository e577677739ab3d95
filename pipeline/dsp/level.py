"""Levels in dB relative to full scale. Pure functions on numpy arrays."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.audio.decode import Floats

FLOOR_DBFS = -120.0
"""Level of digital silence: below the noise of 16 bits (-98 dBFS), so that no recording comes near."""


def level_dbfs(samples: Floats) -> float | None:
    """RMS level of all samples [dB re full scale], None for digital silence.

    samples : float32 [n], n > 0, full scale ±1. Square wave at full scale 0.0, sine -3.01 (AES17 meters read 3.01 dB
    higher).
    """
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return 10 * float(np.log10(power)) if power > 0 else None


def frame_levels_dbfs(samples: Floats, *, frame: int, hop: int) -> Floats:
    """RMS level of each frame [dB re full scale].

    samples : float32 [n]. frame, hop : samples, 0 < hop <= frame.
    Returns float32 [1 + (n - frame) // hop], empty when n < frame; digital silence is FLOOR_DBFS, never -inf.
    """
    if len(samples) < frame:
        return np.empty(0, dtype=np.float32)
    windows = sliding_window_view(np.square(samples, dtype=np.float64), frame)[::hop]
    power = windows.mean(axis=1)
    floor = 10 ** (FLOOR_DBFS / 10)
    levels: Floats = (10 * np.log10(np.maximum(power, floor))).astype(np.float32)
    return levels
