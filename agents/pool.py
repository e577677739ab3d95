"""A pool of processes that measure audio, and that a codec may crash without costing any turn but its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Generic, ParamSpec, TypeVar

import structlog

from pipeline.process import die_with_parent

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")


class Crashed(Exception):
    """The function took its process down, twice, the second time with nothing else in it."""


class Pool(Generic[P, T]):
    """Runs `function` in processes that end with this one. function : importable, its arguments picklable."""

    def __init__(self, function: Callable[P, T], processes: int) -> None:
        self._function = function
        self._processes = processes
        self._pool = _executor(processes)
        self._alone = asyncio.Lock()

    async def close(self) -> None:
        """End the processes, once they have ended what they are at."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or what it raises. Raises Crashed."""
        pool = self._pool
        try:
            return await _run(pool, self._function, *args, **kwargs)
        except BrokenProcessPool:
            # One call took a process down, and everything that was in the pool with it.
            if self._pool is pool:
                log.warning("pool_broken")
                self._pool = _executor(self._processes)
        # Each of them again, one at a time in a process of its own: the one to blame shows, and no other is blamed.
        async with self._alone:
            single = _executor(1)
            try:
                return await _run(single, self._function, *args, **kwargs)
            except BrokenProcessPool as error:
                raise Crashed("its process ended twice") from error
            finally:
                single.shutdown(wait=False, cancel_futures=True)


async def _run(pool: ProcessPoolExecutor, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.wrap_future(pool.submit(function, *args, **kwargs))


def _executor(processes: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        processes,
        # A forked process would share our sockets and the locks of our threads; a spawned one starts clean.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=die_with_parent,
        initargs=(os.getpid(),),
    )
