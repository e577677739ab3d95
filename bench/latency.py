"""The gateway's throughput, and the time from a turn's 202 to its visibility in SQL at a steady rate."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import msgspec
import numpy as np

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.turns import turns
from pipeline.storage.clickhouse import ClickHouse

CONNECTIONS = 32
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
    async with _client(stack) as client:

        async def send() -> None:
            for body in bodies:
                async with client.post(path, data=body) as answer:
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
    acknowledged: dict[tuple[str, str], float] = {}
    visible: dict[tuple[str, str], float] = {}
    posted: dict[tuple[str, str], float] = {}
    made = list(turns(count, seed=SEED, now_s=time.time()))

    async def post(client: aiohttp.ClientSession, index: int) -> None:
        begin = time.perf_counter()
        async with client.post("/v1/turns", data=msgspec.json.encode(made[index])) as answer:
            body = await answer.json()
            assert answer.status == 202, body
        identity = (body["call_id"], body["turn_id"])
        posted[identity], acknowledged[identity] = begin, time.perf_counter()

    def look(clickhouse: ClickHouse, since: str) -> tuple[str, list[tuple[str, str]]]:
        _, rows = clickhouse.rows(
            "SELECT call_id, turn_id, toString(inserted_at) FROM turn_rows "
            "WHERE inserted_at >= {since:DateTime64(3, 'UTC')} - INTERVAL 1 SECOND "
            "AND startsWith(call_id, {ours:String})",
            {"since": since, "ours": f"bench-{SEED}-"},
        )
        return max([since, *(str(row[2]) for row in rows)]), [(str(row[0]), str(row[1])) for row in rows]

    async def watch() -> None:
        clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
        since = "2026-01-01 00:00:00.000"
        _, ((now,),) = await asyncio.to_thread(clickhouse.rows, "SELECT toString(now64(3, 'UTC'))")
        since = str(now)
        while len(visible) < count:
            since, found = await asyncio.to_thread(look, clickhouse, since)
            moment = time.perf_counter()
            for identity in found:
                visible.setdefault(identity, moment)
            await asyncio.sleep(POLL_S)
        clickhouse.close()

    async with _client(stack) as client:
        watching = asyncio.create_task(watch())
        await asyncio.sleep(0.5)
        begin = time.perf_counter() + 0.5
        async with asyncio.TaskGroup() as posts:
            for index in range(count):
                await asyncio.sleep(max(0.0, begin + index / rate - time.perf_counter()))
                posts.create_task(post(client, index))
        await asyncio.wait_for(watching, 60)
    how = f"{rate} turns/s for {seconds:.0f} s, seen by a query every {1000 * POLL_S:.0f} ms"
    return [
        *_quantiles("POST to 202", posted, acknowledged, how),
        *_quantiles("POST to visible", posted, visible, how),
        *_quantiles("202 to visible", acknowledged, visible, how, limit="p99 < 2"),
    ]


def _quantiles(
    name: str,
    begin: dict[tuple[str, str], float],
    end: dict[tuple[str, str], float],
    how: str,
    limit: str | None = None,
) -> list[Measurement]:
    waits = np.array([end[identity] - moment for identity, moment in begin.items()])
    return [
        Measurement(name=f"{name}, {label}", value=float(np.quantile(waits, quantile)), unit="s", how=how, limit=limit)
        for label, quantile in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    ]


def _client(stack: Stack) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        stack.url,
        headers={"Authorization": f"Bearer {stack.api_key}", "Content-Type": "application/json"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
    )
