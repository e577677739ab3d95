"""The gateway that the observer sends to, and one call that many tests look at."""

from __future__ import annotations

import wall  # isort: skip  # before whatever keeps `time.time`

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from bed import Call, World, backchannel, call, clip, observed_by
from marks import Marks
from scripted import Row, ScriptedGateway, scripted

from mise_observer_pipecat import MiseObserver


@dataclass
class Happened:
    """A call that is over. turns : as the gateway got them, by their start. epoch : of the clock of the bed's 0."""

    world: World
    turns: list[Row]
    events: list[Row]
    marks: Marks
    epoch: float

    def of(self, role: str) -> list[Row]:
        return [turn for turn in self.turns if turn["role"] == role]


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with scripted() as found:
        yield found


@pytest.fixture
def set_clock() -> Iterator[Callable[[float], None]]:
    """Sets the wall clock by so many seconds, as NTP does, for the rest of the test."""
    yield wall.set_by
    wall.set_by(0.0)


async def converse(call: Call) -> None:
    """Answer the greeting, acknowledge the long answer, cut it off, hang up on the last one.

    # agent  greeting            long answer -------------- (cut)      answer - (hung up)
    # user             asks          but thou.       asks ---
    """
    world = call.world
    await world.agent_has_spoken(0, clip(1).bounds[1])
    await world.silence(0.8)
    await world.say(clip(11))
    await world.agent_has_spoken(1, 1.0)
    await world.say(backchannel())
    await world.agent_has_spoken(1, 4.0)
    await world.say(clip(9))
    await world.agent_has_spoken(2, 1.0)
    await call.worker.cancel(reason="hung up")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def happened() -> Happened:
    epoch = time.time() - time.monotonic()
    marks = Marks()
    async with scripted() as gateway:
        observer = MiseObserver(gateway.url, "mv_key", call_id="a-call")
        made = call(observed_by([observer, marks]), [[clip(1)], [clip(4), clip(10), clip(8)], [clip(12)]])
        await asyncio.wait_for(made.run(converse), 90)
        turns = sorted(gateway.turns, key=lambda turn: float(turn["started_at"]))
        return Happened(made.world, turns, gateway.events, marks, epoch)
