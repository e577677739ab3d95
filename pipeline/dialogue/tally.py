"""What is counted of a call's turns: who talks, from when to when, how late they come, and what they speak of.

A function of the turns as they are now: each can be taken back, at the cost of finding it in sorted lists.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.dialogue.order import Place
from pipeline.dialogue.phases import Span
from schemas.turn import ReceivedTurn, Role


class Cues(NamedTuple):
    """What a turn speaks of. not_understood : an agent did not. transfer : handing the call to a person."""

    not_understood: bool = False
    transfer: bool = False


@dataclass
class Talker:
    """A participant's turns. places : with the role in each, in order. delays_ms : from the end of each turn to its
    reception, rising."""

    places: list[tuple[int, str, Role]] = field(default_factory=list)
    delays_ms: list[int] = field(default_factory=list)

    @property
    def turns(self) -> int:
        return len(self.places)

    @property
    def role(self) -> Role:
        """That of the latest turn."""
        return self.places[-1][2]


class _Turn(NamedTuple):
    turn: ReceivedTurn
    speaks: bool
    cues: Cues


@dataclass
class Tally:
    """The counts. talkers : by participant. misunderstandings, transfers : where turns have the cue, in order."""

    talkers: dict[str, Talker] = field(default_factory=dict)
    misunderstandings: list[Place] = field(default_factory=list)
    transfers: list[Place] = field(default_factory=list)
    _turns: dict[str, _Turn] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)
    _ends: list[int] = field(default_factory=list)
    _human_starts: list[int] = field(default_factory=list)
    _human_ends: list[int] = field(default_factory=list)

    @property
    def turns(self) -> Span | None:
        """From the start of the first turn to the end of the last; None without any."""
        return Span(self._starts[0], self._ends[-1]) if self._starts else None

    @property
    def human(self) -> Span | None:
        """The same of the turns of human agents that speak."""
        return Span(self._human_starts[0], self._human_ends[-1]) if self._human_starts else None

    def put(self, turn: ReceivedTurn, *, speaks: bool, cues: Cues) -> None:
        """Count a turn, in place of the revision that was there. cues : of one that speaks."""
        known = self._turns.get(turn.turn_id)
        if known is not None:
            self._count(known, _remove)
            if not self.talkers[known.turn.participant].places:
                del self.talkers[known.turn.participant]
        now = self._turns[turn.turn_id] = _Turn(turn, speaks, cues)
        self.talkers.setdefault(turn.participant, Talker())
        self._count(now, insort)

    def _count(self, one: _Turn, change: Callable[[list[Any], Any], None]) -> None:
        """Put what the turn counts for into the sorted lists, or take it out."""
        turn, place = one.turn, (one.turn.started_at, one.turn.turn_id)
        talker = self.talkers[turn.participant]
        change(talker.places, (*place, turn.role))
        change(talker.delays_ms, turn.received_at // 1000 - turn.ended_at)
        change(self._starts, turn.started_at)
        change(self._ends, turn.ended_at)
        if one.speaks and turn.role == "human_agent":
            change(self._human_starts, turn.started_at)
            change(self._human_ends, turn.ended_at)
        if one.cues.not_understood:
            change(self.misunderstandings, place)
        if one.cues.transfer:
            change(self.transfers, place)


def _remove(rising: list[Any], value: Any) -> None:
    del rising[bisect_left(rising, value)]
