"""One run: a load, faults at seeded moments of it, and the promises checked in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.topics import DEAD_LETTERS
from tests.chaos.checks import Place, Report, report
from tests.chaos.faults import Fault
from tests.chaos.load import Load
from tests.chaos.stack import Stack


@dataclass(frozen=True)
class Strike:
    """A fault and its moment: the share of the load's turns that are acknowledged by then."""

    at: float
    fault: Fault


async def disturbed(stack: Stack, load: Load, strikes: Sequence[Strike]) -> Report:
    """Run the load, let the faults strike one after the other, and check every promise once all is whole again."""
    since = await letters(stack)
    async with asyncio.TaskGroup() as both:
        both.create_task(load.run())
        poison = both.create_task(_strike(stack, load, strikes))
    return await report(stack, load, letters_since=since, poison=poison.result())


async def letters(stack: Stack) -> int:
    """How many dead letters there are."""
    (end,) = (await stack.ends(DEAD_LETTERS)).values()
    return end


async def _strike(stack: Stack, load: Load, strikes: Sequence[Strike]) -> list[Place]:
    """The poison that they put."""
    poison: list[Place] = []
    for strike in sorted(strikes, key=lambda strike: strike.at):
        await load.until_accepted(strike.at)
        poison += await strike.fault.strike(stack)
    return poison
