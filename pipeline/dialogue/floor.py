"""Who has the floor: transfers between speakers, and pauses within one.

Definitions: docs/dialogue.md. Source: Heldner & Edlund (2010), "Pauses, gaps and overlaps in conversations",
J. Phonetics 38.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import NamedTuple

from pipeline.dialogue.spurts import Spurt, Voice
from schemas.annotated import Silence
from schemas.turn import Role

QUANTILES = (5, 25, 50, 75, 95)

LONG_SILENCE_MS = 3_000
"""A gap of one second is heard as trouble (Jefferson 1989, on the standard maximum silence); a choice of ours, at which
a caller asks whether anybody is there."""

ANSWERS: Mapping[str, Role] = {"user": "agent", "agent": "user", "human_agent": "user"}
"""Who should speak after whom."""


class Transfer(NamedTuple):
    """The floor goes from one participant to another. at : when the next one starts [ms]. offset_ms : from the stop of
    the one before to there; a gap when positive, an overlap when negative."""

    at: int
    before: str
    after: str
    offset_ms: int


class Monologue(NamedTuple):
    """How long one participant has the floor before another takes it, own pauses included."""

    length_ms: int
    participant: str


class Holder(NamedTuple):
    """A spurt that has the floor: it lies inside no spurt of another participant. The turns are its first and last."""

    start: int
    end: int
    participant: str
    role: str
    first_turn_id: str
    last_turn_id: str

    @classmethod
    def of(cls, spurt: Spurt) -> Holder:
        first, last = spurt.utterances[0], spurt.utterances[-1]
        return cls(spurt.start, spurt.end, spurt.participant, first.role, first.turn_id, last.turn_id)


@dataclass
class Floor:
    """Who has the floor. holders : disjoint or not, in order of start and so of end.

    Change it by `replace`, which costs what is replaced.
    """

    holders: list[Holder] = field(default_factory=list)
    offsets_ms: list[int] = field(default_factory=list)
    """Of all transfers, rising."""
    responses_ms: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    """The same by the roles before and after."""
    monologues: list[Monologue] = field(default_factory=list)
    """Rising in length."""
    silences: list[Silence] = field(default_factory=list)
    """Those of LONG_SILENCE_MS and more, in order of time."""

    @property
    def transfers(self) -> list[Transfer]:
        """In order of time."""
        return [
            Transfer(after.start, before.participant, after.participant, after.start - before.end)
            for before, after in pairwise(self.holders)
            if before.participant != after.participant
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

    def replace(self, first: int, last: int, holders: Sequence[Holder]) -> tuple[list[Neighbours], list[Neighbours]]:
        """Put holders, in order, in the place of those from `first` to before `last`. Returns the neighbours that are
        none any more, and those that are new."""
        before = max(first - 1, 0)
        old = list(pairwise(self.holders[before : last + 1]))
        begin, end = self._whole_monologues(before, min(last + 1, len(self.holders)))
        for monologue in _monologues(self.holders[begin:end]):
            del self.monologues[bisect_left(self.monologues, monologue)]
        self.holders[first:last] = holders
        for monologue in _monologues(self.holders[begin : end + len(holders) - (last - first)]):
            insort(self.monologues, monologue)
        new = list(pairwise(self.holders[before : first + len(holders) + 1]))
        for one, other in old:
            self._leave(one, other)
        for one, other in new:
            self._meet(one, other)
        return old, new

    def _meet(self, before: Holder, after: Holder) -> None:
        """What follows from their being neighbours now."""
        if before.participant != after.participant:
            for rising in self._lists(before, after):
                insort(rising, after.start - before.end)
        if silence := _silence(before, after):
            insort(self.silences, silence)

    def _leave(self, before: Holder, after: Holder) -> None:
        """Take that back."""
        if before.participant != after.participant:
            for rising in self._lists(before, after):
                del rising[bisect_left(rising, after.start - before.end)]
            if not self.responses_ms[before.role, after.role]:
                del self.responses_ms[before.role, after.role]
        if silence := _silence(before, after):
            del self.silences[bisect_left(self.silences, silence)]

    def _whole_monologues(self, begin: int, end: int) -> tuple[int, int]:
        """The holders from `begin` to before `end`, and those beside them in the same monologues."""
        while 0 < begin < len(self.holders) and _same(self.holders[begin - 1], self.holders[begin]):
            begin -= 1
        while 0 < end < len(self.holders) and _same(self.holders[end - 1], self.holders[end]):
            end += 1
        return begin, end

    def _lists(self, before: Holder, after: Holder) -> tuple[list[int], list[int]]:
        return self.offsets_ms, self.responses_ms.setdefault((before.role, after.role), [])


Neighbours = tuple[Holder, Holder]


def _same(one: Holder, other: Holder) -> bool:
    return one.participant == other.participant


def _silence(before: Holder, after: Holder) -> Silence | None:
    """That between neighbours, when it is long."""
    gap_ms = after.start - before.end
    if gap_ms < LONG_SILENCE_MS:
        return None
    # Whoever then spoke was expected to; where the same one goes on, the other side was.
    due = after.role if after.participant != before.participant else ANSWERS.get(before.role, "")
    return Silence(before.end, gap_ms, before.participant, after.participant, due)  # type: ignore[arg-type] # a role


def _monologues(holders: Sequence[Holder]) -> Iterator[Monologue]:
    for participant, group in groupby(holders, key=lambda holder: holder.participant):
        own = list(group)
        yield Monologue(own[-1].end - own[0].start, participant)


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


def quantiles(rising_ms: Sequence[int]) -> Quantiles:
    """Quantiles of lengths in rising order; as numpy's, at a fiftieth of its cost for a call's few."""
    if not rising_ms:
        return Quantiles(0, None, None, None, None, None)
    return Quantiles(len(rising_ms), *(_quantile(rising_ms, percent / 100) for percent in QUANTILES))


def _quantile(rising_ms: Sequence[int], share: float) -> float:
    last = len(rising_ms) - 1
    place = last * share
    index = int(place)
    low, high, between = rising_ms[index], rising_ms[min(index + 1, last)], place - index
    # From the nearer one, as numpy does: so that both ends come out exactly.
    return low + (high - low) * between if between < 0.5 else high - (high - low) * (1 - between)  # noqa: PLR2004
