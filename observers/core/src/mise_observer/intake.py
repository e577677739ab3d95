"""What the host's side and the sender's side share: the queue in memory and the counters. Thread-safe."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mise_observer.backlog import Backlog, Cell
from mise_observer.event import CallEvent
from mise_observer.stats import Stats
from mise_observer.turn import Turn
from mise_observer.wire import wire_bytes

Given = Turn | CallEvent

ITEM_BYTES = 2_000
"""Of a turn or an event in memory beside its text, words and audio; measured 1.1 kB, rounded up."""

WORD_BYTES = 300
"""Of a word with two times; measured 260."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a sender holds and sends at most.

    queue_turns, queue_bytes : of turns and call events in memory, audio included.
    batch_turns, batch_bytes : of one request, bytes before compression; a single turn may have up to `turn_bytes`.
    turn_bytes : the greatest body that the gateway takes. A turn that has more is sent without its audio.
    spool_bytes : of this process on disk.
    """

    queue_turns: int = 10_000
    queue_bytes: int = 64 * 2**20
    batch_turns: int = 1_000
    batch_bytes: int = 4 * 2**20
    turn_bytes: int = 16 * 2**20
    spool_bytes: int = 2**30

    @property
    def take_bytes(self) -> int:
        """Bytes to take for one request: as base64 they become a third more."""
        return self.batch_bytes // 4 * 3


class Intake:
    """The queue in memory, and the counters. The lock is held for microseconds, never across I/O."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._queue: Backlog[Given] = Backlog(limits.queue_turns, limits.queue_bytes)
        self._stats = Stats()
        self._closed = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def half_full(self) -> bool:
        return self._queue.half_full

    @property
    def closed(self) -> bool:
        """Nothing more is taken in."""
        return self._closed

    def put(self, item: Given) -> None:
        """Take an item in; what is then too much is given up. Raises TypeError for what is none."""
        cell = _cell(item)
        with self._lock:
            if self._closed:
                self._stats.drop(cell.is_turn)
                return
            if cell.audio and wire_bytes(cell.size, cell.audio) > self._limits.turn_bytes:
                cell.value, cell.audio = _without_audio(cell.value), 0
                self._stats.dropped_audio += 1
            given_up = self._queue.add(cell)
            for stripped in given_up.audio:
                stripped.value = _without_audio(stripped.value)
            self._stats.dropped_audio += len(given_up.audio)
            for gone in given_up.whole:
                self._stats.drop(gone.is_turn)

    def take(self) -> list[Given]:
        """Take off what makes one request, oldest first."""
        with self._lock:
            cells = self._queue.take(self._limits.batch_turns, self._limits.take_bytes)
        return [cell.value for cell in cells]

    def close(self) -> None:
        """Give up whatever is put in from now on."""
        self._closed = True

    def count(
        self, *, sent: int = 0, refused: int = 0, retries: int = 0, audio: int = 0, turns: int = 0, events: int = 0
    ) -> None:
        """Count what happened later to what was taken off. audio, turns, events : given up."""
        with self._lock:
            self._stats.sent += sent
            self._stats.refused += refused
            self._stats.retries += retries
            self._stats.dropped_audio += audio
            self._stats.dropped_turns += turns
            self._stats.dropped_events += events

    def count_given_up(self, are_turns: Iterable[bool]) -> None:
        """Count items that are given up; for each whether it is a turn."""
        with self._lock:
            for is_turn in are_turns:
                self._stats.drop(is_turn)

    def stats(self) -> Stats:
        """A copy; `queued` is what lies here, `spooled` 0."""
        with self._lock:
            return replace(self._stats, queued=len(self._queue))


def _cell(item: Given) -> Cell[Given]:
    if isinstance(item, Turn):
        size = ITEM_BYTES + sys.getsizeof(item.text) + WORD_BYTES * len(item.words or ())
        size += sum(map(sys.getsizeof, (item.metadata or {}).values()))
        return Cell(item, True, size, 0 if item.audio is None else len(item.audio.data))
    if isinstance(item, CallEvent):
        return Cell(item, False, ITEM_BYTES + sum(map(sys.getsizeof, (item.data or {}).values())))
    raise TypeError(f"{type(item).__name__}: send takes a Turn or a CallEvent")


def _without_audio(item: Given) -> Given:
    return replace(item, audio=None) if isinstance(item, Turn) else item
