"""The gateway is down, slow, or fails: the caller is answered as soon as ever, and the turns arrive once it is well."""

from __future__ import annotations

from typing import Any

import pytest

from tests.livekit.calls import Call, Stack, direct
from tests.livekit.conversation import FIRST, RATE, SHORT, Observed
from tests.livekit.relay import Fault, relaying
from tests.livekit.truth import sent_at

LATER_AT_MOST_S = 0.050
SCRIPT: dict[str, Any] = {"greeting": None, "replies": (SHORT.text,)}


def response_s(call: Call) -> float:
    """From when the agent took the caller for silent to the first sample of its answer on the track."""
    (silent,) = call.told("user_state", state="listening")
    return sent_at(SHORT.samples[: 2 * RATE], call.sent) - float(silent["at"])


@pytest.fixture(scope="module")
async def unobserved_s(stack: Stack) -> float:
    """The response of an agent that nobody observes."""
    async with direct(stack, observed=None, **SCRIPT) as call, call.caller() as caller:
        await caller.says(FIRST)
        await caller.hears()
        await caller.hears_nothing()
        await caller.do("leave")
    return response_s(call)


@pytest.mark.parametrize("fault", ["down", "slow", "fails"])
async def test_turns_arrive_once_and_nobody_waits(stack: Stack, fault: Fault, unobserved_s: float) -> None:
    with relaying(stack.observed.endpoint) as relay:
        relay.fault = fault
        observed = Observed(relay.url, stack.observed.api_key)
        async with direct(stack, observed=observed, **SCRIPT) as call, call.caller() as caller:
            await caller.says(FIRST)
            await caller.hears()
            await caller.hears_nothing()
            relay.fault = None
            turns = await call.turns(2)
            await caller.do("leave")
        assert relay.refused > 0 or fault == "slow"
    assert [turn["text"] for turn in turns] == [FIRST.text, SHORT.text]
    assert len(await call.turns(2)) == 2
    assert response_s(call) == pytest.approx(unobserved_s, abs=LATER_AT_MOST_S)
