"""F0 by WORLD (Morise et al. 2016), to choose instead of the autocorrelation: `dio` with StoneMask, and `harvest`."""

from __future__ import annotations

import numpy as np
import pyworld

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import HOP_S, frame_count
from pipeline.dsp.pitch import HIGHEST_HZ, LOWEST_HZ, VOICING_THRESHOLD, Pitch
from schemas.features import F0Estimator


def world_pitch(sound: Sound, estimator: F0Estimator, periodicity: Floats) -> Pitch:
    """F0 of each frame. estimator : "dio" or "harvest". periodicity : float32 [frames], of the autocorrelation.

    WORLD takes too much for voiced; a frame is so when its periodicity says it as well, and is its strength.
    """
    count = frame_count(sound)
    # WORLD's frames lie on whole multiples of 10 ms, ours half way between: half a hop before the sound, and the
    # frame after the first are ours.
    half = round(sound.rate * HOP_S / 2)
    samples = np.concatenate([np.zeros(half), sound.samples, np.zeros(2 * half)])
    if estimator == "dio":
        coarse, times = pyworld.dio(
            samples, sound.rate, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * HOP_S
        )
        found = pyworld.stonemask(samples, coarse, times, sound.rate)
    else:
        found, _ = pyworld.harvest(
            samples, sound.rate, f0_floor=LOWEST_HZ, f0_ceil=HIGHEST_HZ, frame_period=1000 * HOP_S
        )
    f0_hz = np.zeros(count, np.float32)
    ours = found[1 : count + 1]
    f0_hz[: len(ours)] = ours
    voiced = (f0_hz >= LOWEST_HZ) & (f0_hz <= HIGHEST_HZ) & (periodicity > VOICING_THRESHOLD)
    nothing = np.float32(np.nan)
    return Pitch(np.where(voiced, f0_hz, nothing), np.where(voiced, periodicity, nothing))
