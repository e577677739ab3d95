"""Where in a turn there is speech, and where pauses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from schemas.measured import PAUSE_MS, SpeechSegment


class Timing(NamedTuple):
    """In seconds. pauses_s : each of the pauses, in order. span_s : from the first to the last speech."""

    speech_s: float
    leading_silence_s: float
    trailing_silence_s: float
    pauses_s: tuple[float, ...]
    span_s: float


def timing(segments: Sequence[SpeechSegment], duration_s: float) -> Timing | None:
    """Of the segments (sorted, disjoint) of a turn; None without speech."""
    if not segments:
        return None
    begin_s, end_s = segments[0].start_ms / 1000, segments[-1].end_ms / 1000
    gaps_ms = np.array([after.start_ms - before.end_ms for before, after in pairwise(segments)])
    return Timing(
        # Resampling may round the length up, and a segment end with it.
        speech_s=min(duration_s, sum(segment.end_ms - segment.start_ms for segment in segments) / 1000),
        leading_silence_s=begin_s,
        trailing_silence_s=max(0.0, duration_s - end_s),
        pauses_s=tuple((gaps_ms[gaps_ms >= PAUSE_MS] / 1000).tolist()),
        span_s=end_s - begin_s,
    )
