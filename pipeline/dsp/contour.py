"""F0 and level along a turn in at most 600 bytes each: to draw it, and keep the row small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.decode import Floats
from pipeline.dsp.frames import HOP_S
from schemas.measured import Contour

POINTS = 600

F0_BASE_HZ = 50.0
STEPS_PER_OCTAVE = 64
"""0.19 semitones a step; 254 of them reach from 50 to 774 Hz."""

LEVEL_BASE_DBFS = -102.0
LEVEL_STEP_DB = 0.4


def contour(f0_hz: Floats, level_dbfs: Floats) -> Contour:
    """The contour of a turn's tracks.

    f0_hz : float32 [frames], NaN where unvoiced. level_dbfs : float32 [frames]. A point is one frame, or of a longer
    turn the least whole number of frames that makes 600 points do: the median F0 of the voiced ones, if they are half
    of them, and the greatest level.
    """
    frames = -(-len(f0_hz) // POINTS)
    points = -(-len(f0_hz) // frames)
    missing = points * frames - len(f0_hz)
    pitch = np.sort(np.pad(f0_hz, (0, missing), constant_values=np.nan).reshape(points, frames), axis=1)
    voiced = np.isfinite(pitch).sum(axis=1)
    measured = np.minimum(frames, len(f0_hz) - frames * np.arange(points))  # the last point may have fewer
    middle = pitch[np.arange(points), np.maximum(voiced - 1, 0) // 2]  # NaN sorts to the end
    levels = np.pad(level_dbfs, (0, missing), constant_values=-np.inf).reshape(points, frames).max(axis=1)
    return Contour(
        hop_ms=1000 * HOP_S * frames,
        f0=_bytes(np.where(2 * voiced >= measured, 1 + STEPS_PER_OCTAVE * np.log2(middle / F0_BASE_HZ), np.nan)),
        level=_bytes((levels - LEVEL_BASE_DBFS) / LEVEL_STEP_DB),
    )


def _bytes(steps: NDArray[np.floating]) -> bytes:
    """1 to 255, 0 for NaN and for what lies below."""
    whole: NDArray[np.uint8] = np.nan_to_num(np.clip(np.rint(steps), 0, 255), nan=0.0).astype(np.uint8)
    return whole.tobytes()
