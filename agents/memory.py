"""A bound on the bytes that are in memory at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Memory:
    """Lets in what fits, first come, first served: what is large is not overtaken for ever by what is small."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, size: int) -> AsyncIterator[None]:
        """Inside, `size` bytes are held; waits until they fit. More than the whole limit is held alone."""
        size = min(size, self._limit)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        self._let_in()
        try:
            await turn
            yield
        finally:
            # Cancelled while it waited, it has nothing to give back; but those behind it may fit now.
            if not turn.cancelled():
                self._held -= size
            self._let_in()

    def _let_in(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.cancelled():
                if self._held + size > self._limit:
                    return
                self._held += size
                turn.set_result(None)
            self._waiting.popleft()
