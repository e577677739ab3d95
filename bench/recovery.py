"""How soon stages go on after one of them ends, and how fast and in how much memory a backlog is worked off."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import TopicPartition

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.throughput import fill
from deploy.supervisor import STEADY_S
from pipeline.kafka.client import reader
from pipeline.storage.clickhouse import ClickHouse
from schemas.topics import ANNOTATED, MEASURED, SOURCES, TopicSpec

MARKER_SEED = 1_000_000

TRICKLE = 50
"""Turns at a time, ten times a second: enough that every partition has something to do when a stage ends."""

OUTPUTS: dict[str, tuple[TopicSpec, ...]] = {"features": (MEASURED,), "calls": (ANNOTATED,), "sink": ()}
"""Topics; the sink writes rows."""

ENDS = (
    (signal.SIGKILL, "kill -9", "<= 15"),
    (signal.SIGTERM, "a clean stop", "<= 3"),
)


async def measure_recovery(count: int) -> list[Measurement]:
    """The benchmark's throughput, then a backlog of as many turns after every stage was killed, then single deaths."""
    async with running_stack() as stack:
        clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
        try:
            await fill(stack, count, seed=1)
            plain = await _worked_off(stack, clickhouse, count)
            for name in SOURCES:
                os.kill(stack.supervisor.pids[name], signal.SIGKILL)
            await stack.stop(*SOURCES)
            await fill(stack, count, seed=2)
            backlog = await _worked_off(stack, clickhouse, 2 * count)
            found = [
                _speed("all three stages", count / plain, "the benchmark"),
                _speed(
                    "a backlog after kill -9 of all three", count / backlog, f"{plain / backlog:.0%} of it", ">= 80 %"
                ),
                *(_memory(stack, name) for name in SOURCES),
            ]
            async with _trickle(stack):
                for number, what, limit in ENDS:
                    await asyncio.sleep(STEADY_S)  # what ended shortly before is started again later
                    for name in SOURCES:
                        seed = MARKER_SEED + len(found)
                        found.append(
                            Measurement(
                                name=f"{name} goes on after {what}",
                                value=await _goes_on_after(stack, clickhouse, name, number, seed),
                                unit="s",
                                limit=limit,
                                how="from the signal until a later turn is through; started again by the supervisor",
                            )
                        )
        finally:
            clickhouse.close()
    return found


async def _worked_off(stack: Stack, clickhouse: ClickHouse, turns: int) -> float:
    """Seconds from starting the stages until so many turns are visible."""
    begin = time.perf_counter()
    await stack.start(*SOURCES)
    while await stack.count(clickhouse, "turns") < turns:
        await asyncio.sleep(0.1)
    return time.perf_counter() - begin


async def _goes_on_after(stack: Stack, clickhouse: ClickHouse, stage: str, number: signal.Signals, seed: int) -> float:
    """Seconds from the signal until a turn that comes in once the process is gone is through the stage.

    seed : of that turn, unlike any other's.
    """
    async with reader(stack.settings, client_id="bench-marker") as outputs:
        places = [TopicPartition(topic.name, each) for topic in OUTPUTS[stage] for each in stack.partitions]
        outputs.assign(places)
        if places:
            await outputs.seek_to_end(*places)
        pid = stack.supervisor.pids[stage]
        begin = time.perf_counter()
        os.kill(pid, number)
        while stack.supervisor.pids.get(stage) == pid:
            await asyncio.sleep(0.01)
        marker = f"bench-{seed}-"
        await fill(stack, 1, seed=seed)
        if stage == "sink":
            query = f"SELECT count() FROM turns WHERE startsWith(call_id, '{marker}')"
            while (await asyncio.to_thread(clickhouse.rows, query))[1] == [(0,)]:
                await asyncio.sleep(0.01)
        else:
            async for record in outputs:
                if marker.encode() in record.key:
                    break
        return time.perf_counter() - begin


@asynccontextmanager
async def _trickle(stack: Stack) -> AsyncIterator[None]:
    """Turns come in, ten times a second, for as long as the block lasts."""

    async def come() -> None:
        seed = 3
        while True:
            await asyncio.gather(fill(stack, TRICKLE, seed=seed), asyncio.sleep(0.1))
            seed += 1

    coming = asyncio.create_task(come())
    try:
        yield
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


def _speed(name: str, turns_per_s: float, how: str, limit: str | None = None) -> Measurement:
    return Measurement(name=name, value=turns_per_s, unit="turns/s", how=how, limit=limit)


def _memory(stack: Stack, stage: str) -> Measurement:
    return Measurement(
        name=f"peak memory of {stage}",
        value=stack.peak_mib(stage),
        unit="MiB",
        how="VmHWM once the backlog is worked off; without the processes that measure audio",
    )
