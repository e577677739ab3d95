"""The short form of `make chaos`: every kind of fault once, at seeded moments."""

from __future__ import annotations

import signal

from tests.chaos.faults import Disturb, End, Inject, Poison, Reject, Scale, Together, Zombie
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed
from tests.chaos.stack import READS, Stack


async def test_processes_that_end(stack: Stack) -> None:
    load = Load(stack.url, stack.key, "ended", 2, calls=24, turns=30, pace_s=0.5)
    strikes = [
        Strike(0.1, Together([End(stage) for stage in READS])),
        Strike(0.5, End("gateway")),
        Strike(0.5, End("clickhouse")),
        Strike(0.6, End("kafka")),
        Strike(0.8, Together([End(stage, signal.SIGTERM) for stage in (*READS, "gateway", "clickhouse")])),
    ]
    assert (await disturbed(stack, load, strikes)).broken() == {}


async def test_network_and_poison(stack: Stack) -> None:
    load = Load(stack.url, stack.key, "network", 3, calls=24, turns=30, pace_s=0.5)
    strikes = [
        Strike(0.1, Poison(3)),
        Strike(0.1, Disturb("client-gateway", "half-open", 1.0)),
        Strike(0.2, Disturb("gateway-kafka", "cut", 1.0)),
        Strike(0.3, Disturb("features-kafka", "delay", 1.0)),
        Strike(0.4, Disturb("calls-kafka", "reset", 1.0)),
        Strike(0.5, Disturb("sink-clickhouse", "slow", 1.0)),
        Strike(0.6, Reject(2.0)),
    ]
    assert (await disturbed(stack, load, strikes)).broken() == {}


async def test_workers_come_and_go(stack: Stack) -> None:
    load = Load(stack.url, stack.key, "moved", 4, calls=24, turns=30, pace_s=0.5)
    strikes = [Strike(0.1, Zombie("calls")), Strike(0.5, Together([Scale(stage) for stage in READS]))]
    assert (await disturbed(stack, load, strikes)).broken() == {}


async def test_calls_stage_ends_between_its_steps(stack: Stack) -> None:
    await stack.run_calls()
    load = Load(stack.url, stack.key, "steps", 5, calls=24, turns=30, pace_s=0.7)
    strikes = [
        Strike(0.1, Inject("marks")),
        Strike(0.2, Inject("outputs")),
        Strike(0.3, Inject("state")),
        Strike(0.4, Inject("acknowledged")),
        Strike(0.5, Inject("marks", "raise")),
        Strike(0.6, Zombie("calls", "marks")),
    ]
    assert (await disturbed(stack, load, strikes)).broken() == {}
