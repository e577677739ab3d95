"""Waiting for conditions, never for time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from schemas.errors import Unavailable

T = TypeVar("T")

WITHIN_S = 20.0
POLL_S = 0.05


async def until(ask: Callable[[], Awaitable[T]], holds: Callable[[T], bool] = bool, *, within_s: float = WITHIN_S) -> T:
    """The first answer that holds, else the last one before the deadline: the test then asserts, and shows it.

    What is Unavailable meanwhile (a server that starts again) is asked again.
    """
    deadline = time.monotonic() + within_s
    while True:
        try:
            answer = await ask()
        except Unavailable:
            if time.monotonic() > deadline:
                raise
        else:
            if holds(answer) or time.monotonic() > deadline:
                return answer
        await asyncio.sleep(POLL_S)
