"""Who has the floor: transfers between speakers, and pauses within one.

Definitions: docs/dialogue.md. Source: Heldner & Edlund (2010), "Pauses, gaps and overlaps in conversations",
J. Phonetics 38.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipeline.dialogue.spurts import Spurt, Voice

QUANTILES = (5, 25, 50, 75, 95)


class Transfer(NamedTuple):
    """The floor goes from one participant to another. at : when the next one starts [ms]. offset_ms : from the stop of
    the one before to there; a gap when positive, an overlap when negative."""

    at: int
    before: str
    after: str
    offset_ms: int


class Holder(NamedTuple):
    """A spurt that has the floor: it lies inside no spurt of another participant."""

    start: int
    end: int
    participant: str


@dataclass
class Floor:
    """Who has the floor. holders : disjoint or not, in order of start and so of end.

    Change it by `replace`, which costs what is replaced.
    """

    holders: list[Holder] = field(default_factory=list)
    _offsets_ms: list[int | None] = field(default_factory=list)
    """From each holder but the last one to the next; None between two of one participant."""

    @property
    def offsets_ms(self) -> list[int]:
        """Floor-transfer offsets, in order of time."""
        return [offset_ms for offset_ms in self._offsets_ms if offset_ms is not None]

    @property
    def transfers(self) -> list[Transfer]:
        """In order of time."""
        return [
            Transfer(after.start, before.participant, after.participant, offset_ms)
            for (before, after), offset_ms in zip(pairwise(self.holders), self._offsets_ms, strict=True)
            if offset_ms is not None
        ]

    @property
    def pauses_ms(self) -> list[int]:
        """Between neighbours of one participant, in order of time."""
        return [
            after.start - before.end
            for before, after in pairwise(self.holders)
            if before.participant == after.participant
        ]

    def between(self, begin: int, end: int) -> tuple[int, int]:
        """The first and one past the last of the holders that share time with [begin, end] or touch it."""
        first = bisect_left(self.holders, begin, key=_end)
        return first, max(first, bisect_right(self.holders, end, key=_start))

    def replace(self, first: int, last: int, holders: Sequence[Holder]) -> None:
        """Put holders, in order, in the place of those from `first` to before `last`."""
        self.holders[first:last] = holders
        before = max(first - 1, 0)
        around = self.holders[before : first + len(holders) + 1]
        self._offsets_ms[before:last] = [_offset_ms(*neighbours) for neighbours in pairwise(around)]


def _offset_ms(before: Holder, after: Holder) -> int | None:
    return None if before.participant == after.participant else after.start - before.end


def _start(holder: Holder) -> int:
    return holder.start


def _end(holder: Holder) -> int:
    return holder.end


class Quantiles(NamedTuple):
    """Of some lengths [ms], interpolated linearly; None without any."""

    n: int
    p5: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None


def is_embedded(spurt: Spurt, voices: Mapping[str, Voice]) -> bool:
    """Whether the spurt lies inside one of another participant; of equal ones that of the smallest name does not."""
    for participant, voice in voices.items():
        if participant == spurt.participant or (index := voice.begun(spurt.start)) < 0:
            continue
        other = voice.spurts[index]
        if other.end > spurt.end or (
            other.end == spurt.end and (other.start < spurt.start or participant < spurt.participant)
        ):
            return True
    return False


def quantiles(lengths_ms: Sequence[int]) -> Quantiles:
    """Quantiles of the lengths."""
    if not lengths_ms:
        return Quantiles(0, None, None, None, None, None)
    return Quantiles(len(lengths_ms), *np.percentile(lengths_ms, QUANTILES).tolist())
