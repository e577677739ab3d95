"""The short form of `make chaos`: every kind of fault at seeded moments of one load."""

from __future__ import annotations

import random
import signal

from schemas.topics import SOURCES
from tests.chaos.faults import Disturb, End, Fault, Inject, Poison, Reject, Scale, Together
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed
from tests.chaos.stack import Stack

SEED = 1

SHAKEN: list[Fault] = [
    Together([Inject("marks"), End("features"), End("sink")]),
    Together([Inject("outputs"), Poison(SEED), Disturb("client-gateway", "half-open", 1.0), Reject(2.0)]),
    Together([Inject("state"), End("gateway"), End("clickhouse"), Disturb("features-kafka", "delay", 3.0)]),
    Together([Inject("acknowledged"), Scale("sink")]),
    Together([Inject("marks", "raise"), Disturb("gateway-kafka", "cut", 1.0), Disturb("sink-clickhouse", "slow", 1.0)]),
    Disturb("calls-kafka", "reset", 1.0),
    End("kafka"),
    Together([End(name, signal.SIGTERM) for name in SOURCES]),
]
"""What ends by its session is waited for together: 6 s for the calls stage here, 10 s for the others."""


async def test_everything_that_may_go_wrong(stack: Stack) -> None:
    """The calls stage ends after each of its steps, what else there is goes wrong meanwhile; a zombie comes last."""
    await stack.run_calls()
    load = Load(stack.url, stack.key, "shaken", SEED, least=500)
    moments = sorted(random.Random(SEED).sample(range(20, 300), len(SHAKEN)))
    strikes = [Strike(at, fault) for at, fault in zip(moments, SHAKEN, strict=True)]
    print(f"seed {SEED}:", *(f"after {strike.at} turns: {strike.fault.name}" for strike in strikes), sep="\n  ")
    assert (await disturbed(stack, load, strikes, calls_oversleeps=True)).broken() == {}
