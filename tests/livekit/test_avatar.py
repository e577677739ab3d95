"""An avatar speaks for the agent: as a participant of its own, over LiveKit's data streams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.livekit.calls import Stack, direct, seconds
from tests.livekit.conversation import BARGE_IN, LONG, SHORT, VOICE_RATE

AVATAR = "avatar"

HEARD_WITHIN_S = 0.5
"""An avatar tells nobody when it begins to speak, and how far it has come only in frames of FRAME_S."""

FRAME_S = 0.1


async def test_what_an_avatar_says_is_the_agents(stack: Stack) -> None:
    script: dict[str, Any] = {
        "greeting": LONG.text,
        "replies": (SHORT.text,),
        "hears": (BARGE_IN.text,),
        "avatar": AVATAR,
    }
    async with direct(stack, **script) as call, call.avatar(AVATAR), call.caller() as caller:
        await caller.hears(for_s=3.0)
        await caller.says(BARGE_IN)
        await caller.hears()
        await caller.hears_nothing()
        heard = (await caller.do("heard"))["spans"]
        await caller.do("leave")
    turns = await call.turns(3)
    await stack.live.read()
    assert len(await call.turns(3)) == 3
    greeting, barge_in, answer = turns
    assert [(turn["role"], turn["interrupted"]) for turn in turns] == [
        ("agent", True),
        ("user", None),
        ("agent", False),
    ]
    assert (barge_in["text"], answer["text"]) == (BARGE_IN.text, SHORT.text)
    assert greeting["participant"] == answer["participant"]
    for turn, speech in ((greeting, LONG), (answer, SHORT)):
        samples, rate = await call.audio(turn)
        assert rate == VOICE_RATE
        assert np.array_equal(samples, speech.voice[: len(samples)])
        spoken_s = seconds(turn["ended_at"]) - seconds(turn["started_at"])
        assert len(samples) / rate == pytest.approx(spoken_s, abs=FRAME_S + 0.001)
    (began, cut), *_ = heard
    assert seconds(greeting["started_at"]) == pytest.approx(began, abs=HEARD_WITHIN_S)
    assert seconds(greeting["ended_at"]) == pytest.approx(cut, abs=HEARD_WITHIN_S)
    assert len(samples) == len(SHORT.voice)
