"""Bytes in memory at once: never more than the limit, nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.memory import Memory

LIMIT = 100


class Holders:
    """Tasks that hold bytes until they are told to let go."""

    def __init__(self) -> None:
        self.memory = Memory(LIMIT)
        self.inside: dict[int, int] = {}
        self.entered: list[int] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._let_go: list[asyncio.Event] = []

    async def start(self, size: int) -> None:
        number = len(self.tasks)
        self._let_go.append(asyncio.Event())
        self.tasks.append(asyncio.create_task(self._hold(number, size)))
        await settled()

    async def let_go(self, number: int) -> None:
        self._let_go[number].set()
        await settled()

    async def cancel(self, number: int) -> None:
        self.tasks[number].cancel()
        await settled()

    async def _hold(self, number: int, size: int) -> None:
        async with self.memory.hold(size):
            self.inside[number] = size
            self.entered.append(number)
            try:
                await self._let_go[number].wait()
            finally:
                del self.inside[number]


async def settled() -> None:
    """Every task has got as far as it gets by itself."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_what_fits_is_let_in() -> None:
    holders = Holders()
    for size in (40, 60):
        await holders.start(size)
    assert holders.inside == {0: 40, 1: 60}
    for number in (0, 1):
        await holders.let_go(number)


async def test_small_one_does_not_overtake_a_large_one() -> None:
    holders = Holders()
    for size in (60, 50, 10):
        await holders.start(size)
    assert holders.entered == [0]
    await holders.let_go(0)
    assert holders.entered == [0, 1, 2]
    for number in (1, 2):
        await holders.let_go(number)


async def test_more_than_the_limit_is_let_in_alone() -> None:
    holders = Holders()
    for size in (1, 10 * LIMIT, 1):
        await holders.start(size)
    assert holders.entered == [0]
    await holders.let_go(0)
    assert holders.inside == {1: 10 * LIMIT}
    await holders.let_go(1)
    assert holders.inside == {2: 1}
    await holders.let_go(2)


@pytest.mark.parametrize("let_go_first", [True, False])
async def test_cancelled_one_holds_nothing_and_blocks_nobody(let_go_first: bool) -> None:
    """Cancelled while it waits; or in the very moment in which it is let in."""
    holders = Holders()
    for size in (60, 50, 40):
        await holders.start(size)
    if let_go_first:
        holders.tasks[1].cancel()
        await holders.let_go(0)
    else:
        await holders.cancel(1)
    assert 2 in holders.inside
    for number in (0, 2):
        await holders.let_go(number)
    async with asyncio.timeout(10), holders.memory.hold(LIMIT):
        pass


@given(st.lists(st.tuples(st.sampled_from(["start", "let_go", "cancel"]), st.integers(1, 150)), max_size=60))
def test_whatever_happens_the_limit_holds_and_all_get_in_in_order(steps: list[tuple[str, int]]) -> None:
    async def play() -> None:
        holders = Holders()
        for step, number in steps:
            if step == "start":
                await holders.start(number)
            elif holders.tasks and step == "let_go":
                await holders.let_go(number % len(holders.tasks))
            elif holders.tasks:
                await holders.cancel(number % len(holders.tasks))
            assert sum(holders.inside.values()) <= LIMIT or len(holders.inside) == 1
        for number in range(len(holders.tasks)):
            await holders.let_go(number)
        assert holders.entered == sorted(holders.entered)
        assert all(task.done() for task in holders.tasks)
        assert all(task.cancelled() or number in holders.entered for number, task in enumerate(holders.tasks))

    asyncio.run(play())
