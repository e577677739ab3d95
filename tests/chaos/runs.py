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


async def disturbed(
    stack: Stack, load: Load, strikes: Sequence[Strike] = (), *, calls_oversleeps: bool = False
) -> Report:
    """Run the load, let the faults strike one after the other, and check every promise once all is whole again.

    calls_oversleeps : in the end the worker of the calls stage stops with a batch half done, and comes back when
    another has done all there was: whatever it writes then is older than what is there. Needs `Stack.run_calls`.
    """
    since = await stack.letters()
    poison: list[Place] = []
    async with asyncio.TaskGroup() as both:
        both.create_task(load.run())
        for strike in sorted(strikes, key=lambda strike: strike.at):
            await load.until_accepted(strike.at)
            poison += await strike.fault.strike(stack)
        if calls_oversleeps:
            pid = await stack.serving("calls")
            await until_struck(stack, "marks", "stop")
            other = await stack.add("calls", 2)
            await stack.until_alone(other)
        load.finish()
    if calls_oversleeps:
        await stack.drain()
        os.kill(pid, signal.SIGCONT)
        await stack.until_members("calls", 2)
        await stack.remove(other)
    return await report(stack, load, letters_since=since, poison=poison)
