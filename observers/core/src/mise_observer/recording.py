"""The audio of one stream on a clock: what was heard lately, and where in it a moment lies. Pure; needs numpy."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mise_observer.turn import Audio

Samples = NDArray[np.int16]

MOST_BYTES = 9_000_000
"""Of one stream, and of a turn: 187 s at 24 kHz, 4.7 minutes at 16 kHz. As base64 it fits the gateway's 16 MiB."""

NEAR_S = 1.5
"""Arrivals so close to a moment tell where it lies in the audio."""

EARLY_SHARE = 0.1
"""Of them the tenth earliest says how samples map to time: late ones were held up. The earliest of all is no measure: a
backlog at the start puts it 260 to 490 ms off (measured)."""

GAP_S = 1.0
"""After so long without a frame, either nothing was sent (a muted track) or the frames were held up (a stall)."""

TELLS_S = 0.3
"""Which of the two, the next frames tell in this time: what was held up comes all at once."""


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

    def between(self, start: float, end: float) -> Pcm | None:
        """The part from `start` to `end`; None when it is empty."""
        first = max(round((start - self.started_at) * self.sample_rate), 0)
        after = max(round((end - self.started_at) * self.sample_rate), 0)
        samples = np.ascontiguousarray(self.samples[first:after])
        if not len(samples):
            return None
        return replace(self, samples=samples, started_at=self.started_at + first / self.sample_rate)


@dataclass(frozen=True, slots=True)
class Clip:
    """Audio as it was recorded, in pieces that are copied only when it is made: cutting it costs a loop nothing.

    whole : as of `Pcm`.
    """

    pieces: Sequence[Samples]
    sample_rate: int
    started_at: float
    whole: bool

    @property
    def nbytes(self) -> int:
        return sum(piece.nbytes for piece in self.pieces)

    def pcm(self) -> Pcm:
        """Put together; takes ms for minutes of it."""
        return Pcm(np.concatenate(self.pieces), self.sample_rate, self.started_at, self.whole)


def audio_of(pcm: Pcm | None) -> Audio | None:
    """As it is sent; None when there is nothing to send."""
    if pcm is None or not len(pcm.samples):
        return None
    return Audio(data=pcm.samples.tobytes(), format="pcm_s16le", sample_rate=pcm.sample_rate, channels=1)


def mono(data: bytes, channels: int) -> Samples:
    """The whole samples in interleaved 16-bit PCM, of several channels their mean."""
    samples = np.frombuffer(data[: len(data) // (2 * channels) * 2 * channels], np.int16)
    if channels == 1:
        return samples
    mixed: Samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return mixed


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
    """The latest audio of one stream; times in seconds on the clock of the arrivals.

    Samples are counted, not their arrivals: frames that come late or in bursts lie where they belong. What would exceed
    `most_bytes` makes room for itself: the oldest second goes.
    """

    def __init__(self, sample_rate: int, most_bytes: int = MOST_BYTES) -> None:
        self.sample_rate = sample_rate
        self._most_bytes = most_bytes
        self._chunks: deque[_Chunk] = deque()
        self._bytes = 0
        self._next = 0
        self._made_room_to = 0  # the sample after the last one that made room
        self._last_arrival: float | None = None
        self._pause: _Pause | None = None

    def append(self, samples: Samples, arrived_at: float) -> None:
        """Add the samples that follow. arrived_at : when the last of them did."""
        last, length_s = self._last_arrival, len(samples) / self.sample_rate
        if last is not None and self._pause is None and arrived_at - last - length_s > GAP_S:
            self._pause = _Pause(self._next, arrived_at, self._zero_at(last))
        self._last_arrival = arrived_at
        first, self._next = self._next, self._next + len(samples)
        self._keep(first, samples, arrived_at)
        while self._bytes > self._most_bytes:
            self.make_room()
        if self._pause is not None and arrived_at - self._pause.ended_at >= TELLS_S:
            self._resolve(self._pause, arrived_at)
            self._pause = None

    def forget_before(self, moment: float) -> None:
        """Give up what arrived before, but for less than a second of it."""
        while self._chunks and self._chunks[0].arrived_at < moment:
            self._forget_oldest()

    def make_room(self) -> None:
        """Give up the oldest second of it, though somebody may ask for it."""
        if self._chunks:
            self._made_room_to = self._chunks[0].after
            self._forget_oldest()

    @property
    def nbytes(self) -> int:
        """Of the samples that are here."""
        return self._bytes

    @property
    def span(self) -> tuple[float, float] | None:
        """When the first sample that is here arrived, and the last; None when there is none."""
        if not self._chunks:
            return None
        first, last = self._chunks[0], self._chunks[-1]
        arrived_at, after = first.arrivals[0]
        return arrived_at - (after - first.first) / self.sample_rate, last.arrived_at

    def cut(self, start: float, end: float) -> Pcm | None:
        """What was heard from `start` to `end`, as far as it is still here; None when nothing is.

        Where a muted track sent nothing there is silence. What is longer than `most_bytes` loses its beginning.
        """
        clip = self.clip(start, end)
        return None if clip is None else clip.pcm()

    def clip(self, start: float, end: float) -> Clip | None:
        """As `cut`, without copying it. Whatever becomes of the recording, the clip stays what it is."""
        zero = self._zero_at(start)
        if zero is None:
            return None
        asked = round((start - zero) * self.sample_rate)
        after = min(round((end - zero) * self.sample_rate), self._chunks[-1].after)
        longest = after - self._most_bytes // 2
        # A little is always missing at the start of a call: whoever speaks then, speaks before it was recorded.
        whole = asked >= longest and (not self._made_room_to or asked >= self._made_room_to)
        first = max(asked, longest, self._chunks[0].first)
        pieces: list[Samples] = []
        cursor = after
        for chunk in reversed(self._chunks):  # what is asked for is mostly recent
            if chunk.after <= first:
                break
            ends = chunk.after
            for piece in reversed(chunk.pieces) if chunk.first < after else ():
                begins = ends - len(piece)
                lower, upper = max(begins, first), min(ends, after)
                if lower < upper:
                    pieces += [np.zeros(cursor - upper, np.int16)] if upper < cursor else []
                    pieces.append(piece[lower - begins : upper - begins])
                    cursor = lower
                ends = begins
        if not pieces:
            return None
        pieces += [np.zeros(cursor - first, np.int16)] if first < cursor else []
        return Clip(pieces[::-1], self.sample_rate, zero + first / self.sample_rate, whole)

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

    def _forget_oldest(self) -> None:
        self._bytes -= sum(piece.nbytes for piece in self._chunks.popleft().pieces)

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

    def _zero_at(self, moment: float) -> float | None:
        """Where sample 0 would lie, by the arrivals around `moment`, or by those that are nearest."""
        if not self._chunks:
            return None
        near: list[tuple[float, int]] = []
        for chunk in reversed(self._chunks):
            if chunk.arrived_at < moment - NEAR_S:
                break
            if chunk.arrivals[0][0] <= moment + NEAR_S:
                near += [arrival for arrival in chunk.arrivals if abs(arrival[0] - moment) <= NEAR_S]
        if not near:
            ends = [end for chunk in self._chunks for end in (chunk.arrivals[0], chunk.arrivals[-1])]
            near = [min(ends, key=lambda end: abs(end[0] - moment))]
        zeros = sorted(arrived_at - after / self.sample_rate for arrived_at, after in near)
        return zeros[int(len(zeros) * EARLY_SHARE)]
