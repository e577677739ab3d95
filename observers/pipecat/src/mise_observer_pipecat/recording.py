"""The audio of one stream on a clock: what was heard lately, and where in it a moment lies. Pure; needs numpy."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int16]

NEAR_S = 1.5
"""Arrivals so close to a moment tell where it lies in the audio."""

EARLY_PERCENTILE = 10
"""Frames come late more often than early; the very earliest are those of a backlog, or of a stall's end."""

GAP_S = 1.0
"""After so long without a frame, either nothing was sent (a muted track) or the frames were held up (a stall)."""

TELLS_S = 0.3
"""Which of the two, the next frames tell in this time: what was held up comes all at once."""

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


@dataclass(slots=True)
class _Chunk:
    """About a second without a gap, so that minutes are few of them.

    arrivals : of each frame in it, when it came, and the sample after it.
    """

    first: int
    pieces: list[Samples] = field(default_factory=list)
    arrivals: list[tuple[float, int]] = field(default_factory=list)

    @property
    def after(self) -> int:
        return self.arrivals[-1][1]

    @property
    def arrived_at(self) -> float:
        return self.arrivals[-1][0]


@dataclass(frozen=True, slots=True)
class _Pause:
    """next : the sample that came after it, at `ended_at`. zero : where sample 0 lay before."""

    next: int
    ended_at: float
    zero: float | None


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
        self._pause: _Pause | None = None

    def append(self, samples: Samples, arrived_at: float) -> bool:
        """Add what arrived just now. Returns whether there was room for it."""
        last, length_s = self._last_arrival, len(samples) / self.sample_rate
        if last is not None and self._pause is None and arrived_at - last - length_s > GAP_S:
            self._pause = _Pause(self._next, arrived_at, self._zero_at(last))
        self._last_arrival = arrived_at
        first, self._next = self._next, self._next + len(samples)
        fits = self._bytes + samples.nbytes <= self._most_bytes
        if fits:
            self._keep(first, samples, arrived_at)
        elif not self._chunks or self._given_up_from < self._chunks[0].first:
            self._given_up_from = first
        if self._pause is not None and arrived_at - self._pause.ended_at >= TELLS_S:
            self._resolve(self._pause, arrived_at)
            self._pause = None
        return fits

    def _keep(self, first: int, samples: Samples, arrived_at: float) -> None:
        chunk = self._chunks[-1] if self._chunks else None
        begins = self._pause is not None and self._pause.next == first
        if chunk is None or begins or chunk.after != first or chunk.after - chunk.first >= self.sample_rate:
            chunk = _Chunk(first)
            self._chunks.append(chunk)
        chunk.pieces.append(samples)
        chunk.arrivals.append((arrived_at, first + len(samples)))
        self._bytes += samples.nbytes
        if chunk.after - chunk.first >= self.sample_rate:
            chunk.pieces = [np.concatenate(chunk.pieces)]

    def _resolve(self, pause: _Pause, now: float) -> None:
        """Move what came after a pause to where it belongs, if nothing was sent in it."""
        if pause.zero is None:
            return
        missing_s = now - self._next / self.sample_rate - pause.zero
        if missing_s < GAP_S / 2:
            return
        missing = round(missing_s * self.sample_rate)
        for chunk in self._chunks:
            if chunk.first >= pause.next:
                chunk.first += missing
                chunk.arrivals = [(arrived_at, after + missing) for arrived_at, after in chunk.arrivals]
        self._next += missing

    def forget_before(self, moment: float) -> None:
        """Give up what arrived before, but for less than a second of it."""
        while self._chunks and self._chunks[0].arrived_at < moment:
            self._bytes -= sum(piece.nbytes for piece in self._chunks.popleft().pieces)

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
            begins = chunk.first
            for piece in chunk.pieces if chunk.first < after and chunk.after > first else ():
                lower, upper = max(begins, first), min(begins + len(piece), after)
                if lower < upper:
                    pieces += [np.zeros(lower - cursor, np.int16)] if lower > cursor else []
                    pieces.append(piece[lower - begins : upper - begins])
                    cursor = upper
                begins += len(piece)
        if not pieces:
            return None
        whole = not self._chunks[0].first <= self._given_up_from < asked
        return Pcm(np.concatenate(pieces), self.sample_rate, zero + first / self.sample_rate, whole)

    def _zero_at(self, moment: float) -> float | None:
        """Where sample 0 would lie, by the arrivals around `moment`, or by those that are nearest."""
        if not self._chunks:
            return None
        near = [
            (arrived_at, after)
            for chunk in self._chunks
            if chunk.arrivals[0][0] <= moment + NEAR_S and chunk.arrived_at >= moment - NEAR_S
            for arrived_at, after in chunk.arrivals
            if abs(arrived_at - moment) <= NEAR_S
        ]
        if not near:
            ends = [end for chunk in self._chunks for end in (chunk.arrivals[0], chunk.arrivals[-1])]
            near = [min(ends, key=lambda end: abs(end[0] - moment))]
        zeros = [arrived_at - after / self.sample_rate for arrived_at, after in near]
        return float(np.percentile(zeros, EARLY_PERCENTILE))
