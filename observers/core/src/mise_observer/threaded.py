"""A sender for programs without an event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

from mise_observer.event import CallEvent
from mise_observer.intake import Limits
from mise_observer.sender import CLOSE_WITHIN_S, Sender
from mise_observer.stats import Left, Stats
from mise_observer.turn import Turn


class ThreadedSender:
    """A `Sender` on an event loop of its own, in a thread of its own.

        with ThreadedSender("https://voice.example.com", key) as sender:
            sender.send(Turn(...))

    Starts when it is made. Threads don't cross a fork: a child that is to send makes a sender of its own.
    """

    def __init__(self, url: str, key: str, *, spool: Path | None = None, limits: Limits | None = None) -> None:
        self._sender = Sender(url, key, spool=spool, limits=limits)
        self._loop = asyncio.new_event_loop()
        # A daemon: a program that forgets to close it still ends.
        self._thread = threading.Thread(target=self._serve, name="mise-observer-loop", daemon=True)
        self._started = threading.Event()
        self._thread.start()
        self._started.wait()  # the sender knows then whose it is: a fork that follows at once takes nothing
        self._process = os.getpid()
        self._one_closes = threading.Lock()
        self._left: Left | None = None

    def __enter__(self) -> ThreadedSender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, item: Turn | CallEvent) -> None:
        """As `Sender.send`."""
        self._sender.send(item)

    @property
    def stats(self) -> Stats:
        """As `Sender.stats`."""
        return self._sender.stats

    def close(self, deadline_s: float = CLOSE_WITHIN_S) -> Left:
        """As `Sender.aclose`; waits for it."""
        if os.getpid() != self._process:
            return Left()
        with self._one_closes:
            if self._left is None:
                self._left = asyncio.run_coroutine_threadsafe(self._sender.aclose(deadline_s), self._loop).result()
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join()
                self._loop.close()
        return self._left

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._sender.start)
        self._loop.call_soon(self._started.set)
        self._loop.run_forever()
