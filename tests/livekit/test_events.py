"""One call in which much happens beside the turns: a noise, a mute in mid-word, a colleague by telephone, a handover.

agent      |greet|.....|ing|                  |short|   |short|           the second by the agent that takes over
caller          |noise|        |story -- mute                     leaves
colleague                                            joins |other| leaves
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.integration.live import Row
from tests.livekit.calls import Call, Stack, direct, seconds
from tests.livekit.conversation import BACKCHANNEL, GREETING, OTHER, RATE, SHORT, STORY, VOICE_RATE
from tests.livekit.truth import find

NOISE = BACKCHANNEL
"""It has no words here: the agent pauses for it, and goes on."""

SESSION = {
    "turn_handling": {
        "turn_detection": "vad",
        "interruption": {"mode": "vad", "min_words": 0, "min_duration": 0.1, "false_interruption_timeout": 0.5},
    },
    "aec_warmup_duration": None,  # else nothing interrupts a greeting
}

NUMBER = "4930123456789"
COLLEAGUE = f"sip_{NUMBER}"

MUTED_WITHIN_S = 0.5
"""Between the command and the last sound on the wire."""


@dataclass(frozen=True)
class Eventful:
    """The call, when it is over. joined : the caller did between these two instants."""

    call: Call
    joined: tuple[float, float]
    muted_at: float


@pytest.fixture(scope="module")
async def eventful(stack: Stack) -> Eventful:
    script: dict[str, Any] = {
        "replies": (SHORT.text,),
        "hears": ("", STORY.text),
        "session": SESSION,
        "successor": SHORT.text,
    }
    before = time.time()
    async with direct(stack, **script) as call, call.caller() as caller:
        joined_at = time.time()
        await caller.hears()
        await caller.says(NOISE)
        await call.until_told("item", role="assistant")
        await caller.hears_nothing()
        await caller.starts(STORY)
        await call.until_told("transcribed", text="And Mister John Dashwood had then leisure")
        await caller.do("mute")
        muted_at = time.time()
        await caller.hears()
        await caller.hears_nothing()
        attributes = {"mise.role": "human_agent", "sip.phoneNumber": f"+{NUMBER}"}
        async with call.caller(COLLEAGUE, kind="sip", attributes=attributes) as colleague:
            await caller.hears()
            await caller.hears_nothing()
            await colleague.says(OTHER)
            await colleague.do("leave")
        await caller.do("leave")
    return Eventful(call, (before, joined_at), muted_at)


@pytest.fixture(scope="module")
async def turns(eventful: Eventful) -> list[Row]:
    return await eventful.call.turns(6)


@pytest.fixture(scope="module")
async def events(eventful: Eventful) -> list[Row]:
    """The observer's own, without its metrics."""
    return [event for event in await eventful.call.observed_events() if event["type"] != "metrics"]


def test_every_turn_is_somebodys(turns: list[Row]) -> None:
    assert [(turn["role"], turn["text"]) for turn in turns] == [
        ("agent", GREETING.text),
        ("user", ""),
        ("user", STORY.text),
        ("agent", SHORT.text),
        ("agent", SHORT.text),
        ("human_agent", ""),
    ]
    assert [turn["metadata"].get("uncommitted") for turn in turns] == [None, "true", None, None, None, None]
    assert len({turn["participant"] for turn in turns}) == 3


def test_events_are_told_once_and_in_order(turns: list[Row], events: list[Row]) -> None:
    agent, caller, colleague = (turns[place]["participant"] for place in (0, 1, 5))
    assert sorted((event["type"], event["participant"]) for event in events) == sorted(
        [
            ("participant_joined", caller),
            ("system", agent),
            ("participant_joined", colleague),
            ("transfer", colleague),
            ("system", agent),
            ("participant_left", colleague),
            ("participant_left", caller),
            ("call_ended", None),
        ]
    )
    left = {event["participant"]: event["data"] for event in events if event["type"] == "participant_left"}
    assert left == {
        caller: {"kind": "standard", "reason": "client_initiated"},
        colleague: {"kind": "sip", "reason": "client_initiated"},
    }


def test_people_joined_when_the_server_says(eventful: Eventful, turns: list[Row], events: list[Row]) -> None:
    joined = {event["participant"]: event for event in events if event["type"] == "participant_joined"}
    for turn in turns:
        if turn["role"] != "agent":
            assert turn["room_connected_at"] == joined[turn["participant"]]["at"]
    caller, colleague = joined[turns[1]["participant"]], joined[turns[5]["participant"]]
    before, after = eventful.joined
    assert before < seconds(caller["at"]) < after
    assert turns[3]["ended_at"] < colleague["at"] < turns[5]["started_at"]
    assert caller["data"] == {"kind": "standard", "role": "user"}


async def test_colleague_by_telephone_is_a_transfer_and_his_number_is_nowhere(
    eventful: Eventful, turns: list[Row], events: list[Row]
) -> None:
    (transfer,) = [event for event in events if event["type"] == "transfer"]
    (joined,) = [event for event in events if event["type"] == "participant_joined" and event["data"]["kind"] == "sip"]
    assert (transfer["at"], transfer["participant"]) == (joined["at"], turns[5]["participant"])
    assert transfer["data"] == {"to": "human_agent", "kind": "sip"}
    assert joined["data"]["role"] == "human_agent"
    samples, rate = await eventful.call.audio(turns[5])
    assert find(OTHER.samples, samples, rate).correlation > 0.9
    said = str(await eventful.call.stack.live.said(eventful.call.sid))
    assert turns[5]["participant"] in said
    assert NUMBER not in said


async def test_false_interruption_is_a_pause_in_the_turn_and_an_event(
    eventful: Eventful, turns: list[Row], events: list[Row]
) -> None:
    greeting = turns[0]
    (event,) = [event for event in events if event["data"].get("what") == "false_interruption"]
    assert event["data"]["resumed"] == "true"
    assert greeting["started_at"] < event["at"] < greeting["ended_at"]
    assert greeting["interrupted"] is False
    samples, _ = await eventful.call.audio(greeting)
    voice = GREETING.voice
    assert len(samples) > len(voice)
    some = VOICE_RATE // 4
    assert np.array_equal(samples[:some], voice[:some])
    assert np.array_equal(samples[-some:], voice[-some:])


def test_handover_is_an_event(turns: list[Row], events: list[Row]) -> None:
    (event,) = [event for event in events if event["data"].get("what") == "agent_handoff"]
    assert event["data"]["to"] == "greeter"
    assert turns[3]["ended_at"] < event["at"] <= turns[4]["started_at"]
    assert turns[3]["participant"] == turns[4]["participant"]


async def test_mute_in_mid_word_ends_the_turn(eventful: Eventful, turns: list[Row]) -> None:
    story = turns[2]
    assert seconds(story["ended_at"]) == pytest.approx(eventful.muted_at, abs=MUTED_WITHIN_S)
    samples, rate = await eventful.call.audio(story)
    begin = STORY.samples[: round(len(samples) / rate * RATE)]
    assert find(begin, samples, rate).correlation > 0.9
