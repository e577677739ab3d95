"""The checks, seen to fail: the calls stage breaks a promise on purpose, and the same faults as ever show it."""

from __future__ import annotations

import pytest

from tests.chaos.faults import Inject
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed
from tests.chaos.stack import Stack
from tests.chaos.worker import Mutation

SEED = 1


@pytest.mark.parametrize(
    ("mutation", "fault", "promises"),
    [
        # What failed before its outputs were durable is acknowledged, committed, and done by nobody again.
        ("default-acks", Inject("marks", "raise"), {"lost", "different", "committed_early"}),
        # What comes again is in the state already, so nothing follows from it.
        ("state-first", Inject("state"), {"lost", "different", "committed_early"}),
    ],
)
async def test_order_of_steps_matters(stack: Stack, mutation: Mutation, fault: Inject, promises: set[str]) -> None:
    await stack.run_calls(mutation)
    # Calls of one turn each: no later turn tells again what was lost.
    load = Load(stack.url, stack.key, mutation, SEED, least=100, length=1, ending=0.0, pace_s=0.1)
    assert set((await disturbed(stack, load, [Strike(20, fault)])).broken()) == promises


async def test_versions_matter(stack: Stack) -> None:
    """A zombie's old rows replace the new ones; a turn that was corrected meanwhile is as it was before."""
    await stack.run_calls("constant-version")
    load = Load(stack.url, stack.key, "constant-version", SEED, least=100, ending=0.0, corrected=1.0)
    broken = set((await disturbed(stack, load, calls_oversleeps=True)).broken())
    assert "different" in broken
    assert broken <= {"different", "lost"}
