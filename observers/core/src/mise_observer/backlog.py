"""What waits to be sent, in the order it came, and what is given up when it is too much. Pure.

Used twice: for what is in memory (values are turns and call events) and for what is on disk (values are file names).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")

EVENTS_AT_ONCE = 16
"""Each is a request of its own; so many are sent side by side."""


@dataclass(eq=False, slots=True)
class Cell(Generic[T]):
    """An item of a backlog. size, audio : bytes without the audio, and of the audio (0: there is none)."""

    value: T
    is_turn: bool
    size: int
    audio: int = 0
    place: int = -1
    held: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True)
class GivenUp(Generic[T]):
    """audio : cells that stay, without their audio. whole : cells that are gone. Oldest first."""

    audio: list[Cell[T]]
    whole: list[Cell[T]]


class Backlog(Generic[T]):
    """Cells in the order they came, at most `most` of them with at most `most_bytes` together."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._bytes = 0
        self._places = count()
        self._turns: deque[Cell[T]] = deque()
        self._events: deque[Cell[T]] = deque()
        self._with_audio: deque[Cell[T]] = deque()

    def __len__(self) -> int:
        return len(self._turns) + len(self._events)

    @property
    def bytes(self) -> int:
        """Of all cells, audio included."""
        return self._bytes

    @property
    def half_full(self) -> bool:
        """More than half of either bound."""
        return len(self) * 2 > self._most or self._bytes * 2 > self._most_bytes

    def add(self, cell: Cell[T]) -> GivenUp[T]:
        """Put a cell at the end. What is then too much is given up: the oldest audio first, then the oldest cells.

        Too many cells cost the oldest whole ones, as their audio alone makes no room for another. What could not stay
        even alone is given up first of all, for it would cost everything else.
        """
        given_up: GivenUp[T] = GivenUp([], [])
        if cell.size > self._most_bytes:
            given_up.whole.append(cell)
            return given_up
        cell.place = next(self._places)
        cell.held = True
        (self._turns if cell.is_turn else self._events).append(cell)
        self._bytes += cell.size + cell.audio
        if cell.audio:
            if cell.size + cell.audio > self._most_bytes:
                self._strip(cell, given_up)
            else:
                self._with_audio.append(cell)
        while len(self) > self._most:
            given_up.whole.append(self._pop(self._oldest()))
        while self._bytes > self._most_bytes and self._with_audio:
            self._strip(self._with_audio.popleft(), given_up)
        while self._bytes > self._most_bytes:
            given_up.whole.append(self._pop(self._oldest()))
        return given_up

    def take(self, most: int, most_bytes: int) -> list[Cell[T]]:
        """Take off what is to be sent next: either turns, at most `most` with at most `most_bytes`, or call events.

        Turns go ahead of events that came between them, so that one request holds many; no event goes ahead of a turn
        that came before it. At least one cell, whatever its size; none only when there is none.
        """
        if not len(self):
            return []
        lane = self._oldest()
        taken: list[Cell[T]] = []
        taken_bytes = 0
        limit = most if lane is self._turns else min(most, EVENTS_AT_ONCE)
        while lane and len(taken) < limit:
            cell = lane[0]
            taken_bytes += cell.size + cell.audio
            if taken and taken_bytes > most_bytes:
                break
            if lane is self._events and self._turns and self._turns[0].place < cell.place:
                break
            taken.append(self._pop(lane))
        return taken

    def _oldest(self) -> deque[Cell[T]]:
        if self._turns and self._events:
            return self._turns if self._turns[0].place < self._events[0].place else self._events
        return self._turns or self._events

    def _pop(self, lane: deque[Cell[T]]) -> Cell[T]:
        cell = lane.popleft()
        cell.held = False
        self._bytes -= cell.size + cell.audio
        # Turns leave in the order they came, and so does their audio: what is gone stands in front.
        while self._with_audio and not self._with_audio[0].held:
            self._with_audio.popleft()
        return cell

    def _strip(self, cell: Cell[T], given_up: GivenUp[T]) -> None:
        self._bytes -= cell.audio
        cell.audio = 0
        given_up.audio.append(cell)
