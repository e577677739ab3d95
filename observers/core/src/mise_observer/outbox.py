"""Between an observer and its sender: turns and call events are made in a thread, in order."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

from mise_observer.backlog import Backlog, Cell
from mise_observer.event import CallEvent
from mise_observer.intake import ITEM_BYTES
from mise_observer.notices import Notices
from mise_observer.sender import CLOSE_WITHIN_S, Sender
from mise_observer.stats import Stats
from mise_observer.turn import Turn

PENDING = 1_000
PENDING_BYTES = 32 * 2**20
"""Turns and events that wait for the thread, and their bytes: all of an ordinary call, if nothing is let through."""

SENDING_S = 1.0
"""Of a drain's time so much is left to the sender, but never more than half of it."""

EVENTS_S = 0.25
"""Of that so much, and never more than half of it, is for making call events: mostly it takes microseconds."""

Make = Callable[[], "Turn | CallEvent"]


@dataclass(slots=True)
class _Pending:
    """without_audio : makes it when its audio has been given up."""

    make: Make
    without_audio: Make | None


class Outbox:
    """Cutting audio and redacting text may take their time here: the host's loop does neither.

    What is too much while the thread is busy, or held, is given up as the sender does it: the oldest audio first.
    held : nothing is made before `release`.
    """

    def __init__(self, sender: Sender, notices: Notices, *, held: bool = False) -> None:
        self._sender = sender
        self._notices = notices
        self._held = held
        self._pending: Backlog[_Pending] = Backlog(PENDING, PENDING_BYTES)
        self._making: Cell[_Pending] | None = None
        self._given_up = Stats()
        self._draining = False
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()  # held for microseconds, never while something is made
        self._done: Future[None] = Future()  # of that thread

    @property
    def stats(self) -> Stats:
        """The sender's, and what waits or was given up here."""
        stats = self._sender.stats
        with self._changed:
            return replace(
                stats,
                queued=stats.queued + len(self._pending) + (self._making is not None),
                dropped_audio=stats.dropped_audio + self._given_up.dropped_audio,
                dropped_turns=stats.dropped_turns + self._given_up.dropped_turns,
                dropped_events=stats.dropped_events + self._given_up.dropped_events,
            )

    def put(
        self,
        make: Make,
        *,
        is_turn: bool = True,
        text_bytes: int = 0,
        audio_bytes: int = 0,
        without_audio: Make | None = None,
    ) -> None:
        """Have it made and sent; what fails is told in the log. From the host's loop.

        audio_bytes, without_audio : how much audio `make` holds in memory, and what to do instead once it is given up.
        """
        cell = Cell(_Pending(make, without_audio), is_turn, ITEM_BYTES + text_bytes, audio_bytes)
        with self._changed:
            if self._draining:
                self._given_up.drop(is_turn)
                return
            given_up = self._pending.add(cell)
            for stripped in given_up.audio:
                self._strip(stripped)
            for gone in given_up.whole:
                self._given_up.drop(gone.is_turn)
            self._start()
            self._changed.notify()
        self._notices.warn("audio_given_up", "pending", len(given_up.audio), detail=self._why)
        self._notices.warn("given_up", "pending", len(given_up.whole), detail=self._why)

    def release(self) -> None:
        """Make what was held, and whatever comes."""
        with self._changed:
            self._held = False
            self._start()
            self._changed.notify()

    async def drain(self, deadline_s: float = CLOSE_WITHIN_S) -> None:
        """Wait until everything is with the sender, and the sender has sent it; the rest goes the sender's way.

        Turns that are not made shortly before the deadline are given up, as are call events that need a slow redaction.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        sending_s = min(SENDING_S, deadline_s / 2)
        with self._changed:
            self._draining = True
            self._changed.notify()
        await self._wait(deadline_s - sending_s)
        with self._changed:
            given_up = self._give_up(events=False)
            self._thread = None
            if len(self._pending):
                self._start()  # call events, behind a turn; not on the loop, for one may be redacted too
        await self._wait(min(EVENTS_S, sending_s / 2))
        given_up += self._give_up(events=True)
        self._notices.warn("given_up", "end", given_up, detail=self._why)
        await self._sender.aclose(max(deadline_s - (loop.time() - began), 0.0))

    async def _wait(self, seconds: float) -> None:
        """Until the thread has made everything, but no longer."""
        if self._thread is not None:
            done = asyncio.wrap_future(self._done)
            await asyncio.wait({done}, timeout=seconds)
            done.cancel()

    def _give_up(self, *, events: bool) -> int:
        """Give up what is being made and what waits, call events only if so; how many that is."""
        with self._changed:
            given_up = [] if self._making is None else [self._making]
            self._making = None
            waiting: list[Cell[_Pending]] = []
            while taken := self._pending.take(PENDING, PENDING_BYTES):
                waiting += taken
            for cell in waiting:
                if cell.is_turn or events:
                    given_up.append(cell)
                else:
                    self._pending.add(cell)
            for cell in given_up:
                self._given_up.drop(cell.is_turn)
        return len(given_up)

    @property
    def _why(self) -> str:
        return "the call has no id yet" if self._held else "redact takes too long"

    def _strip(self, cell: Cell[_Pending]) -> None:
        self._given_up.dropped_audio += 1
        if cell.value.without_audio is not None:
            cell.value.make = cell.value.without_audio

    def _start(self) -> None:
        if self._thread is None and not self._held:
            # A daemon: a redaction that hangs must not keep the process from ending.
            done: Future[None] = Future()
            done.set_running_or_notify_cancel()  # a drain that waits no longer can't cancel it
            thread = threading.Thread(target=self._serve, args=(done,), name="mise-observer-outbox", daemon=True)
            thread.start()
            self._thread, self._done = thread, done

    # --- in the thread

    def _serve(self, done: Future[None]) -> None:
        while self._make_next():
            pass
        done.set_result(None)

    def _make_next(self) -> bool:
        """False at the end, and when another thread goes on.

        What was made is let go of before the next is waited for: it may be minutes of audio.
        """
        with self._changed:
            if threading.current_thread() is not self._thread:
                return False
            while not self._draining and (self._held or not len(self._pending)):
                self._changed.wait()
            cells = [] if self._held else self._pending.take(1, PENDING_BYTES)
            if not cells:
                return False
            self._making = cell = cells[0]
        try:
            item: Turn | CallEvent | None = cell.value.make()
        except BaseException as error:  # of a host's redaction: sys.exit() in it must end no more than its own turn
            item = None
            self._notices.warn("not_made", type(error).__name__)
        with self._changed:
            if self._making is not cell:
                return False  # given up
            self._making = None
            if item is None:
                self._given_up.drop(cell.is_turn)
        if item is not None:
            self._sender.send(item)
        return True
