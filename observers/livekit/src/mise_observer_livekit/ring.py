"""The last minutes of a participant's audio, and when each sample arrived."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

KEPT_S = 180.0
"""Of audio: 8.6 MB at 24 kHz. As base64 it fits into the 16 MiB that the gateway takes."""

NEAR_S = 1.5
EARLY_SHARE = 0.1
"""Of the frames that arrived within 1.5 s of a time, the tenth earliest says how samples map to time there: late ones
were held up. The earliest of all is no measure: a backlog at the start puts it 260 to 490 ms off (measured)."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A stretch of audio. at : when its first sample arrived. whole : False when its beginning is no longer kept."""

    samples: Samples
    sample_rate: int
    at: float
    whole: bool


@dataclass(frozen=True, slots=True)
class _Frame:
    end: int  # samples before the end of this frame, since the ring began
    lag: float  # arrival of the end, less end / sample_rate
    samples: Samples


class Ring:
    """sample_rate : Hz. Times are seconds on the clock of the arrivals."""

    def __init__(self, sample_rate: int, kept_s: float = KEPT_S) -> None:
        self.sample_rate = sample_rate
        self._kept = round(kept_s * sample_rate)
        self._frames: deque[_Frame] = deque()
        self._end = 0
        self._begin = 0

    def append(self, samples: Samples, arrived_at: float) -> None:
        """Add the samples that follow. arrived_at : when the last of them did."""
        self._end += len(samples)
        self._frames.append(_Frame(self._end, arrived_at - self._end / self.sample_rate, samples))
        while self._end - self._begin > self._kept:
            self._begin += len(self._frames.popleft().samples)

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first sample that is kept arrived, and the last; None when there is none."""
        if not self._frames:
            return None
        first, last = self._frames[0], self._frames[-1]
        return first.lag + self._begin / self.sample_rate, last.lag + last.end / self.sample_rate

    def cut(self, start: float, end: float) -> Cut | None:
        """What arrived from `start` to `end`, as far as it is kept; None when nothing is."""
        if not self._frames:
            return None
        lag = self._lag(start)
        first = round((start - lag) * self.sample_rate)
        last = min(round((end - self._lag(end)) * self.sample_rate), self._end)
        # A little is always missing at the start of a call: whoever speaks then, speaks before the ring began.
        whole = self._begin == 0 or first >= self._begin
        first = max(first, self._begin)
        if last <= first:
            return None
        pieces: list[Samples] = []
        for frame in reversed(self._frames):  # what is asked for is mostly recent
            begin = frame.end - len(frame.samples)
            if frame.end <= first:
                break
            if begin < last:
                pieces.append(frame.samples[max(first - begin, 0) : last - begin])
        samples = np.concatenate(pieces[::-1])
        return Cut(samples, self.sample_rate, first / self.sample_rate + lag, whole)

    def _lag(self, at: float) -> float:
        near: list[float] = []
        nearest, distance = 0.0, float("inf")
        for frame in reversed(self._frames):
            away = frame.lag + frame.end / self.sample_rate - at
            if abs(away) <= NEAR_S:
                near.append(frame.lag)
            if abs(away) < distance:
                nearest, distance = frame.lag, abs(away)
            if away < -NEAR_S:
                break
        if not near:
            return nearest
        near.sort()
        return near[int(len(near) * EARLY_SHARE)]
