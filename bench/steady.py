"""A steady load through the gateway: a turn a request, at even moments, whether or not the answers come."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

import aiohttp
import msgspec
import numpy as np

from bench.measurements import Measurement
from bench.stack import Stack
from schemas.turn import Turn

CONNECTIONS = 32

Identity = tuple[str, str]
"""call_id, turn_id."""

Moments = dict[Identity, float]
"""In seconds, of one clock."""


@dataclass
class Answers:
    """When each turn was posted, and when its 202 came."""

    posted: Moments = field(default_factory=dict)
    acknowledged: Moments = field(default_factory=dict)


def client(stack: Stack) -> aiohttp.ClientSession:
    """With the connections of a load."""
    return aiohttp.ClientSession(
        stack.url,
        headers={"Authorization": f"Bearer {stack.api_key}", "Content-Type": "application/json"},
        connector=aiohttp.TCPConnector(limit=CONNECTIONS),
    )


async def post_steadily(stack: Stack, made: Iterable[Turn], rate: float) -> Answers:
    """Post the turns, `rate` a second; return when all are answered. An answer other than 202 is an error."""
    found = Answers()

    async def post(session: aiohttp.ClientSession, turn: Turn) -> None:
        begin = time.perf_counter()
        async with session.post("/v1/turns", data=msgspec.json.encode(turn)) as answer:
            body = await answer.json()
            assert answer.status == 202, body
        identity = (body["call_id"], body["turn_id"])
        found.posted[identity], found.acknowledged[identity] = begin, time.perf_counter()

    async with client(stack) as session, asyncio.TaskGroup() as posts:
        begin = time.perf_counter()
        for index, turn in enumerate(made):
            await asyncio.sleep(max(0.0, begin + index / rate - time.perf_counter()))
            posts.create_task(post(session, turn))
    return found


def waits(name: str, begin: Moments, end: Moments, how: str, limit: str | None = None) -> list[Measurement]:
    """p50, p99 and the longest of the times from `begin` to `end`. limit : of the p99."""
    seconds = np.array([end[identity] - moment for identity, moment in begin.items()])
    return [
        Measurement(
            name=f"{name}, {label}",
            value=float(np.quantile(seconds, quantile)),
            unit="s",
            how=how,
            limit=limit if label == "p99" else None,
        )
        for label, quantile in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    ]
