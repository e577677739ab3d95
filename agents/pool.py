"""A pool of processes that measure audio, where a codec that crashes or hangs costs no turn but its own.

A process runs one call at a time, so that call is all that is lost with it: its neighbours notice nothing. (In a
`concurrent.futures.ProcessPoolExecutor` the end of one process is the end of all.)
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Generic, ParamSpec, TypeVar

import structlog

from pipeline import metrics
from pipeline.process import die_with_parent

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

TRIES = 2
"""Not every end of a process is its call's fault: a kernel that wants memory back chooses for itself."""


class Crashed(Exception):
    """The function took its process down, each time it was tried."""


class TimedOut(Exception):
    """The function took longer than it may."""


class Pool(Generic[P, T]):
    """Runs `function` in processes that end with this one.

    function : importable; its arguments, its result and what it raises can be pickled. processes : as many at most,
    each started when there is work for it. timeout_s : how long a call may run; waiting for a process does not count.
    prepare : importable; what each process does first, for which no call is to blame.
    """

    def __init__(
        self, function: Callable[P, T], processes: int, *, timeout_s: float, prepare: Callable[[], None] | None = None
    ) -> None:
        self._timeout_s = timeout_s
        self._workers = [_Worker(function, prepare) for _ in range(processes)]
        # The last one that became free is the next one taken: with little to do only few are started.
        self._free: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()
        for worker in self._workers:
            self._free.put_nowait(worker)
        # For each process a thread: sending it megabytes blocks, and so does waiting for its answer.
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="pool")
        self._closed = False

    async def close(self) -> None:
        """End the processes at once, whatever they are at. Calls that are not done raise RuntimeError."""
        self._closed = True
        for worker in self._workers:
            worker.kill()
        await asyncio.to_thread(self._wait_until_ended)

    async def run(self, *args: P.args, **kwargs: P.kwargs) -> T:
        """The function's result, or what it raises. Raises Crashed or TimedOut. Cancelled, it ends its process."""
        with metrics.POOL_WAITING.track_inprogress():
            worker = await self._free.get()
        try:
            for _ in range(TRIES):
                try:
                    value, error = await self._answer(worker, args, kwargs)
                except EOFError:
                    log.warning("pool_process_ended")
                    continue
                if error is not None:
                    raise error
                result: T = value
                return result
            raise Crashed(f"its process ended {TRIES} times")
        finally:
            self._free.put_nowait(worker)

    async def _answer(self, worker: _Worker, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Answer:
        """The worker's answer. Raises EOFError where its process ended, TimedOut where it had to be ended."""
        self._check_open()
        loop = asyncio.get_running_loop()
        try:
            connection = worker.connection
            if connection is None:
                connection = worker.start()
                await loop.run_in_executor(self._threads, _wait_until_ready, connection)
            async with asyncio.timeout(self._timeout_s):
                return await loop.run_in_executor(self._threads, _exchange, connection, (args, kwargs))
        except BaseException as error:
            # Whatever the reason: what this process is at is not known any more, and its end frees the thread.
            worker.kill()
            if not isinstance(error, asyncio.CancelledError):
                self._check_open()
            if isinstance(error, TimeoutError):
                raise TimedOut(f"it took longer than {self._timeout_s:g} s") from None
            raise

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError("the pool is closed")

    def _wait_until_ended(self) -> None:
        self._threads.shutdown()
        for worker in self._workers:
            worker.join()


Answer = tuple[Any, Exception | None]
"""What the function returned, or what it raised."""


class _Worker:
    """A process that calls the function, and after it the next one."""

    def __init__(self, function: Callable[..., Any], prepare: Callable[[], None] | None) -> None:
        self._function = function
        self._prepare = prepare
        self._process: BaseProcess | None = None
        self.connection: Connection | None = None
        """To the process, None while there is none."""

    def start(self) -> Connection:
        # A forked process would share our sockets and the locks of our threads; a spawned one starts clean.
        context = multiprocessing.get_context("spawn")
        self.connection, its = context.Pipe()
        process = context.Process(target=_serve, args=(its, self._function, self._prepare, os.getpid()), daemon=True)
        # Not in a thread of the pool: what dies with its parent dies with the parent's thread that started it.
        process.start()
        self._process = process
        # From now on nobody but the process has its side: when it ends, our side reads the end of the file.
        its.close()
        return self.connection

    def kill(self) -> None:
        # The connection is not closed but dropped: a thread may be reading from it.
        self.connection = None
        if self._process is not None:
            self._process.kill()  # nothing less ends a codec that hangs

    def join(self) -> None:
        if self._process is not None:
            self._process.join()


def _wait_until_ready(connection: Connection) -> None:
    try:
        connection.recv()
    except (EOFError, OSError):
        # Nothing that a turn could be blamed for.
        raise RuntimeError("a process of the pool ended before it was ready; its standard error says why") from None


def _exchange(connection: Connection, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Answer:
    try:
        connection.send(call)
        answer: Answer = connection.recv()
    except OSError as error:
        raise EOFError from error  # ended while it was sent to
    return answer


def _serve(
    connection: Connection, function: Callable[..., Any], prepare: Callable[[], None] | None, parent_pid: int
) -> None:
    """The life of a process of the pool."""
    die_with_parent(parent_pid)
    # Ctrl-C goes to the whole group of processes; ours are ended by the pool.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if prepare is not None:
        prepare()
    connection.send(None)
    while True:
        try:
            args, kwargs = connection.recv()
        except EOFError:
            return
        try:
            answer: Answer = (function(*args, **kwargs), None)
        except Exception as error:
            error.add_note(f"In a process of the pool:\n{traceback.format_exc()}")
            answer = (None, error)
        connection.send(answer)
