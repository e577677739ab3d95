"""Overlap: two participants' spurts that share time. Definitions are those of docs/dialogue.md, to the letter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from pipeline.dialogue.spurts import Spurt, Voice
from schemas.annotated import Competition, Evidence, Fault, OverlapBasis, OverlapClass, OverlapKind

FLOOR_TAKEN_MS = 500
"""The overlapper has the floor when it goes on alone for this long; a choice of ours."""

MOST_AT_ONCE = 16
"""Voices that one who comes in is held against: pairs grow with the square of those who speak at once, and nobody hears
so many."""


class Pair(NamedTuple):
    """Two spurts that share [start, end), in ms."""

    start: int
    end: int
    overlapper: Spurt
    overlapped: Spurt
    kind: OverlapKind
    floor_taken: bool


class OverlapEvent(NamedTuple):
    """A pair with its class. Sorted by its first fields: start, end, overlapper, overlapped.

    turn_id : of the overlapper's turn in which the overlap starts. spoken_share : of the overlapped's turn, from pause
    to pause, what was over when the overlapper came in, 0 to 1. The rest as `rules.Judgement`.
    """

    start: int
    end: int
    overlapper: str
    overlapped: str
    kind: OverlapKind
    class_: OverlapClass
    floor_taken: bool
    turn_id: str
    spoken_share: float
    confidence: float | None
    p_interruption: float | None
    p_backchannel: float | None
    basis: OverlapBasis | None
    evidence: tuple[Evidence, ...]
    competition: Competition | None = None
    faults: tuple[Fault, ...] = ()

    @property
    def duration_ms(self) -> int:
        return self.end - self.start

    @property
    def yield_ms(self) -> int | None:
        """How long the overlapped went on after the overlapper came in; None when it did not yield (`within`)."""
        return self.end - self.start if self.kind == "between" else None


def pairs(voices: Mapping[str, Voice], begin: int, end: int) -> Iterator[Pair]:
    """Every pair whose overlap starts in [begin, end]; where more than MOST_AT_ONCE speak, those with the latest ones.

    n log n in the spurts of that stretch plus the number of pairs.
    """
    near: list[Spurt] = []
    for voice in voices.values():
        first, last = voice.between(begin, end)
        near += voice.spurts[first:last]
    active: list[Spurt] = []
    for spurt in sorted(near, key=_order):
        active = [earlier for earlier in active if earlier.end > spurt.start]
        if spurt.start >= begin:
            others = [earlier for earlier in active if earlier.participant != spurt.participant]
            for earlier in others[-MOST_AT_ONCE:]:
                yield _pair(earlier, spurt, voices)
        active.append(spurt)


def _order(spurt: Spurt) -> tuple[int, int, str]:
    return spurt.start, spurt.end, spurt.participant


def _roles(one: Spurt, other: Spurt) -> tuple[Spurt, Spurt]:
    """(overlapper, overlapped): who started later; at a tie who stops first, then the greater name."""
    if one.start != other.start:
        return (one, other) if one.start > other.start else (other, one)
    if one.end != other.end:
        return (one, other) if one.end < other.end else (other, one)
    return (one, other) if one.participant > other.participant else (other, one)


def _pair(one: Spurt, other: Spurt, voices: Mapping[str, Voice]) -> Pair:
    overlapper, overlapped = _roles(one, other)
    end = min(one.end, other.end)
    kind: OverlapKind = "between" if overlapper.end > overlapped.end else "within"
    floor_taken = False
    if kind == "between":
        own = voices[overlapped.participant]
        after = own.begun(overlapped.start) + 1
        until = min(overlapper.end, own.starts[after]) if after < len(own.starts) else overlapper.end
        floor_taken = until - end >= FLOOR_TAKEN_MS
    return Pair(overlapper.start, end, overlapper, overlapped, kind, floor_taken)
