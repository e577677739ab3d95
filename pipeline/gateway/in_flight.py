"""Requests in flight: how many bytes they may hold together, and how they end when the gateway stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from pipeline import metrics
from schemas.errors import Unavailable

REQUEST_BYTES = 16 * 1024
"""What a request holds beside its body."""


class InFlight:
    """The requests that are being answered.

    limit : bytes that their bodies may hold together. Beyond it a request is told to come again: what waits for a slow
    Kafka or a slow blob store must not take all memory.
    drain_s : how long they may take once `drain` was called.
    """

    def __init__(self, limit: int, *, drain_s: float) -> None:
        self._limit = limit
        self._drain_s = drain_s
        self._held = 0
        self._until: float | None = None
        self._open: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Callable[[int], None]]:
        """While a request is answered. Yields what reserves the bytes of its body as they come.

        Raises Unavailable when there is no room, and when the gateway stops before the request has ended.
        """
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            if self._held + count > self._limit:
                raise Unavailable(f"{self._held} bytes of requests are in flight, at most {self._limit}; send it again")
            held += count
            self._held += count
            metrics.IN_FLIGHT_BYTES.set(self._held)

        try:
            async with asyncio.timeout_at(self._until) as timeout:
                self._open.add(timeout)
                try:
                    hold(REQUEST_BYTES)
                    yield hold
                finally:
                    self._open.discard(timeout)
        except TimeoutError:
            if not timeout.expired():
                raise
            raise Unavailable("the gateway stops, and does not know whether it was stored; send it again") from None
        finally:
            self._held -= held
            metrics.IN_FLIGHT_BYTES.set(self._held)

    def check(self) -> None:
        """Raise Unavailable when no further request should be sent here."""
        if self._until is not None:
            raise Unavailable("the gateway stops")
        if self._held > self._limit - REQUEST_BYTES:
            raise Unavailable(f"{self._held} bytes of requests are in flight, at most {self._limit}")

    def drain(self) -> None:
        """Let what is in flight end within `drain_s`; the same goes for what still comes."""
        if self._until is None:
            self._until = asyncio.get_running_loop().time() + self._drain_s
            for timeout in self._open:
                timeout.reschedule(self._until)
