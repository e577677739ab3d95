"""Voice activity by one energy rule.

A frame (20 ms, every 10 ms) is active when its level is above both -55 dBFS and the turn's loud level minus 30 dB;
the loud level is the 95th percentile of the frames. Speech spans some 30 dB from its vowels down to its weak
fricatives, and telephone noise lies below. Then own silences shorter than 200 ms are bridged (they belong to speech:
stops, short hesitations; see `pipeline.dialogue.spurts`), and what is shorter than 50 ms is dropped (clicks; the
shortest syllables last longer).
"""

from __future__ import annotations

import numpy as np

from pipeline.audio.decode import Sound
from pipeline.dsp.level import frame_levels_dbfs
from schemas.measured import SpeechSegment

HOP_MS = 10
FRAME_MS = 20
QUIETEST_DBFS = -55.0
BELOW_LOUD_DB = 30.0
LOUD_PERCENTILE = 95.0
BRIDGE_MS = 200
SHORTEST_MS = 50


def speech_segments(sound: Sound) -> list[SpeechSegment]:
    """Segments of speech, sorted, disjoint, inside the sound; none when it is shorter than a frame.

    Edges lie on the grid of the frames: 10 ms, or the greatest whole number of samples below (9.98 ms at 22,050 Hz).
    """
    hop = sound.rate * HOP_MS // 1000
    levels = frame_levels_dbfs(sound.samples, frame=sound.rate * FRAME_MS // 1000, hop=hop)
    if not len(levels):
        return []
    threshold = max(QUIETEST_DBFS, float(np.percentile(levels, LOUD_PERCENTILE)) - BELOW_LOUD_DB)
    edges = np.flatnonzero(np.diff(np.concatenate(([False], levels > threshold, [False])).astype(np.int8)))
    # Frame i covers [10 i, 10 i + 20) ms; its middle half stands for it, the outer quarters belong to its neighbours.
    margin = (FRAME_MS - HOP_MS) // 2
    times = np.rint(edges * (1000 * hop / sound.rate)).astype(int) + margin
    runs: list[tuple[int, int]] = [(start, end) for start, end in times.reshape(-1, 2).tolist()]
    bridged: list[tuple[int, int]] = []
    for start, end in runs:
        if bridged and start - bridged[-1][1] < BRIDGE_MS:
            bridged[-1] = (bridged[-1][0], end)
        else:
            bridged.append((start, end))
    return [SpeechSegment(start, end) for start, end in bridged if end - start >= SHORTEST_MS]
