"""What goes wrong around a session: of the call as much arrives as there was, and the agent notices nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from conftest import Gateway
from fakes import RATE, Llm, Pcm, Tts, spoken
from livekit import rtc
from livekit.agents import Agent, AgentSession
from livekit.agents.voice.avatar import AudioSegmentEnd, QueueAudioOutput
from test_session import LONG, Call, Greeter, until

from mise_observer_livekit import attach


def frame(samples: Pcm) -> rtc.AudioFrame:
    return rtc.AudioFrame(samples.tobytes(), RATE, 1, len(samples))


EMPTY = frame(np.zeros(0, np.int16))


async def frames(*each: rtc.AudioFrame) -> AsyncIterator[rtc.AudioFrame]:
    for one in each:
        yield one


# --- the session


async def test_an_agent_that_does_not_greet_is_heard_from_its_first_answer_on(gateway: Gateway) -> None:
    call = Call(gateway, "You are welcome")
    await call.start(Agent(instructions="Wait to be spoken to."))
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 2)
    await call.close()
    user, answer = call.turns()
    assert (user["role"], user["text"]) == ("user", "thank you so much")
    assert (answer["role"], answer["text"]) == ("agent", "You are welcome")
    np.testing.assert_array_equal(np.frombuffer(answer["pcm"], np.int16), call.speaker.played[0])


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "left"])
async def test_a_session_that_never_starts_sends_its_end_and_costs_no_wait(gateway: Gateway, closed: bool) -> None:
    session = AgentSession[None](llm=Llm("Fine"), tts=Tts())
    observer = attach(session, None, endpoint=gateway.url, api_key="k", call_id="call-1")
    if closed:
        await session.aclose()
    await asyncio.wait_for(observer.aclose(), 2)
    assert [event["type"] for event in gateway.inbox.events] == ["call_ended"]
    assert gateway.inbox.turns == []


async def test_a_session_that_is_closed_before_it_starts_is_observed_when_it_does(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    call.attach()
    await call.session.aclose()
    await call.session.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    assert [turn["text"] for turn in call.turns()] == ["Hello there"]


# --- the outputs


class Avatar:
    """Plays in this process what its queue is given, as LiveKit's `AvatarRunner` does; it knows of no runs.

    heard_s : of each piece of speech, how much was heard.
    """

    def __init__(self) -> None:
        self.output = QueueAudioOutput(sample_rate=RATE)
        clears: rtc.EventEmitter[Any] = self.output  # which its base says it doesn't
        clears.on("clear_buffer", lambda: self._finish(interrupted=True))
        self.heard_s: list[float] = []
        self._position_s: float | None = None

    async def play(self) -> None:
        async for item in self.output:
            if isinstance(item, AudioSegmentEnd):
                self._finish(interrupted=False)
                continue
            self._position_s = self._position_s or 0.0
            await asyncio.sleep(item.duration)
            if self._position_s is not None:
                self._position_s += item.duration

    def _finish(self, *, interrupted: bool) -> None:
        if self._position_s is not None:
            self.heard_s.append(self._position_s)
            self.output.notify_playback_finished(self._position_s, interrupted)
            self._position_s = None


async def test_an_avatar_that_takes_the_outputs_over_before_the_start_is_heard(gateway: Gateway) -> None:
    call = Call(gateway, "All right")
    call.attach()
    avatar = Avatar()
    call.session.output.audio = avatar.output
    playing = asyncio.create_task(avatar.play())
    await call.session.start(Greeter(LONG))
    await call.agent("speaking")
    await call.say("stop it please")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    playing.cancel()
    greeting, answer = call.turns("agent")
    assert (greeting["interrupted"], answer["interrupted"]) == (True, False)
    assert (answer["text"], call.speaker.played) == ("All right", [])
    for turn, voice, heard_s in zip((greeting, answer), (LONG.strip(), "All right"), avatar.heard_s, strict=True):
        samples = np.frombuffer(turn["pcm"], np.int16)
        assert len(samples) / RATE == pytest.approx(heard_s, abs=1e-3)
        words = spoken(voice)
        np.testing.assert_array_equal(samples[: len(words)], words[: len(samples)])
        assert turn["ended_at"] - turn["started_at"] == pytest.approx(heard_s, abs=1e-3)


async def test_frames_of_nothing_change_nothing(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    call = Call(gateway, "Fine")
    await call.start(Agent(instructions="Wait to be spoken to."))
    hello = frame(spoken("Hello there"))
    call.session.say("Hello there", audio=frames(EMPTY, hello, EMPTY))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    call.vad.starts()
    await call.heard("speaking")
    call.microphone.give(EMPTY)
    await call.microphone.hear(spoken("thank you so much"))
    call.microphone.give(EMPTY)
    call.stt.final("thank you so much")
    call.vad.stops()
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    greeting, user, _ = call.turns()
    np.testing.assert_array_equal(np.frombuffer(greeting["pcm"], np.int16), spoken("Hello there"))
    assert len(user["pcm"]) / 2 / RATE == pytest.approx(len(spoken("thank you so much")) / RATE, abs=0.03)
    assert not [record for record in caplog.records if record.name == "mise_observer"]


async def test_a_turn_of_nothing_costs_no_other(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    call = Call(gateway, "Fine")
    await call.start(Agent(instructions="Wait to be spoken to."))
    await call.session.say("Hello there", audio=frames())
    await call.session.say("Hello there", audio=frames(EMPTY, EMPTY))
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: any(turn["text"] == "Fine" for turn in inbox.turns))
    await call.close()
    assert [turn["text"] for turn in call.turns() if turn["pcm"]] == ["Fine"]
    assert [turn["text"] for turn in call.turns("user")] == ["thank you so much"]
    assert not [record for record in caplog.records if record.name == "mise_observer"]


# --- the gateway


@pytest.mark.parametrize("status", [401, 413, 429, 500])
async def test_a_gateway_that_refuses_is_a_line_in_the_log_and_the_agent_talks_on(
    gateway: Gateway, status: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mise_observer_livekit.observer.DRAIN_S", 0.5)
    gateway.refusal = status
    call = Call(gateway, "You are welcome")
    observer = await call.start(Greeter("Hello there"))
    await until(call.session, "conversation_item_added", lambda: len(call.speaker.played) == 1)
    await call.agent("listening")
    await call.say("thank you so much")
    await until(call.session, "conversation_item_added", lambda: len(call.speaker.played) == 2)
    await call.session.aclose()
    closed_at = time.monotonic()
    await observer.aclose()
    assert time.monotonic() - closed_at < 1.0
    for played, said in zip(call.speaker.played, ("Hello there", "You are welcome"), strict=True):
        np.testing.assert_array_equal(played[: len(spoken(said))], spoken(said))
    assert gateway.refused >= 1
    assert gateway.inbox.turns == []
    assert observer.stats.sent == 0
    lines = [record.message.split()[0] for record in caplog.records if record.name == "mise_observer"]
    assert len(lines) == len(set(lines))
    if status == 401:  # no more is sent, and in the end it is said how much was not
        assert (lines, gateway.refused) == (["key_not_accepted", "turns_given_up", "events_given_up"], 1)


# --- the clock

TEN_WORDS = "one two three four five six seven eight nine ten"
STEPS_S = [-3600.0, 3600.0]


def now() -> float:
    """Epoch seconds by a clock that nobody sets."""
    return time.monotonic() + EPOCH


EPOCH = time.time() - time.monotonic()


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_clock_that_is_set_between_two_turns_moves_none(
    gateway: Gateway, step_s: float, set_clock: Callable[[float], None]
) -> None:
    call = Call(gateway, "You are welcome")
    await call.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    set_clock(step_s)
    asked_at = now()
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    greeting, user, answer = call.turns()
    assert (greeting["role"], user["role"], answer["role"]) == ("agent", "user", "agent")
    assert asked_at - 0.1 < user["started_at"] <= user["ended_at"] < answer["started_at"] < answer["ended_at"] < now()
    assert answer["ended_at"] - answer["started_at"] == pytest.approx(len(answer["pcm"]) / 2 / RATE, abs=1e-3)
    (ended,) = [event for event in call.inbox.events if event["type"] == "call_ended"]
    assert answer["ended_at"] < ended["at"] < now()


@pytest.mark.parametrize("step_s", STEPS_S)
async def test_a_clock_that_is_set_while_both_speak_moves_neither(
    gateway: Gateway, step_s: float, set_clock: Callable[[float], None]
) -> None:
    call = Call(gateway, "Fine")
    began = now()
    await call.start(Greeter(TEN_WORDS))
    await call.speaker.given.wait()
    call.vad.starts()
    await call.heard("speaking")
    set_clock(step_s)
    call.stt.final("mhm")
    call.vad.stops()
    await call.inbox.until(lambda inbox: any(turn["role"] == "agent" for turn in inbox.turns))
    await call.close()
    (agent,), (user,) = call.turns("agent"), call.turns("user")
    assert agent["ended_at"] - agent["started_at"] == pytest.approx(len(spoken(TEN_WORDS)) / RATE, abs=0.05)
    assert len(agent["pcm"]) / 2 / RATE == pytest.approx(len(spoken(TEN_WORDS)) / RATE, abs=0.05)
    within_s = 0.05  # of an hour: both begin at once here
    assert began < agent["started_at"] < user["started_at"] + within_s
    assert user["started_at"] <= user["ended_at"] < agent["ended_at"] + within_s
    assert agent["ended_at"] < now() + within_s
