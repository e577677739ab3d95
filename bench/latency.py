"""The gateway's throughput, and the time from a turn's 202 to its visibility in SQL at a steady rate."""

from __future__ import annotations

import asyncio
import time

import msgspec

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.steady import CONNECTIONS, Identity, Moments, client, post_steadily, waits
from bench.turns import turns
from pipeline.storage.clickhouse import ClickHouse

BATCH = 100
POLL_S = 0.05
SEED = 99


async def measure_gateway_and_latency(*, seconds: float, rate: int) -> list[Measurement]:
    """The gateway alone (no stage runs), then everything at `rate` turns a second for `seconds`."""
    async with running_stack() as stack:
        await stack.start("gateway")
        found = [
            await _gateway(stack, "gateway, one turn a request", 5_000, 1),
            await _gateway(stack, f"gateway, {BATCH} turns a request", 20_000, BATCH),
        ]
        await stack.start("features", "calls", "sink")
        await _drained(stack, 25_000)
        return found + await _latency(stack, seconds, rate)


async def _gateway(stack: Stack, name: str, count: int, batch: int) -> Measurement:
    path = "/v1/turns" if batch == 1 else "/v1/turns:batch"
    made = list(turns(count, seed=10 + batch, now_s=time.time()))
    bodies = iter(
        [
            msgspec.json.encode(made[at] if batch == 1 else {"turns": made[at : at + batch]})
            for at in range(0, count, batch)
        ]
    )
    async with client(stack) as session:

        async def send() -> None:
            for body in bodies:
                async with session.post(path, data=body) as answer:
                    await answer.read()
                    assert answer.status in (202, 207), await answer.text()

        begin = time.perf_counter()
        await asyncio.gather(*(send() for _ in range(CONNECTIONS)))
        seconds = time.perf_counter() - begin
    return Measurement(
        name=name,
        value=count / seconds,
        unit="turns/s",
        how=f"{CONNECTIONS} connections, the load generator on the same machine",
    )


async def _drained(stack: Stack, count: int) -> None:
    clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
    while await stack.count(clickhouse, "turns") < count:
        await asyncio.sleep(0.1)
    clickhouse.close()


async def _latency(stack: Stack, seconds: float, rate: int) -> list[Measurement]:
    count = int(seconds * rate)
    made = list(turns(count, seed=SEED, now_s=time.time()))
    clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
    _, ((since,),) = await asyncio.to_thread(clickhouse.rows, "SELECT toString(now64(3, 'UTC'))")
    watching = asyncio.create_task(_visible(clickhouse, count, str(since)))
    answers = await post_steadily(stack, made, rate)
    visible = await asyncio.wait_for(watching, 60)
    clickhouse.close()
    how = f"{rate} turns/s for {seconds:.0f} s, seen by a query every {1000 * POLL_S:.0f} ms"
    return [
        *waits("POST to 202", answers.posted, answers.acknowledged, how),
        *waits("POST to visible", answers.posted, visible, how),
        *waits("202 to visible", answers.acknowledged, visible, how, limit="<= 1"),
    ]


async def _visible(clickhouse: ClickHouse, count: int, since: str) -> Moments:
    """When a query saw each turn first; returns when it has seen `count`. since : nothing was inserted before."""
    visible: Moments = {}

    def look(since: str) -> tuple[str, list[Identity]]:
        _, rows = clickhouse.rows(
            "SELECT call_id, turn_id, toString(inserted_at) FROM turn_rows "
            "WHERE inserted_at >= {since:DateTime64(3, 'UTC')} - INTERVAL 1 SECOND "
            "AND startsWith(call_id, {ours:String})",
            {"since": since, "ours": f"bench-{SEED}-"},
        )
        return max([since, *(str(row[2]) for row in rows)]), [(str(row[0]), str(row[1])) for row in rows]

    while len(visible) < count:
        since, found = await asyncio.to_thread(look, since)
        moment = time.perf_counter()
        for identity in found:
            visible.setdefault(identity, moment)
        await asyncio.sleep(POLL_S)
    return visible
