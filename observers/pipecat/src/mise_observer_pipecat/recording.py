"""The audio of one stream on a clock: what was heard lately, and where in it a moment lies. Pure; needs numpy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

NEAR_S = 1.5
"""Arrivals so close to a moment tell where it lies in the audio."""

EARLY_PERCENTILE = 10
"""Frames come late more often than early; the very earliest are those of a backlog, or of a stall's end."""

GAP_S = 1.0
"""Without a frame for so long nothing was sent (a muted track); anything shorter is a frame that was held up."""

MOST_BYTES = 8 * 2**20
"""Of one stream: 4.4 minutes at 16 kHz, 87 s at 48 kHz. As base64 it still fits the gateway's 16 MiB."""


@dataclass(frozen=True, slots=True)
class Pcm:
    """Samples of one channel; the first is at `started_at`. whole : whether none is missing for want of room."""

    samples: Samples
    sample_rate: int
    started_at: float
    whole: bool = True

    @property
    def ended_at(self) -> float:
        return self.started_at + len(self.samples) / self.sample_rate


@dataclass(frozen=True, slots=True)
class _Chunk:
    first: int
    samples: Samples
    arrived_at: float

    @property
    def after(self) -> int:
        return self.first + len(self.samples)


class Recording:
    """The latest audio of one stream; times in seconds on any one clock.

    Samples are counted, not their arrivals: frames that come late or in bursts lie where they belong. What is older
    than asked for is forgotten; what would exceed `most_bytes` is not kept.
    """

    def __init__(self, sample_rate: int, most_bytes: int = MOST_BYTES) -> None:
        self.sample_rate = sample_rate
        self._most_bytes = most_bytes
        self._chunks: deque[_Chunk] = deque()
        self._bytes = 0
        self._next = 0
        self._given_up_from = -1
        self._last_arrival: float | None = None

    def append(self, samples: Samples, arrived_at: float) -> bool:
        """Add what arrived just now. Returns whether there was room for it."""
        if self._last_arrival is not None:
            silent_s = arrived_at - self._last_arrival - len(samples) / self.sample_rate
            if silent_s > GAP_S:
                self._next += round(silent_s * self.sample_rate)
        self._last_arrival = arrived_at
        first, self._next = self._next, self._next + len(samples)
        if self._bytes + samples.nbytes > self._most_bytes:
            if not self._chunks or self._given_up_from < self._chunks[0].first:
                self._given_up_from = first
            return False
        self._chunks.append(_Chunk(first, samples, arrived_at))
        self._bytes += samples.nbytes
        return True

    def forget_before(self, moment: float) -> None:
        """Give up what arrived before."""
        while self._chunks and self._chunks[0].arrived_at < moment:
            self._bytes -= self._chunks.popleft().samples.nbytes

    def cut(self, start: float, end: float) -> Pcm | None:
        """What was heard from `start` to `end`, as far as it is still here; None when nothing is."""
        zero = self._zero_at(start)
        if zero is None:
            return None
        first = max(round((start - zero) * self.sample_rate), self._chunks[0].first)
        asked = round((end - zero) * self.sample_rate)
        after = min(asked, self._chunks[-1].after)
        if after <= first:
            return None
        pieces: list[Samples] = []
        cursor = first
        for chunk in self._chunks:
            lower, upper = max(chunk.first, first), min(chunk.after, after)
            if lower < upper:
                pieces += [np.zeros(lower - cursor, np.int16)] if lower > cursor else []
                pieces.append(chunk.samples[lower - chunk.first : upper - chunk.first])
                cursor = upper
        if not pieces:
            return None
        whole = not self._chunks[0].first <= self._given_up_from < asked
        return Pcm(np.concatenate(pieces), self.sample_rate, zero + first / self.sample_rate, whole)

    def _zero_at(self, moment: float) -> float | None:
        """Where sample 0 would lie, by the arrivals around `moment`, or by those that are nearest."""
        if not self._chunks:
            return None
        near = [chunk for chunk in self._chunks if abs(chunk.arrived_at - moment) <= NEAR_S]
        if not near:
            near = [min(self._chunks, key=lambda chunk: abs(chunk.arrived_at - moment))]
        zeros = [chunk.arrived_at - chunk.after / self.sample_rate for chunk in near]
        return float(np.percentile(zeros, EARLY_PERCENTILE))
