"""Measuring in a process of its own: what ran before leaves neither garbage nor warm caches behind."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from pipeline import log
from pipeline.settings import Settings

T = TypeVar("T")


class Run(NamedTuple):
    """From a start until a stop.

    cpu_s : of the whole process, both of Faust's threads. rss_mib : at the stop. grown_mib : since the start.
    """

    wall_s: float
    cpu_s: float
    rss_mib: float
    grown_mib: float


class Clock:
    """Started by whoever is first."""

    def __init__(self) -> None:
        self._started: tuple[float, float, float] | None = None

    def start(self) -> None:
        self._started = self._started or (time.perf_counter(), time.process_time(), _rss_mib())

    def stop(self) -> Run:
        assert self._started is not None
        wall, cpu, rss = self._started
        now = _rss_mib()
        return Run(time.perf_counter() - wall, time.process_time() - cpu, now, now - rss)


async def in_process(measure: Callable[[Settings, int], Awaitable[T]], settings: Settings, count: int) -> T:
    """The result of `measure`, run by a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return await asyncio.get_running_loop().run_in_executor(pool, _run, measure, settings, count)


def _run(measure: Callable[[Settings, int], Awaitable[T]], settings: Settings, count: int) -> T:
    log.configure("warning", process="bench")

    async def measured() -> T:
        return await measure(settings, count)

    return asyncio.run(measured())


def _rss_mib() -> float:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024
