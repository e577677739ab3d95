"""Voice activity: which stretches of a turn are speech.

A frame is speech when it stands out of the noise in the mean over third octaves, each against its own floor (white
noise drowns the highs of speech long before its lows), or is far over the quiet frames, or is loud and periodic (a turn
cut to its speech may hold no noise to compare with). What is 32 dB under the loud frames is none: speech spans some
30 dB from its vowels to its weak fricatives. Then stretches grow while they stand a third as far out, own silences
shorter than 200 ms are bridged (they belong to speech: stops, short hesitations; see `pipeline.dialogue.spurts`), and
what is shorter than 50 ms is dropped (clicks; the shortest syllables last longer).

Why this one and not webrtcvad or Silero: docs/decisions/0007. The constants were tuned on one half of the labelled
recordings and are reported on the other (docs/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from pipeline.audio.decode import Floats
from pipeline.dsp.frames import HOP_S
from pipeline.dsp.tracks import FLOOR_DBFS, Tracks
from schemas.measured import PAUSE_MS, SpeechSegment

QUIETEST_DBFS = -65.0
BELOW_LOUD_DB = 32.0
LOUD_PERCENTILE = 95.0

SOUNDING_DBFS = -100.0
"""Under the noise of 16 bits: frames that a codec or a mute button made silent tell nothing about the noise."""

FLOOR_PERCENTILE = 10.0
FLOOR_LIFT_DB = 1.0
"""The floor of a band is this much over the level that one frame in ten stays under: about its median in noise."""

BAND_LIMIT_DB = 15.0
"""A band counts no further than this: one tone does not make speech."""

SMOOTHED_FRAMES = 5
LEAST_DB, SHARE_OF_LOUD, MOST_DB = 2.0, 0.35, 9.0
"""How far a frame stands out on average to be speech: a share of what the loud frames do, between two limits."""

CLEAR_DB = 18.0
"""A frame this far over the quiet ones is speech whatever its spectrum: an s is all above the bands."""

PERIODIC = 0.7
NEAR_LOUD_DB = 10.0
BESIDE_BAND_DB = 6.0
"""A loud periodic frame is voice while a quarter of its power lies in the band of speech: rumble is periodic too."""

GROWS_AT = 0.3
GROWS_FRAMES = 8

SHORTEST_MS = 50

Frames = NDArray[np.bool_]


def speech_segments(tracks: Tracks) -> list[SpeechSegment]:
    """Segments of speech, sorted, disjoint, on a grid of 10 ms; they end with the last whole 10 ms at the latest."""
    speech = _bridged(_grown(*_standing_out(tracks)))
    hop_ms = round(1000 * HOP_S)
    return [SpeechSegment(start * hop_ms, end * hop_ms) for start, end in _runs(speech)]


def inside(segments: Sequence[SpeechSegment], frames: int) -> Frames:
    """bool [frames]: whether a frame lies in a segment."""
    found = np.zeros(frames, bool)
    hop_ms = round(1000 * HOP_S)
    for segment in segments:
        found[segment.start_ms // hop_ms : segment.end_ms // hop_ms] = True
    return found


def _standing_out(tracks: Tracks) -> tuple[Frames, Frames]:
    """Frames that are speech, and frames that are if they touch speech; bool [frames] each."""
    sounding = tracks.level_dbfs > SOUNDING_DBFS
    if not sounding.any():
        return sounding, sounding
    loud = float(np.percentile(tracks.level_dbfs[sounding], LOUD_PERCENTILE))
    audible = tracks.hop_level_dbfs > max(loud - BELOW_LOUD_DB, QUIETEST_DBFS)
    over = _over_floor(tracks.bands, sounding)
    least = float(np.clip(SHARE_OF_LOUD * np.percentile(over[sounding], LOUD_PERCENTILE), LEAST_DB, MOST_DB))
    quiet = float(np.percentile(tracks.level_dbfs[sounding], FLOOR_PERCENTILE))
    clear = tracks.level_dbfs > quiet + CLEAR_DB
    voice = (tracks.periodicity > PERIODIC) & (tracks.level_dbfs > loud - NEAR_LOUD_DB)
    voice &= tracks.speech_band_dbfs > tracks.level_dbfs - BESIDE_BAND_DB
    speech = ((over > least) | clear | voice) & audible
    return speech, speech | ((over > GROWS_AT * least) & audible)


def _over_floor(bands: Floats, sounding: Frames) -> Floats:
    """How far each frame stands over the floors of the bands on average [dB], float32 [frames]."""
    levels = 10 * np.log10(np.maximum(bands, np.float32(10 ** (FLOOR_DBFS / 10))))
    levels = uniform_filter1d(levels, SMOOTHED_FRAMES, axis=0)
    floor = np.percentile(levels[sounding], FLOOR_PERCENTILE, axis=0) + FLOOR_LIFT_DB
    mean: Floats = np.clip(levels - floor, 0, BAND_LIMIT_DB).mean(axis=1)
    return mean


def _grown(speech: Frames, touching: Frames) -> Frames:
    """Speech with what touches it, up to GROWS_FRAMES on either side."""
    grown = speech.copy()
    for _ in range(GROWS_FRAMES):
        beside = np.zeros_like(grown)
        beside[1:] |= grown[:-1]
        beside[:-1] |= grown[1:]
        grown |= beside & touching
    return grown


def _bridged(speech: Frames) -> Frames:
    """Speech without silences that are too short to be pauses, and without stretches too short to be speech."""
    hop_ms = round(1000 * HOP_S)
    found = speech.copy()
    runs = _runs(speech)
    for (_, end), (start, _) in pairwise(runs):
        if (start - end) * hop_ms < PAUSE_MS:
            found[end:start] = True
    for start, end in _runs(found):
        if (end - start) * hop_ms < SHORTEST_MS:
            found[start:end] = False
    return found


def _runs(frames: Frames) -> list[tuple[int, int]]:
    """Stretches of True: first frame, and the one after the last."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], frames, [False]))))
    return [(start, end) for start, end in edges.reshape(-1, 2).tolist()]
