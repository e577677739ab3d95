"""How loud a turn is: levels, loudness, range, noise. Pure functions on numpy arrays; dB are relative to full scale."""

from __future__ import annotations

import numpy as np
import scipy.signal
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, maximum_filter1d

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.frames import HOP_S
from pipeline.dsp.intonation import SHORTEST_SLOPE_S
from pipeline.dsp.tracks import FLOOR_DBFS

Frames = NDArray[np.bool_]

FULL_SCALE = 0.98
"""The outermost codes of µ-law and A-law stand for 0.980 and 0.984."""

CLIPPED_RUN = 3
"""Equal samples at the top before they are called clipped."""

STEP = 2.0**-16
"""Half a step of 16 bits: samples closer than this are equal."""

MARGIN_DB = 15.9
ENVELOPE_S = 0.03
HANGOVER_S = 0.2
ENVELOPE_STEP_S = 0.001
"""ITU-T P.56, method B: margin, time constant of the envelope, hangover; a step of the envelope, which the standard
allows from 1/600 s down."""

BLOCK_S = 0.4
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
LUFS_OFFSET = -0.691
"""ITU-R BS.1770-5: gating blocks of 400 ms every 100 ms, the two gates, and the constant of its equation 2."""

AWAY_FRAMES = 5
"""Noise is looked for this far from speech: 50 ms, beyond the reach of a frame's window and most weak endings."""

PIECE = 2**18
"""Samples whose squares are in memory at once."""

FEWEST_NOISE_FRAMES = 10


def level_dbfs(samples: Floats) -> float | None:
    """RMS level [dBFS], None for silence. samples : as decoded, float32 [n], n > 0; an offset does not count.

    Square wave at full scale 0.0, sine -3.01 (AES17 meters read 3.01 dB higher).
    """
    return _dbfs(_mean_square(samples, offset=samples.mean(dtype=np.float64)))


def peak_dbfs(samples: Floats) -> float | None:
    """The greatest sample of either sign [dBFS], None for silence. samples : as decoded."""
    return _dbfs(float(max(samples.max(), -samples.min())) ** 2)


def clipped_ratio(samples: Floats) -> float | None:
    """Clipped samples / samples: those in runs of 3 or more at the greatest size of their sign, if that is full scale.

    samples : as decoded, not resampled: filters round the corners off. None for silence.
    """
    highest, lowest = float(samples.max()), float(samples.min())
    if _dbfs(max(highest, -lowest) ** 2) is None:
        return None
    if max(highest, -lowest) < FULL_SCALE:
        return 0.0
    # Each sign has its own: that of 16 bits is 32,767 and 32,768.
    at_top = np.zeros(len(samples), bool)
    if highest >= FULL_SCALE:
        at_top |= samples >= highest - STEP
    if -lowest >= FULL_SCALE:
        at_top |= samples <= lowest + STEP
    edges = np.flatnonzero(np.diff(np.concatenate(([False], at_top, [False])).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= CLIPPED_RUN].sum() / len(samples))


def active_level_dbfs(sound: Sound) -> float | None:
    """Active speech level after ITU-T P.56, method B [dBFS]; None where no level satisfies it (silence).

    The level over the time in which the envelope, held for 200 ms, is over the threshold that lies 15.9 dB under that
    level. The envelope is smoothed twice; it is taken from means of |x| over 1 ms. sound : without an offset.
    """
    step = round(sound.rate * ENVELOPE_STEP_S)
    whole = len(sound.samples) // step
    energy = _mean_square(sound.samples)
    if not whole or _dbfs(energy) is None:
        return None
    rectified = np.abs(sound.samples[: whole * step]).reshape(whole, step).mean(axis=1, dtype=np.float64)
    keep = float(np.exp(-ENVELOPE_STEP_S / ENVELOPE_S))
    once = scipy.signal.lfilter([1 - keep], [1, -keep], rectified)
    envelope = scipy.signal.lfilter([1 - keep], [1, -keep], once)
    hold = round(HANGOVER_S / ENVELOPE_STEP_S)
    held = maximum_filter1d(envelope, hold, origin=(hold - 1) // 2, mode="constant")
    thresholds_db = np.arange(FLOOR_DBFS, 0.1, 1.0)
    active = len(held) - np.searchsorted(np.sort(held), 10 ** (thresholds_db / 20))
    some = active > 0
    if not some.any():
        return None
    levels_db = 10 * np.log10(energy * whole / active[some])
    above = levels_db - thresholds_db[some]
    # Where the distance, as the threshold rises, first falls to the margin, the level is found between two of them. (It
    # may rise again: beyond the envelope of noise with a bang in it there is only the bang.)
    at = int((above <= MARGIN_DB).argmax())
    if not at or above[at] > MARGIN_DB:
        return None
    return float(np.interp(-MARGIN_DB, -above[at - 1 : at + 1], levels_db[at - 1 : at + 1]))


def loudness_lufs(weighted_power: Floats) -> float | None:
    """Integrated loudness of one channel after ITU-R BS.1770-5 [LUFS]; None when nothing passes the gates.

    weighted_power : float32 [frames], K-weighted mean squares of frames every 10 ms; blocks are means over them.
    """
    length, step = round(BLOCK_S / HOP_S), round(BLOCK_S / 4 / HOP_S)
    summed = np.concatenate(([0.0], np.cumsum(weighted_power, dtype=np.float64)))
    blocks = (summed[length:] - summed[:-length])[::step] / length
    blocks = blocks[blocks > 10 ** ((ABSOLUTE_GATE_LUFS - LUFS_OFFSET) / 10)]
    if not len(blocks):
        return None
    blocks = blocks[blocks > blocks.mean() * 10 ** (RELATIVE_GATE_LU / 10)]
    return LUFS_OFFSET + 10 * float(np.log10(blocks.mean()))


def level_range_db(levels: Floats) -> float | None:
    """90th minus 10th percentile of the levels of the speech frames [dB]; None without any. levels : dBFS [frames]."""
    if not len(levels):
        return None
    low, high = np.percentile(levels, (10, 90))
    return float(high - low)


def level_slope_db_per_s(times_s: NDArray[np.float64], levels: Floats) -> float | None:
    """Slope of the levels of the speech frames by least squares [dB/s]; None when they span less than 0.5 s."""
    if not len(levels) or times_s[-1] - times_s[0] < SHORTEST_SLOPE_S:
        return None
    centred = times_s - times_s.mean()
    return float(centred @ levels / (centred @ centred))


def noise_and_snr(power: Floats, speech: Frames) -> tuple[float | None, float | None]:
    """Noise floor [dBFS] and signal-to-noise ratio [dB]; None where it can't be told.

    power : float32 [frames], mean squares. speech : bool [frames]. The noise is what is more than 50 ms from speech and
    no digital silence (a mute button says nothing about the noise); the signal is the power in the speech less that of
    the noise.
    """
    away = ~binary_dilation(speech, iterations=AWAY_FRAMES) & (power > 10 ** (FLOOR_DBFS / 10))
    if away.sum() < FEWEST_NOISE_FRAMES:
        return None, None
    noise = float(power[away].mean(dtype=np.float64))
    floor = 10 * float(np.log10(noise))
    if not speech.any():
        return floor, None
    signal = float(power[speech].mean(dtype=np.float64)) - noise
    return floor, 10 * float(np.log10(signal / noise)) if signal > 0 else None


def _mean_square(samples: Floats, offset: float = 0.0) -> float:
    """In float64, a piece at a time: of an hour at once that would be half a gigabyte."""
    starts = range(0, len(samples), PIECE)
    return sum(
        float(np.square(np.subtract(samples[at : at + PIECE], offset, dtype=np.float64)).sum()) for at in starts
    ) / len(samples)


def _dbfs(mean_square: float) -> float | None:
    """dB relative to full scale, None for silence."""
    if mean_square < 10 ** (FLOOR_DBFS / 10):
        return None
    return 10 * float(np.log10(mean_square))
