"""An observed session with the framework's own classes, and no room."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from conftest import Gateway
from fakes import Llm, Microphone, Speaker, Stt, Tts, Vad, spoken
from livekit import rtc
from livekit.agents import Agent, AgentSession, ModelSettings, function_tool, llm
from livekit.agents.testing import fake_job_context
from livekit.agents.voice import io

from mise_observer.recording import Clip
from mise_observer_livekit import Observer, attach
from mise_observer_livekit.observer import CLOSE_WAIT_S, DRAIN_S, HUSH_S
from mise_observer_livekit.playback import Playback, Played
from mise_observer_livekit.room import RoomWatch
from mise_observer_livekit.session import SessionWatch
from mise_observer_livekit.tap import InputTap, Tap


class Greeter(Agent):
    def __init__(self, greeting: str = "Good morning how can I help") -> None:
        super().__init__(instructions="Greet.")
        self._greeting = greeting

    async def on_enter(self) -> None:
        self.session.say(self._greeting)


async def test_the_greeting_arrives_with_exactly_the_audio_that_was_heard(gateway: Gateway) -> None:
    session = AgentSession[None](llm=Llm("Fine."), tts=Tts())
    session.output.audio = speaker = Speaker()
    observer = attach(session, None, endpoint=gateway.url, api_key="k", call_id="call-1")
    await session.start(Greeter())
    await gateway.inbox.until(lambda inbox: bool(inbox.turns))
    await session.aclose()
    await observer.aclose()
    (turn,) = gateway.inbox.turns
    assert turn["text"] == "Good morning how can I help"
    assert (turn["call_id"], turn["participant"], turn["role"], turn["interrupted"]) == (
        "call-1",
        "agent",
        "agent",
        False,
    )
    np.testing.assert_array_equal(np.frombuffer(turn["pcm"], np.int16), speaker.played[0])
    words = spoken(turn["text"])
    np.testing.assert_array_equal(speaker.played[0][: len(words)], words)
    assert turn["ended_at"] - turn["started_at"] == pytest.approx(len(speaker.played[0]) / 24_000, abs=1e-6)


class Call:
    """A session with scripted parts, observed, whose user is this test."""

    def __init__(self, gateway: Gateway, *replies: str | llm.FunctionToolCall, tts: Tts | None = None) -> None:
        self.gateway = gateway
        self.inbox = gateway.inbox
        self.stt, self.vad, self.speaker, self.microphone = Stt(), Vad(), Speaker(), Microphone()
        self.session = AgentSession[None](
            llm=Llm(*replies),
            tts=tts or Tts(),
            stt=self.stt,
            vad=self.vad,
            turn_handling={
                "turn_detection": "vad",
                "endpointing": {"min_delay": 0.1, "max_delay": 0.2},
                "interruption": {"mode": "vad", "min_words": 2},
            },
            aec_warmup_duration=None,
            session_close_transcript_timeout=0.1,
        )
        self.observer: Observer | None = None
        self.session.output.audio = self.speaker
        self.session.input.audio = self.microphone

    def attach(self, **options: Any) -> Observer:
        self.observer = attach(self.session, None, endpoint=self.gateway.url, api_key="k", call_id="call-1", **options)
        return self.observer

    async def start(self, agent: Agent, **options: Any) -> Observer:
        observer = self.attach(**options)
        await self.session.start(agent)
        return observer

    async def say(self, text: str) -> None:
        self.vad.starts()
        await self.heard("speaking")
        self.stt.final(text)
        self.vad.stops()
        await self.heard("listening")

    async def heard(self, state: str) -> None:
        await until(self.session, "user_state_changed", lambda: self.session.user_state == state)

    async def agent(self, state: str) -> None:
        await until(self.session, "agent_state_changed", lambda: self.session.agent_state == state)

    def turns(self, role: str | None = None) -> list[dict[str, Any]]:
        turns = [turn for turn in self.inbox.turns if role in (None, turn["role"])]
        return sorted(turns, key=lambda turn: turn["started_at"])

    async def close(self) -> None:
        await self.session.aclose()
        if self.observer is not None:
            await self.observer.aclose()
        await self.inbox.until(lambda inbox: any(event["type"] == "call_ended" for event in inbox.events))


async def until(session: AgentSession[None], event: Any, true: Callable[[], bool]) -> None:
    news = asyncio.Event()

    def note(_: object) -> None:
        news.set()

    session.on(event, note)
    try:
        while not true():
            news.clear()
            await asyncio.wait_for(news.wait(), 15)
    finally:
        session.off(event, note)


LONG = "one two three four five six seven eight nine ten " * 3


async def test_user_turns_and_replies_arrive_in_the_order_in_which_they_began(gateway: Gateway) -> None:
    call = Call(gateway, "You are welcome")
    await call.start(Greeter("Hello"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    assert [(turn["role"], turn["text"]) for turn in call.turns()] == [
        ("agent", "Hello"),
        ("user", "thank you so much"),
        ("agent", "You are welcome"),
    ]
    user = call.turns("user")[0]
    assert (user["participant"], user["language"], user["metadata"]) == ("user", "en", {"times": "vad"})
    reasons = [event["data"]["reason"] for event in call.inbox.events if event["type"] == "call_ended"]
    assert reasons == ["user_initiated"]
    measured = [event for event in call.inbox.events if event["type"] == "metrics" and event["participant"] == "agent"]
    names = {name for event in measured for name in event["data"]}
    assert {"e2e_latency_ms", "llm_ttft_ms", "tts_ttfb_ms"} <= names
    assert not {name for name in names if "_node_" in name or name.endswith(("_count", "_duration"))}


@pytest.mark.parametrize("rate", [16_000, 24_000, 48_000])
async def test_a_user_without_a_room_is_heard_at_the_input(gateway: Gateway, rate: int) -> None:
    call = Call(gateway, "You are welcome")
    call.session.input.audio = call.microphone = Microphone(rate)
    await call.start(Greeter("Hello"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    words = spoken("thank you so much indeed", rate)
    call.vad.starts()
    await call.heard("speaking")
    await call.microphone.hear(words)
    call.stt.final("thank you so much indeed")
    call.vad.stops()
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    (user,) = call.turns("user")
    assert user["sample_rate"] == min(rate, 24_000)
    assert "times" not in user.get("metadata", {})
    assert len(user["pcm"]) / 2 / user["sample_rate"] == pytest.approx(len(words) / rate, abs=0.03)


async def test_the_words_of_a_backchannel_are_not_in_the_next_turn(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    await call.start(Greeter(LONG))
    await call.agent("speaking")
    await call.say("mhm")
    await call.inbox.until(lambda inbox: any(turn["role"] == "agent" for turn in inbox.turns))
    await call.say("now it is my turn")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 4)
    await call.close()
    backchannel, turn = call.turns("user")
    assert (backchannel["text"], backchannel["metadata"].get("uncommitted")) == ("mhm", "true")
    assert (turn["text"], turn["metadata"].get("uncommitted")) == ("now it is my turn", None)
    assert backchannel["ended_at"] < call.turns("agent")[0]["ended_at"] < turn["started_at"]


async def test_a_typed_message_is_a_turn_and_takes_nothing_of_what_was_said(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    await call.start(Greeter(LONG))
    await call.agent("speaking")
    await call.say("mhm")
    await call.inbox.until(lambda inbox: any(turn["role"] == "agent" for turn in inbox.turns))
    call.session.generate_reply(user_input="this was typed")
    await call.inbox.until(lambda inbox: any(turn["text"] == "Fine" for turn in inbox.turns))
    await call.close()
    said, typed = call.turns("user")
    assert (said["text"], said["metadata"]["times"]) == ("mhm", "vad")
    assert (typed["text"], typed["metadata"], typed["pcm"]) == ("this was typed", {"times": "estimated"}, b"")


async def test_an_interrupted_turn_ends_where_it_was_cut(gateway: Gateway) -> None:
    call = Call(gateway, "All right")
    await call.start(Greeter(LONG))
    await call.agent("speaking")
    await call.say("stop it please")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    greeting, reply = call.turns("agent")
    assert greeting["interrupted"] is True
    assert reply["interrupted"] is False
    heard = np.frombuffer(greeting["pcm"], np.int16)
    np.testing.assert_array_equal(heard, call.speaker.played[0])
    assert len(heard) < len(spoken(LONG))
    assert greeting["ended_at"] - greeting["started_at"] == pytest.approx(len(heard) / 24_000, abs=1e-3)


async def test_a_failed_voice_is_no_interruption(gateway: Gateway) -> None:
    call = Call(gateway, "Fine", tts=Tts(fails=True))
    await call.start(Greeter("Hello"))
    await call.inbox.until(lambda inbox: any(event["type"] == "error" for event in inbox.events))
    await call.close()
    assert [turn["interrupted"] for turn in call.turns("agent")] in ([], [False])
    (error, *_) = (event for event in call.inbox.events if event["type"] == "error")
    assert error["data"]["kind"] == "tts_error"


class Clerk(Greeter):
    @function_tool
    async def look_up(self, number: str) -> str:
        """Look something up."""
        return "it is on its way"


async def test_tools_are_named_and_what_they_were_given_is_not(gateway: Gateway) -> None:
    tool = llm.FunctionToolCall(name="look_up", arguments='{"number": "4711"}', call_id="c1")
    call = Call(gateway, tool, "It is on its way")
    await call.start(Clerk("Hello"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.say("where is my parcel")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    (event,) = (event for event in call.inbox.events if event["type"] == "tool_call")
    assert event["data"].pop("duration_ms") >= 0
    assert event["data"] == {"name": "look_up", "failed": False, "outcome": "completed", "tool_call_id": "c1"}
    answered = [turn for turn in call.inbox.turns if turn["role"] == "agent"][-1]
    assert event["at"] <= answered["started_at"]
    assert "4711" not in str(call.inbox)


async def test_an_output_that_reports_no_runs_is_described_by_its_end(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    call.session.output.audio = Speaker(reports_runs=False)
    await call.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    (turn,) = call.turns()
    assert turn["ended_at"] - turn["started_at"] == pytest.approx(len(turn["pcm"]) / 48_000, abs=1e-3)


async def test_a_session_without_audio_gives_its_text_and_says_so(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    session = AgentSession[None](llm=Llm("Fine"))
    observer = attach(session, None, endpoint=gateway.url, api_key="k")
    await session.start(Greeter())
    await session.run(user_input="how are you")
    await session.aclose()
    await observer.aclose()
    told = sorted((turn["text"], turn["role"], turn["metadata"]["times"], turn["pcm"]) for turn in gateway.inbox.turns)
    assert told == [
        ("Fine", "agent", "estimated", b""),
        ("Good morning how can I help", "agent", "estimated", b""),
        ("how are you", "user", "estimated", b""),
    ]
    assert "livekit_no_output" in caplog.text
    assert "livekit_call_id_made" in caplog.text


class Stream(Speaker):
    """As outputs of avatars: it says that it plays while it takes its time for the first frame, its end comes late by
    the network, and of runs it says nothing.
    """

    def __init__(self) -> None:
        super().__init__(reports_runs=False)
        self.began_at: list[float] = []

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        begins = self._began is None
        await super().capture_frame(frame)
        if begins:
            self.began_at.append(time.time())
            await asyncio.sleep(0.3)

    def on_playback_finished(self, **told: Any) -> None:
        asyncio.get_running_loop().call_later(0.3, partial(super().on_playback_finished, **told))


async def test_an_output_that_begins_while_it_takes_the_first_frame_began_then(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    call.session.output.audio = stream = Stream()
    await call.start(Greeter("Hello there my friend how are you today"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    (turn,) = call.turns()
    assert turn["started_at"] == pytest.approx(stream.began_at[0], abs=0.02)


class TwoRates(Greeter):
    """Whose first speech changes its rate in the middle: of the second half no output reports anything of its own."""

    async def tts_node(self, text: AsyncIterable[str], model_settings: ModelSettings) -> AsyncIterator[rtc.AudioFrame]:
        said = "".join([piece async for piece in text])
        for rate in (24_000, 16_000) if said == self._greeting else (24_000,):
            audio = spoken(said, rate)
            yield rtc.AudioFrame(audio.tobytes(), rate, 1, len(audio))


async def test_audio_that_is_never_reported_shifts_none_of_the_next_speech(gateway: Gateway) -> None:
    call = Call(gateway, "You are welcome")
    await call.start(TwoRates("Hello"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    reply = call.turns("agent")[1]
    assert reply["text"] == "You are welcome"
    np.testing.assert_array_equal(np.frombuffer(reply["pcm"], np.int16), call.speaker.played[1])


async def test_audio_is_put_together_beside_the_hosts_loop(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: dict[str, set[str]] = {}

    def watched(sound: type[Any]) -> None:
        pcm = sound.pcm

        def noted(self: Any) -> Any:
            threads.setdefault(sound.__name__, set()).add(threading.current_thread().name)
            return pcm(self)

        monkeypatch.setattr(sound, "pcm", noted)

    watched(Clip)
    watched(Played)
    call = Call(gateway, "Fine")
    await call.start(Greeter("Hello"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    call.vad.starts()
    await call.heard("speaking")
    await call.microphone.hear(spoken("thank you"))
    call.stt.final("thank you")
    call.vad.stops()
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    assert threads == {"Clip": {"mise-observer-outbox"}, "Played": {"mise-observer-outbox"}}


async def test_an_output_that_is_replaced_is_tapped_anew(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    await call.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    call.session.output.audio = avatar = Speaker()
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    np.testing.assert_array_equal(np.frombuffer(call.turns("agent")[1]["pcm"], np.int16), avatar.played[0])


async def test_audio_above_24_khz_is_sent_at_24(gateway: Gateway) -> None:
    call = Call(gateway, "Fine", tts=Tts(48_000))
    await call.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    (turn,) = call.turns()
    assert turn["sample_rate"] == 24_000
    assert len(turn["pcm"]) / 48_000 == pytest.approx(turn["ended_at"] - turn["started_at"], abs=2e-3)


async def test_audio_and_text_stay_when_they_are_switched_off(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    await call.start(Greeter("Hello there"), audio=False, text=False)
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    (turn,) = call.turns()
    assert (turn["text"], turn["pcm"]) == ("", b"")
    assert turn["ended_at"] - turn["started_at"] > 0.15


class Mute(Speaker):
    """As outputs that never tell how far they are, nor that they are through."""

    def flush(self) -> None:
        io.AudioOutput.flush(self)
        if self._frames:
            self.played.append(np.concatenate(self._frames))
            self.given.set()
            self._frames = []

    def clear_buffer(self) -> None:
        pass


async def test_audio_that_is_switched_off_and_never_reported_has_its_times(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    call.session.output.audio = call.speaker = Mute()
    await call.start(Greeter("Hello there"), audio=False)
    await asyncio.wait_for(call.speaker.given.wait(), 15)
    await call.close()
    call.speaker.on_playback_finished(playback_position=0.0, interrupted=True)  # for what still waits for it
    (turn,) = call.turns()
    assert turn["ended_at"] - turn["started_at"] == pytest.approx(len(call.speaker.played[0]) / 24_000, abs=1e-3)


async def test_text_is_redacted_or_not_sent(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    def redact(text: str) -> str:
        if "secret" in text:
            raise ValueError(text)
        return text.replace("Smith", "NAME")

    call = Call(gateway, "The secret")
    await call.start(Greeter("Hello Smith"), redact=redact)
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.say("Smith it is")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 3)
    await call.close()
    assert [turn["text"] for turn in call.turns()] == ["Hello NAME", "NAME it is", ""]
    assert "redact_failed" in caplog.text


async def test_what_is_being_said_when_the_session_closes_arrives(gateway: Gateway) -> None:
    call = Call(gateway, "Fine")
    await call.start(Greeter(LONG))
    await call.agent("speaking")
    call.vad.starts()
    await call.heard("speaking")
    call.stt.final("wait")
    await call.close()
    (agent,), (user,) = call.turns("agent"), call.turns("user")
    assert len(agent["pcm"]) == 2 * len(call.speaker.played[0])
    assert user["text"] == "wait"


async def test_an_observer_that_is_closed_keeps_nothing_of_what_is_said_after_it(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mise_observer_livekit.observer.CLOSE_WAIT_S", 0.1)
    call = Call(gateway, "Fine")
    observer = await call.start(Greeter("Hello there"))
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await observer.aclose()
    output, source = call.session.output.audio, call.session.input.audio
    assert isinstance(output, Tap)
    assert isinstance(source, InputTap)
    heard = source.recording.nbytes
    await call.microphone.hear(spoken("is anybody there"))
    await call.session.say("Thank you so much")
    await call.close()
    assert len(call.speaker.played) == 2
    assert (output._playback.nbytes, output._playback.take()) == (0, [])
    assert source.recording.nbytes == heard
    assert len(call.turns()) == 1


async def test_a_second_observer_changes_nothing(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    call = Call(gateway, "Fine")
    first = await call.start(Greeter("Hello there"))
    second = attach(call.session, None, endpoint="http://127.0.0.1:1", api_key="other")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 1)
    await call.close()
    assert second is first
    assert "observed_twice" in caplog.text
    assert len(call.turns()) == 1


async def test_an_observer_that_comes_late_says_so_and_works_with_what_is_left(
    gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    call = Call(gateway, "You are welcome")
    await call.session.start(Greeter("Hello"))
    await until(call.session, "conversation_item_added", lambda: bool(call.speaker.played))
    call.observer = attach(call.session, None, endpoint=gateway.url, api_key="k")
    await call.agent("listening")
    await call.say("thank you so much")
    await call.inbox.until(lambda inbox: len(inbox.turns) == 2)
    await call.close()
    assert [turn["text"] for turn in call.turns()] == ["thank you so much", "You are welcome"]
    assert "livekit_attached_late" in caplog.text


@pytest.mark.parametrize(
    "wrong",
    [{"endpoint": "voice.example.com"}, {"endpoint": None}, {"api_key": None}, {"ctx": 7}, {"session": None}],
    ids=str,
)
async def test_wrong_arguments_are_one_log_line_and_the_agent_runs(
    wrong: dict[str, Any], gateway: Gateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MISE_VOICE_URL", raising=False)
    monkeypatch.delenv("MISE_VOICE_KEY", raising=False)
    session = AgentSession[None](llm=Llm("Fine"), tts=Tts())
    session.output.audio = speaker = Speaker()
    arguments: dict[str, Any] = {"session": session, "ctx": None, "endpoint": gateway.url, "api_key": "k", **wrong}
    observer = attach(arguments.pop("session"), arguments.pop("ctx"), **arguments)
    assert [record.message.split()[0] for record in caplog.records] == ["not_observed"]
    await session.start(Greeter("Hello"))
    await until(session, "conversation_item_added", lambda: bool(speaker.played))
    await observer.aclose()
    await session.aclose()
    assert observer.stats.sent == 0


async def test_what_fails_to_attach_leaves_nothing_behind(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("no more callbacks")

    with fake_job_context() as ctx:
        session = AgentSession[None](llm=Llm("Fine"), tts=Tts())
        session.output.audio = speaker = Speaker()
        with monkeypatch.context() as patch:
            patch.setattr(type(ctx), "add_shutdown_callback", fails)
            attach(session, ctx, endpoint=gateway.url, api_key="k")
        assert "not_observed" in caplog.text
        assert [task for task in asyncio.all_tasks() if task.get_name().startswith("mise-observer")] == []
        await session.start(Greeter("Hello there"), record=False)
        await until(session, "conversation_item_added", lambda: bool(speaker.played))
        assert session.output.audio is speaker
        await session.aclose()


async def test_a_track_that_can_not_be_let_go_of_does_not_hold_up_what_is_left(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(RoomWatch, "close", never)
    session = AgentSession[None](llm=Llm("Fine"), tts=Tts())
    observer = attach(session, None, endpoint=gateway.url, api_key="k", call_id="call-1")
    await session.aclose()
    await asyncio.wait_for(observer.aclose(), HUSH_S + 2)
    assert [event["type"] for event in gateway.inbox.events] == ["call_ended"]
    assert CLOSE_WAIT_S + DRAIN_S + HUSH_S < 10


async def test_what_fails_in_the_observer_is_not_the_agents(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise TypeError("a bug")

    monkeypatch.setattr(SessionWatch, "_agent_item", fails)
    monkeypatch.setattr(Playback, "capture", fails)
    call = Call(gateway, "Fine")
    await call.start(Greeter("Hello there"))
    await until(call.session, "conversation_item_added", lambda: bool(call.speaker.played))
    await call.agent("listening")
    await call.session.aclose()
    assert "observer_failed" in caplog.text
