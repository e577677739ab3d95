"""One run: a load, faults at seeded moments of it, and the promises checked in the end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.checks import Place, Report, report
from tests.chaos.faults import Fault, until_struck
from tests.chaos.load import Load
from tests.chaos.stack import Stack


@dataclass(frozen=True)
class Strike:
    """A fault and its moment: how many turns of the load are acknowledged by then."""

    at: int
    fault: Fault


async def disturbed(stack: Stack, load: Load, strikes: Sequence[Strike]) -> Report:
    """Run the load, let the faults strike one after the other, and check every promise once all is whole again."""
    async with asyncio.TaskGroup() as both:
        since = await stack.letters()
        both.create_task(load.run())
        poison = both.create_task(_strike(stack, load, strikes))
    return await report(stack, load, letters_since=since, poison=poison.result())


async def _strike(stack: Stack, load: Load, strikes: Sequence[Strike]) -> list[Place]:
    """The poison that they put."""
    poison: list[Place] = []
    for strike in sorted(strikes, key=lambda strike: strike.at):
        await load.until_accepted(strike.at)
        poison += await strike.fault.strike(stack)
    load.finish()
    return poison


async def overslept(stack: Stack, load: Load) -> Report:
    """A worker of the calls stage stops with a batch half done, and comes back when another has done all there was:
    whatever it writes then is older than what is there. Needs `Stack.run_calls`.
    """
    since = await stack.letters()
    async with asyncio.TaskGroup() as both:
        both.create_task(load.run())
        pid = stack.pid("calls")
        await until_struck(stack, "marks", "stop")
        other = await stack.add("calls", 2)
        await stack.until_alone(other)
        load.finish()
    await stack.drain()
    os.kill(pid, signal.SIGCONT)
    await stack.until_members("calls", 2)
    await stack.remove(other)
    return await report(stack, load, letters_since=since)
