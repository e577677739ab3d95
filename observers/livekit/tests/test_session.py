"""An observed session with the framework's own classes, and no room."""

from __future__ import annotations

import numpy as np
from livekit.agents import Agent, AgentSession

from conftest import Gateway
from fakes import Llm, Speaker, Tts, spoken
from mise_observer_livekit import attach


class Greeter(Agent):
    def __init__(self, greeting: str = "Good morning how can I help") -> None:
        super().__init__(instructions="Greet.")
        self._greeting = greeting

    async def on_enter(self) -> None:
        self.session.say(self._greeting)


async def test_the_greeting_arrives_with_exactly_the_audio_that_was_heard(gateway: Gateway) -> None:
    session = AgentSession[None](llm=Llm("Fine."), tts=Tts())
    session.output.audio = speaker = Speaker()
    attach(session, None, endpoint=gateway.url, api_key="k", call_id="call-1")
    await session.start(Greeter())
    await gateway.inbox.until(lambda inbox: bool(inbox.turns))
    await session.aclose()
    (turn,) = gateway.inbox.turns
    assert turn["text"] == "Good morning how can I help"
    assert (turn["call_id"], turn["participant"], turn["role"], turn["interrupted"]) == ("call-1", "agent", "agent", False)
    np.testing.assert_array_equal(np.frombuffer(turn["pcm"], np.int16), speaker.played[0])
    np.testing.assert_array_equal(speaker.played[0], spoken(turn["text"]))
    assert turn["ended_at"] - turn["started_at"] == len(speaker.played[0]) / 24_000
