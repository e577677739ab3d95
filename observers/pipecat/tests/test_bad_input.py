"""What goes wrong around the observer: the call goes on as it would without it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import pytest
from bed import FRAME, RATE, USER_ID, Call, call, clip, observed_by
from pipecat.frames.frames import EndFrame, InputAudioRawFrame, TranscriptionFrame
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.turns.user_mute.always_user_mute_strategy import AlwaysUserMuteStrategy
from scripted import Row, ScriptedGateway, answer

from mise_observer import Stats
from mise_observer_pipecat import MiseObserver
from mise_observer_pipecat.watch import Watch

GREETING = clip(3)


async def listen(made: Call) -> None:
    """Hear the greeting to its end; then the call ends as it should."""
    await made.world.agent_has_spoken(0, GREETING.bounds[1])
    await made.world.silence(0.3)
    await made.worker.queue_frame(EndFrame(reason="done"))


async def ask(made: Call) -> None:
    """Speak to an agent that says nothing unasked, and hear its answer."""
    await made.world.silence(0.5)
    await made.world.say(clip(11))
    await made.world.agent_has_spoken(0, GREETING.bounds[1])
    await made.world.silence(0.3)
    await made.worker.queue_frame(EndFrame())


def observer(gateway: ScriptedGateway, **options: object) -> MiseObserver:
    return MiseObserver(gateway.url, "mv_key", call_id="a-call", **options)  # type: ignore[arg-type]


async def test_agent_without_greeting(gateway: ScriptedGateway) -> None:
    await call(observed_by([observer(gateway)]), [[GREETING]], greets=False).run(ask)
    assert [(turn["role"], turn["text"]) for turn in by_start(gateway)] == [
        ("user", clip(11).text),
        ("agent", GREETING.text),
    ]


def by_start(gateway: ScriptedGateway) -> list[Row]:
    return sorted(gateway.turns, key=lambda turn: float(turn["started_at"]))


@pytest.mark.parametrize("status", [401, 413, 429, 500])
async def test_gateway_that_refuses_changes_nothing_in_the_call(gateway: ScriptedGateway, status: int) -> None:
    gateway.always = answer(status, reason="scripted")
    watching = observer(gateway, flush_within_s=0.5)
    made = call(observed_by([watching]), [[GREETING]])
    await made.run(listen)
    (played,) = made.world.played
    assert played.ended_at - played.started_at == pytest.approx(len(GREETING.samples) / RATE, abs=0.03)
    assert gateway.requests
    assert watching.stats.sent == 0


async def test_gateway_that_is_away_delays_the_end_by_no_more_than_was_allowed_when_the_line_is_closed(
    gateway: ScriptedGateway,
) -> None:
    gateway.always = answer(503)
    watching = observer(gateway, flush_within_s=0.4)
    made = call(observed_by([watching]), [[GREETING]])
    await made.run(listen)
    assert 0.4 <= time.monotonic() - made.world.hung_up_at < 1.4
    assert watching.stats.dropped_turns == 1


async def test_pipeline_that_never_starts_sends_nothing(gateway: ScriptedGateway) -> None:
    never = observer(gateway)
    call(observed_by([never]), [[GREETING]])
    assert never.stats == Stats()
    await never.cleanup()
    assert gateway.requests == []


class Straggler(BaseObserver):
    """Has a processor push a transcription when the worker is done, and hands no frames to observers any more."""

    source: FrameProcessor

    async def on_push_frame(self, data: FramePushed) -> None:
        self.source = data.source

    async def cleanup(self) -> None:
        await self.source.push_frame(TranscriptionFrame("One more thing.", USER_ID, ""))


async def test_frame_that_waits_when_the_worker_is_done_counts(gateway: ScriptedGateway) -> None:
    await call(observed_by([Straggler(), observer(gateway)]), [[GREETING]]).run(listen)
    assert [turn["text"] for turn in by_start(gateway)] == [GREETING.text, "One more thing."]


async def test_second_observer_of_a_worker_says_so_and_does_nothing(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "mise_observer"):
        await call(observed_by([observer(gateway), observer(gateway)]), [[GREETING]]).run(listen)
    assert len(gateway.turns) == 1
    assert [event["type"] for event in gateway.events].count("call_ended") == 1
    assert [record.message.split()[0] for record in caplog.records] == ["observed_twice"]


async def test_observer_for_another_key_sends_everything_there_too(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    other = MiseObserver(gateway.url, "mv_other", call_id="a-call")
    with caplog.at_level(logging.WARNING, "mise_observer"):
        await call(observed_by([observer(gateway), other]), [[GREETING]]).run(listen)
    keys = {request.headers["Authorization"] for request in gateway.requests if request.turns}
    assert keys == {"Bearer mv_key", "Bearer mv_other"}
    assert caplog.records == []


async def test_next_worker_is_observed_as_well(gateway: ScriptedGateway) -> None:
    for _ in range(2):
        await call(observed_by([observer(gateway)]), [[GREETING]]).run(listen)
    assert len(gateway.turns) == 2


async def test_observer_of_a_worker_that_is_done_says_that_it_observes_no_other(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    again = observer(gateway)
    with caplog.at_level(logging.WARNING, "mise_observer"):
        for _ in range(2):
            await call(observed_by([again]), [[GREETING]]).run(listen)
    assert len(gateway.turns) == 1
    (line,) = caplog.messages
    assert "make one for each worker" in line


@pytest.mark.parametrize("step_s", [-7_200, 7_200])
async def test_clock_that_is_set_in_mid_call_moves_no_turn(
    gateway: ScriptedGateway, set_clock: Callable[[float], None], step_s: float
) -> None:
    epoch = time.time() - time.monotonic()

    async def ask_while_the_clock_is_set(made: Call) -> None:
        set_clock(step_s)
        await ask(made)

    made = call(observed_by([observer(gateway)]), [[GREETING]], greets=False)
    await made.run(ask_while_the_clock_is_set)
    user, agent = gateway.turns
    assert user["started_at"] - epoch == pytest.approx(made.world.spoken[0].started_at, abs=0.05)
    assert agent["started_at"] - epoch == pytest.approx(made.world.played[0].started_at, abs=0.02)


async def test_user_whom_pipecat_mutes_is_no_turn(gateway: ScriptedGateway) -> None:
    async def speak_over(made: Call) -> None:
        await made.world.agent_has_spoken(0, 0.2)
        await made.world.say(clip(3))
        await made.world.agent_has_spoken(0, clip(1).bounds[1])
        await made.world.silence(1.0)
        await made.worker.queue_frame(EndFrame())

    mute = AlwaysUserMuteStrategy()  # type: ignore[no-untyped-call]
    await call(observed_by([observer(gateway)]), [[clip(1)]], mutes=[mute]).run(speak_over)
    assert [turn["role"] for turn in gateway.turns] == ["agent"]


async def test_muted_track_ends_the_turn_and_the_next_one_is_where_it_was(gateway: ScriptedGateway) -> None:
    epoch = time.time() - time.monotonic()

    async def mute_between(made: Call) -> None:
        await made.world.silence(0.5)
        await made.world.say(clip(9))
        await made.world.silence(5.0)  # it sounds incomplete: smart turn waits 3 s for more
        made.world.muted = True
        await made.world.silence(3.0)
        made.world.muted = False
        await made.world.silence(0.5)
        await made.world.say(clip(9))
        await made.world.silence(2.0)
        await made.worker.queue_frame(EndFrame())

    made = call(observed_by([observer(gateway)]), [], greets=False)
    await made.run(mute_between)
    users = by_start(gateway)
    assert [turn["role"] for turn in users] == ["user", "user"]
    for turn, spoken in zip(users, made.world.spoken, strict=True):
        assert turn["started_at"] - epoch == pytest.approx(spoken.started_at, abs=0.05)
        assert turn["ended_at"] - epoch == pytest.approx(spoken.ended_at, abs=0.05)


@pytest.mark.parametrize("audio", [b"", b"\x01", bytes(2 * FRAME + 1)])
async def test_frames_without_whole_samples_are_harmless(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture, audio: bytes
) -> None:
    async def push_them(made: Call) -> None:
        for _ in range(20):
            await made.worker.queue_frame(InputAudioRawFrame(audio, RATE, 1))
        await listen(made)

    with caplog.at_level(logging.WARNING, "mise_observer"):
        await call(observed_by([observer(gateway)]), [[GREETING]]).run(push_them)
    assert [turn["text"] for turn in gateway.turns] == [GREETING.text]
    assert caplog.records == []


async def test_what_fails_inside_is_one_line_in_the_log(
    gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    watching = observer(gateway)

    def fail(_watch: Watch, data: FramePushed) -> None:
        raise TypeError(f"a bug, told of {type(data.frame).__name__}")

    monkeypatch.setattr(Watch, "observe", fail)
    made = call(observed_by([watching]), [[GREETING]])
    with caplog.at_level(logging.WARNING, "mise_observer"):
        await made.run(listen)
    assert made.world.played[0].ended_at - made.world.played[0].started_at == pytest.approx(0.34, abs=0.03)
    said = [record.message for record in caplog.records]
    assert any("observer_failed" in line and "InputAudioRawFrame" in line for line in said)
    assert len(said) == len(set(said))


async def test_switches(gateway: ScriptedGateway) -> None:
    without = observer(gateway, audio=False, redact=str.upper)
    await call(observed_by([without]), [[GREETING]]).run(listen)
    silent = observer(gateway, text=False)
    await call(observed_by([silent]), [[GREETING]]).run(listen)
    first, second = gateway.turns
    assert (first["text"], "audio_b64" in first) == (GREETING.text.upper(), False)
    assert (second["text"], "audio_b64" in second) == ("", True)
    assert gateway.events[-1]["data"] == {"reason": "not told"}


async def test_address_that_is_none_is_one_line_in_the_log_and_the_call_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "mise_observer"):
        watching = MiseObserver("voice.example.com", "mv_key")
        made = call(observed_by([watching]), [[GREETING]])
        await made.run(listen)
    assert len(made.world.played) == 1
    assert watching.stats == Stats()
    (line,) = caplog.messages
    assert line.startswith("not_observed ")
    assert "'voice.example.com' is no address of a gateway" in line


def test_call_id_is_made_when_it_is_not_given() -> None:
    first, second = (MiseObserver("http://voice.example.com", "mv_key").call_id for _ in range(2))
    assert first
    assert first != second
