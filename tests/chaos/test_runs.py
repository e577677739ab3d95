"""The short form of `make chaos`: every kind of fault once, at seeded moments."""

from __future__ import annotations

from tests.chaos.faults import End
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed
from tests.chaos.stack import Stack


async def test_undisturbed_run_keeps_every_promise(stack: Stack) -> None:
    load = Load(stack.url, stack.key, "undisturbed", 1, calls=12, turns=20)
    assert (await disturbed(stack, load, [])).broken() == {}


async def test_killed_calls_stage(stack: Stack) -> None:
    load = Load(stack.url, stack.key, "killed", 2, calls=24, turns=30)
    assert (await disturbed(stack, load, [Strike(0.5, End("calls"))])).broken() == {}
