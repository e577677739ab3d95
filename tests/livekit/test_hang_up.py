"""Calls that end in the middle of speech: the last turn of both sides arrives."""

from __future__ import annotations

import numpy as np
import pytest

from tests.livekit.calls import Call, Stack, Worker, dispatched
from tests.livekit.conversation import FIRST, GREETING, LONG, RATE, STORY
from tests.livekit.processes import Caller
from tests.livekit.truth import find

SHUTDOWN_S = 10.0
"""What LiveKit gives a job; then it is killed."""

pytestmark = pytest.mark.parametrize("worker", ["newest"], indirect=True)


async def until_shut_down(call: Call, *reasons: str) -> None:
    """Return when the job has shut down, in time and for one of these reasons."""
    closed = await call.until_told("close")
    saved = await call.until_told("saved")
    assert closed["reason"] in reasons
    assert saved["written_at"] - closed["written_at"] < SHUTDOWN_S


async def ends_in_the_answer(call: Call) -> None:
    """Assert that all is there: the greeting, the caller's turn, and of the answer what was heard."""
    turns = await call.turns(3)
    assert [turn["text"] for turn in turns[:2]] == [GREETING.text, FIRST.text]
    (end,) = (event for event in await call.observed_events() if event["type"] == "call_ended")
    assert end["data"]["reason"] == call.told("close")[0]["reason"]
    (answer,) = turns[2:]
    assert answer["role"] == "agent"
    assert LONG.text.startswith(answer["text"])
    samples, _ = await call.audio(answer)
    assert RATE < len(samples) < len(LONG.voice)
    assert np.array_equal(samples, LONG.voice[: len(samples)])


async def go_into_the_answer(caller: Caller) -> None:
    """Hear the greeting, ask, and hear the answer begin."""
    await caller.hears()
    await caller.hears_nothing()
    await caller.says(FIRST)
    await caller.hears(for_s=2.0)


async def test_caller_hangs_up_while_the_agent_speaks(stack: Stack, worker: Worker) -> None:
    async with dispatched(stack, worker) as call, call.caller() as caller:
        await go_into_the_answer(caller)
        await caller.do("leave")
        await until_shut_down(call, "participant_disconnected")
    await ends_in_the_answer(call)


async def test_room_is_deleted_while_the_agent_speaks(stack: Stack, worker: Worker) -> None:
    async with dispatched(stack, worker) as call, call.caller() as caller:
        await go_into_the_answer(caller)
        await stack.server.delete(call.room)
        # Whichever of the two the agent hears of first: that the caller is gone, or the room.
        await until_shut_down(call, "user_initiated", "participant_disconnected")
    await ends_in_the_answer(call)


async def test_caller_hangs_up_while_speaking(stack: Stack, worker: Worker) -> None:
    async with dispatched(stack, worker, hears=(STORY.text,)) as call, call.caller() as caller:
        await caller.hears()
        await caller.hears_nothing()
        await caller.starts(STORY)
        await call.until_told("transcribed", text="And Mister John Dashwood")
        await caller.do("leave")
        await until_shut_down(call, "participant_disconnected")
    turns = await call.turns(2)
    assert [turn["role"] for turn in turns] == ["agent", "user"]
    samples, rate = await call.audio(turns[1])
    assert 0.5 < len(samples) / rate < STORY.seconds
    begin = STORY.samples[: round(len(samples) / rate * RATE)]
    assert find(begin, samples, rate).correlation > 0.9
