"""Agents of every kind, observed in a real room, without a job."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.livekit.calls import Call, Stack, direct, seconds
from tests.livekit.conversation import FIRST, LONGER, OTHER, SECOND, SHORT, Observed
from tests.livekit.processes import Caller
from tests.livekit.truth import find


async def answered(caller: Caller) -> None:
    """Say something and hear the whole answer."""
    await caller.says(FIRST)
    await caller.hears()
    await caller.hears_nothing()


def log_of(call: Call) -> str:
    return (call.folder / "agent.log").read_text()


async def test_agent_without_greeting_and_without_job(stack: Stack) -> None:
    async with direct(stack, greeting=None, replies=(SHORT.text,)) as call, call.caller() as caller:
        await answered(caller)
        await caller.do("leave")
    turns = await call.turns(2)
    assert [(turn["role"], turn["text"]) for turn in turns] == [("user", FIRST.text), ("agent", SHORT.text)]
    assert {turn["room_sid"] for turn in turns} == {call.sid}


async def test_error_in_the_observer_costs_no_answer(stack: Stack) -> None:
    async with direct(stack, greeting=None, replies=(SHORT.text,), raises="observer") as call, call.caller() as caller:
        await answered(caller)
        await caller.do("leave")
    assert "_failed" in log_of(call)


async def test_same_error_in_a_handler_of_the_agent_does(stack: Stack) -> None:
    """The control: that the call above could have failed."""
    script: dict[str, Any] = {"greeting": None, "replies": (SHORT.text,), "raises": "handler", "observed": None}
    async with direct(stack, **script) as call, call.caller() as caller:
        await caller.says(FIRST)
        await call.until_told("user_state", state="listening")
        await call.until_logged("_pipeline_reply_task")
        await caller.do("leave")
    assert not call.told("agent_state", state="speaking")


async def test_second_observer_changes_nothing(stack: Stack) -> None:
    async with direct(stack, greeting=None, replies=(SHORT.text,), observers=2) as call, call.caller() as caller:
        await answered(caller)
        await caller.do("leave")
    assert [turn["text"] for turn in await call.turns(2)] == [FIRST.text, SHORT.text]
    assert log_of(call).count("observed_twice") == 1


async def test_key_that_is_not_accepted_is_one_line_in_the_log(stack: Stack) -> None:
    observed = Observed(stack.observed.endpoint, "unknown")
    async with direct(stack, greeting=None, replies=(SHORT.text,), observed=observed) as call, call.caller() as caller:
        await answered(caller)
        await caller.do("leave")
    assert log_of(call).count("key_not_accepted") == 1
    assert await stack.live.turns(call.sid) == []


async def test_other_participants_muted_tracks_and_listeners(stack: Stack) -> None:
    hears = (FIRST.text, SECOND.text)
    async with direct(stack, greeting=None, replies=(SHORT.text,), hears=hears) as call, call.caller() as caller:
        await answered(caller)
        async with call.caller("listener", publishes=False), call.caller("other") as other:
            await caller.do("mute")
            await caller.says(SECOND)  # to nobody
            await other.says(OTHER)
            await caller.do("unmute")
            await caller.says(SECOND)
            await caller.hears()
            await caller.hears_nothing()
        await caller.do("leave")
    turns = await call.turns(5)
    assert [(turn["role"], turn["text"]) for turn in turns] == [
        ("user", FIRST.text),
        ("agent", SHORT.text),
        ("user", ""),
        ("user", SECOND.text),
        ("agent", SHORT.text),
    ]
    assert turns[0]["participant"] == turns[3]["participant"] != turns[2]["participant"]
    samples, rate = await call.audio(turns[2])
    assert find(OTHER.samples, samples, rate).correlation > 0.9


async def test_participant_who_leaves_in_mid_word_has_spoken_until_then(stack: Stack) -> None:
    hears = (FIRST.text, SECOND.text)
    async with direct(stack, greeting=None, replies=(SHORT.text,), hears=hears) as call, call.caller() as caller:
        await answered(caller)
        await caller.do("mute")
        async with call.caller("other") as other:
            await other.starts(LONGER)
            await caller.says(SECOND)  # to nobody, for so long
            left_at = time.time()
            await other.do("leave")
        await caller.do("unmute")
        await caller.says(SECOND)
        await caller.hears()
        await caller.hears_nothing()
        await caller.do("leave")
    turns = await call.turns(5)
    (broken_off,) = [turn for turn in turns if turn["role"] == "user" and not turn["text"]]
    assert seconds(broken_off["ended_at"]) == pytest.approx(left_at, abs=0.5)


async def test_speech_after_a_reconnect(stack: Stack) -> None:
    """Whoever connects anew takes the place of what is left of the connection before."""
    hears = (FIRST.text, SECOND.text)
    async with (
        direct(stack, greeting=None, replies=(SHORT.text,), hears=hears) as call,
        call.caller() as caller,
    ):
        await answered(caller)
        async with call.caller() as again:
            await again.says(SECOND)
            await again.hears()
            await again.hears_nothing()
            await again.do("leave")
    turns = await call.turns(4)
    assert [turn["text"] for turn in turns] == [FIRST.text, SHORT.text, SECOND.text, SHORT.text]
    assert turns[0]["participant"] == turns[2]["participant"]
    samples, rate = await call.audio(turns[2])
    assert find(SECOND.samples, samples, rate).correlation > 0.9
