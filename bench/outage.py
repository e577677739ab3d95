"""ClickHouse away for minutes while turns come in: whether the gateway notices, and how soon everything is there."""

from __future__ import annotations

import asyncio
import time

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.steady import Answers, Moments, post_steadily, waits
from bench.turns import turns
from pipeline.storage.clickhouse import ClickHouse
from schemas.topics import SOURCES

BEFORE_S = 60.0
"""Of the load, while all is well, to compare with; as much again follows the outage."""

CAUGHT_UP_WITHIN_S = 600.0


async def measure_outage(*, seconds: float, rate: int) -> list[Measurement]:
    """A load of `rate` turns a second, during which ClickHouse is stopped for so many seconds."""
    async with running_stack() as stack:
        await stack.start("gateway", *SOURCES)
        count = int((BEFORE_S + seconds + BEFORE_S) * rate)
        made = turns(count, seed=1, now_s=time.time())
        begin = time.perf_counter()
        load = asyncio.create_task(post_steadily(stack, made, rate))
        await asyncio.sleep(BEFORE_S)
        await stack.stop("clickhouse")
        away = time.perf_counter()
        await asyncio.sleep(seconds - (away - begin - BEFORE_S))
        back = time.perf_counter()
        await stack.start("clickhouse")
        answers = await load
        rows, different = await _all_visible(stack, count)
        how = f"{rate} turns/s, ClickHouse away for {seconds:.0f} s"
        return [
            *_answered("before", answers, begin, away, how),
            *_answered("during", answers, away, back, how),
            Measurement(name="turns acknowledged", value=len(answers.acknowledged), unit="turns", how=how),
            Measurement(name="lost", value=count - different, unit="turns", how=how, limit="0"),
            Measurement(name="doubled", value=rows - different, unit="turns", how=how, limit="0"),
            Measurement(
                name="everything visible, after ClickHouse came back",
                value=time.perf_counter() - back,
                unit="s",
                how=f"its start, the backlog, and {BEFORE_S:.0f} s of the load included",
            ),
            *(
                Measurement(name=f"peak memory of {name}", value=stack.peak_mib(name), unit="MiB", how="VmHWM")
                for name in SOURCES
            ),
        ]


async def _all_visible(stack: Stack, count: int) -> tuple[int, int]:
    """Rows of the view, and how many turns those are, once there are `count` or it has taken too long."""
    clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
    until = time.perf_counter() + CAUGHT_UP_WITHIN_S
    while True:
        _, ((rows, different),) = await asyncio.to_thread(
            clickhouse.rows, "SELECT count(), uniqExact(call_id, turn_id) FROM turns"
        )
        if different >= count or time.perf_counter() > until:
            clickhouse.close()
            return int(rows), int(different)
        await asyncio.sleep(1.0)


def _answered(when: str, answers: Answers, begin: float, end: float, how: str) -> list[Measurement]:
    posted: Moments = {turn: moment for turn, moment in answers.posted.items() if begin <= moment < end}
    return waits(f"POST to 202, {when}", posted, answers.acknowledged, how)
