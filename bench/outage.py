"""ClickHouse away for minutes while turns come in: whether the gateway notices, and how soon everything is there."""

from __future__ import annotations

import asyncio
import time

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.steady import Answers, post_steadily, waits
from bench.turns import turns
from pipeline.storage.clickhouse import ClickHouse
from schemas.topics import SOURCES

CALM_S = 60.0
"""Of the load before the outage, to compare with, and after it."""

CAUGHT_UP_WITHIN_S = 600.0

LOOK_EVERY_S = 5.0
"""To count takes time that the stages could use."""


async def measure_outage(*, seconds: float, rate: int) -> list[Measurement]:
    """A load of `rate` turns a second, during which ClickHouse is stopped for so many seconds."""
    async with running_stack() as stack:
        await stack.start("gateway", *SOURCES)
        pids = {name: stack.supervisor.pids[name] for name in SOURCES}
        made = list(turns(int((CALM_S + seconds + CALM_S) * rate), seed=1, now_s=time.time()))
        load = asyncio.create_task(post_steadily(stack, made, rate))
        await asyncio.sleep(CALM_S)
        away = time.perf_counter()
        await stack.stop("clickhouse")
        await asyncio.sleep(max(0.0, seconds - (time.perf_counter() - away)))
        back = time.perf_counter()
        await stack.start("clickhouse")
        caught_up = asyncio.create_task(_caught_up(stack, int((CALM_S + seconds) * rate)))
        answers = await load
        took_s = await caught_up - back
        lost = await _lost(stack, len(answers.acknowledged))
        assert pids == {name: stack.supervisor.pids[name] for name in SOURCES}, "a stage ended meanwhile"
        how = f"{rate} turns/s, ClickHouse away for {seconds:.0f} s"
        return [
            *_answered("before", answers, 0.0, away, how),
            *_answered("during", answers, away, back, how),
            Measurement(name="turns acknowledged", value=len(answers.acknowledged), unit="turns", how=how),
            Measurement(name="acknowledged, and not in the view", value=lost, unit="turns", how=how, limit="0"),
            Measurement(
                name="caught up after",
                value=took_s,
                unit="s",
                how="from the start of ClickHouse until as many are visible as came before; the load goes on",
            ),
            *(
                Measurement(name=f"peak memory of {name}", value=stack.peak_mib(name), unit="MiB", how="VmHWM")
                for name in SOURCES
            ),
        ]


async def _caught_up(stack: Stack, count: int) -> float:
    """When so many turns were visible."""
    clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
    async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
        while await stack.count(clickhouse, "turns") < count:
            await asyncio.sleep(LOOK_EVERY_S)
    clickhouse.close()
    return time.perf_counter()


async def _lost(stack: Stack, count: int) -> int:
    """How many turns are missing once the sink has committed all there is."""
    async with asyncio.timeout(CAUGHT_UP_WITHIN_S):
        for stage, sources in SOURCES.items():
            while await stack.lag(stage, *sources):
                await asyncio.sleep(1.0)
    clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
    found = await stack.count(clickhouse, "turns")
    clickhouse.close()
    return count - found


def _answered(when: str, answers: Answers, begin: float, end: float, how: str) -> list[Measurement]:
    posted = {turn: moment for turn, moment in answers.posted.items() if begin <= moment < end}
    return waits(f"POST to 202, {when}", posted, answers.acknowledged, how)
