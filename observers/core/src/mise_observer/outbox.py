"""Between an observer and its sender: turns and call events are made in a thread, in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from mise_observer.event import CallEvent
from mise_observer.notices import Notices
from mise_observer.sender import CLOSE_WITHIN_S, Sender
from mise_observer.stats import Stats
from mise_observer.turn import Turn

PENDING = 200
"""Turns and events that wait for the thread; more of them are given up: a redaction hangs."""

Make = Callable[[], Turn | CallEvent]


class Outbox:
    """Cutting audio and redacting text may take their time here: the host's loop does neither."""

    def __init__(self, sender: Sender, notices: Notices) -> None:
        self._sender = sender
        self._notices = notices
        self._put = 0
        self._done = 0  # by the thread
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mise-observer-outbox")

    @property
    def stats(self) -> Stats:
        return self._sender.stats

    def put(self, make: Make) -> None:
        """Have it made and sent; what fails is told in the log. From the host's loop."""
        if self._put - self._done >= PENDING:
            self._notices.warn("given_up", "pending", detail="redact takes too long")
            return
        self._put += 1
        self._thread.submit(self._send, make)

    async def drain(self, deadline_s: float = CLOSE_WITHIN_S) -> None:
        """Wait until everything is with the sender, and the sender has sent it; the rest goes the sender's way."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        made = self._thread.submit(lambda: None)
        await asyncio.wait({asyncio.wrap_future(made)}, timeout=deadline_s / 2)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._notices.warn("given_up", "end", self._put - self._done, detail="redact takes too long")
        await self._sender.aclose(max(deadline_s - (loop.time() - began), 0.0))

    def _send(self, make: Make) -> None:
        try:
            self._sender.send(make())
        except Exception as error:
            self._notices.warn("not_made", type(error).__name__)
        finally:
            self._done += 1
