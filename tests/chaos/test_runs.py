"""The short form of `make chaos`: every kind of fault at seeded moments of one load."""

from __future__ import annotations

import random
import signal

from tests.chaos.faults import Disturb, End, Fault, Inject, Poison, Reject, Scale, Together
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed, overslept
from tests.chaos.stack import READS, Stack

SEED = 1

SHAKEN: list[Fault] = [
    Together([Inject("marks"), End("features"), End("sink")]),
    Together([Inject("outputs"), Poison(SEED), Disturb("client-gateway", "half-open", 1.0), Reject(2.0)]),
    Together([Inject("state"), End("gateway"), End("clickhouse"), Disturb("features-kafka", "delay", 3.0)]),
    Together([Inject("acknowledged"), Scale("features"), Scale("sink")]),
    Inject("marks", "raise"),
    Together([Disturb("gateway-kafka", "cut", 1.0), Disturb("sink-clickhouse", "slow", 1.0)]),
    Disturb("calls-kafka", "reset", 1.0),
    End("kafka"),
    Together([End(name, signal.SIGTERM) for name in (*READS, "gateway", "clickhouse")]),
]
"""What ends by its session is waited for together: 6 s for the calls stage here, 10 s for the others."""


async def test_all_at_once(stack: Stack) -> None:
    """The steps of the calls stage are ended at one after the other, the others meanwhile."""
    await stack.run_calls()
    load = Load(stack.url, stack.key, "shaken", SEED, least=1_000)
    moments = sorted(random.Random(SEED).sample(range(50, 500), len(SHAKEN)))
    strikes = [Strike(at, fault) for at, fault in zip(moments, SHAKEN, strict=True)]
    print(f"seed {SEED}:", *(f"after {strike.at} turns: {strike.fault.name}" for strike in strikes), sep="\n  ")
    assert (await disturbed(stack, load, strikes)).broken() == {}


async def test_zombie_that_comes_back_when_all_is_done(stack: Stack) -> None:
    await stack.run_calls()
    load = Load(stack.url, stack.key, "overslept", SEED, least=100)
    assert (await overslept(stack, load)).broken() == {}
