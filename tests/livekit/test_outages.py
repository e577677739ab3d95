"""The gateway is down, slow, or fails: the caller is answered as soon as ever, and the turns arrive once it is well."""

from __future__ import annotations

import gzip
from typing import Any

import msgspec
import pytest

from tests.livekit.calls import Call, Stack, direct
from tests.livekit.conversation import FIRST, RATE, SECOND, SHORT, Observed
from tests.livekit.processes import Caller
from tests.livekit.relay import Fault, Relay, relaying
from tests.livekit.truth import each_sent_at

LATER_AT_MOST_S = 0.050
SAID = (FIRST, SECOND)
SCRIPT: dict[str, Any] = {
    "greeting": None,
    "replies": (SHORT.text,),
    "hears": [speech.text for speech in SAID],
    # Room for the texts and one recording.
    "limits": {"queue_bytes": 200_000},
}


async def converse(caller: Caller) -> None:
    """Say something, hear the answer, and once more."""
    for speech in SAID:
        await caller.says(speech)
        await caller.hears()
        await caller.hears_nothing()


def responses_s(call: Call) -> list[float]:
    """From when the agent took the caller for silent to the first sample of its answer on the track, each time."""
    silent = call.told("user_state", state="listening")
    starts = each_sent_at(SHORT.samples[: 2 * RATE], call.sent)
    return [start - float(event["at"]) for start, event in zip(starts, silent, strict=True)]


def accepted(relay: Relay) -> list[str]:
    """Ids of the turns that the gateway was given, as often as it was."""
    bodies = [msgspec.json.decode(gzip.decompress(request.body)) for request in relay.passed]
    return [turn["turn_id"] for body in bodies for turn in body.get("turns", [])]


@pytest.fixture(scope="module")
async def unobserved_s(stack: Stack) -> list[float]:
    """The responses of an agent that nobody observes."""
    async with direct(stack, observed=None, **SCRIPT) as call, call.caller() as caller:
        await converse(caller)
        await caller.do("leave")
    return responses_s(call)


@pytest.mark.parametrize("fault", ["down", "slow", "fails"])
async def test_turns_arrive_once_and_nobody_waits(stack: Stack, fault: Fault, unobserved_s: list[float]) -> None:
    with relaying(stack.observed.endpoint) as relay:
        relay.fault = fault
        observed = Observed(relay.url, stack.observed.api_key)
        async with direct(stack, observed=observed, **SCRIPT) as call, call.caller() as caller:
            await converse(caller)
            assert fault == "slow" or not await stack.live.turns(call.sid)
            relay.fault = None
            await call.turns(4)
            await caller.do("leave")
        given = accepted(relay)
        assert relay.refused > 0 or fault == "slow"
    await stack.live.read()
    turns = await stack.live.turns(call.sid)
    assert [turn["text"] for turn in turns] == [FIRST.text, SHORT.text, SECOND.text, SHORT.text]
    assert sorted(given) == sorted(turn["turn_id"] for turn in turns)
    (stats,) = call.told("stats")
    assert (stats["dropped_turns"], stats["dropped_events"], stats["queued"]) == (0, 0, 0)
    if fault != "slow":
        # The oldest audio made room for the newest: what waits is bounded, and texts come first.
        assert stats["dropped_audio"] >= 1
        assert turns[-1]["audio_blob"] is not None
        assert sum(turn["audio_blob"] is None for turn in turns) == stats["dropped_audio"]
    for with_observer, without in zip(responses_s(call), unobserved_s, strict=True):
        assert with_observer == pytest.approx(without, abs=LATER_AT_MOST_S)
