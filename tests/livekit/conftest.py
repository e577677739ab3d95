"""What runs for the whole session: all of ours, the LiveKit server, and the one full call that most tests look at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from tests.livekit.calls import Call, Stack, Worker, dispatched, stacked, working
from tests.livekit.conversation import BACKCHANNEL, BARGE_IN, FIRST, SECOND, Speech
from tests.livekit.processes import Said


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stacked(tmp_path_factory.mktemp("livekit")) as stack:
        yield stack


@pytest.fixture(scope="session", params=["newest", "lowest"])
async def worker(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Worker]:
    """A worker with the newest livekit-agents, and one with the lowest."""
    async with working(stack, request.param) as worker:
        yield worker


CALLS = 3
BROKEN_S = 0.02
"""9 ms on a quiet machine; more, and the truth that the observer is held to is none."""


@dataclass(frozen=True)
class FullCall:
    """A greeting, a turn, an answer with a backchannel, a turn, an answer that is interrupted, and a last one."""

    call: Call
    said: dict[Speech, Said]


@pytest.fixture(scope="session")
async def full_call(stack: Stack, worker: Worker) -> FullCall:
    """The call, when it is over."""

    async def called() -> FullCall:
        async with dispatched(stack, worker) as call:
            said = await converse(call)
            await call.until_told("saved")
        return FullCall(call, said)

    return await unbroken(called)


async def unbroken(called: Callable[[], Awaitable[FullCall]]) -> FullCall:
    """The first call in which the caller's voice did not break off."""
    for _ in range(CALLS):
        found = await called()
        broken_s = max(said.broken_s for said in found.said.values())
        if broken_s <= BROKEN_S:
            return found
        print(f"the caller's voice broke off for {broken_s:.3f} s: once more")
    pytest.fail(f"in {CALLS} calls the caller's voice broke off, nobody knows when it was heard; is the machine busy?")


async def converse(call: Call) -> dict[Speech, Said]:
    """What the caller says in it, from joining to leaving."""
    said: dict[Speech, Said] = {}
    async with call.caller() as caller:

        async def say(speech: Speech) -> None:
            said[speech] = await caller.says(speech)

        await caller.hears()  # the greeting
        await caller.hears_nothing()
        await say(FIRST)
        await caller.hears(for_s=2.5)
        await say(BACKCHANNEL)
        await caller.hears_nothing()
        await say(SECOND)
        await caller.hears(for_s=4.5)
        await say(BARGE_IN)
        await caller.hears_nothing()
        await caller.hears()  # the last answer
        await caller.hears_nothing()
        await caller.do("leave")
    return said
