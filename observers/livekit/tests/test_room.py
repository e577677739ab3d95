"""Participants of a room: what is kept of them, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pytest
from livekit import rtc
from livekit.agents import vad

from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer.recording import Recording
from mise_observer_livekit import room as room_module
from mise_observer_livekit.delivery import Delivery
from mise_observer_livekit.ears import SAMPLE_RATE, Ear
from mise_observer_livekit.people import AGENT, REMEMBERED, USER, People
from mise_observer_livekit.room import EARS, KEEP_BYTES, KEEP_S, RoomWatch
from mise_observer_livekit.speeches import Committed
from mise_observer_livekit.turns import BEFORE_S, Draft

SECOND_BYTES = 2 * SAMPLE_RATE


@dataclass
class Named:
    """A remote participant."""

    identity: str
    sid: str = "PA_remote"
    kind: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    joined_at: None = None
    disconnect_reason: int | None = None


@dataclass(eq=False)
class Track:
    kind: int = rtc.TrackKind.KIND_AUDIO


@dataclass
class Publication:
    source: int = rtc.TrackSource.SOURCE_MICROPHONE


class Fellow(rtc.EventEmitter[str]):
    """A room, as far as it is looked at before it is connected."""

    local_participant = Named("agent")


class Listener:
    """An ear that hears what the test tells it."""

    made: list[Listener]

    def __init__(self, track: rtc.Track, *_: object, **__: object) -> None:
        self.track = track
        self.recording = Recording(SAMPLE_RATE)
        self.over = False
        self.closed = False
        self.made.append(self)

    def start(self) -> None:
        pass

    def delay_s(self, _: float) -> float | None:
        return 0.0

    async def close(self) -> None:
        self.closed = True


class Sink:
    def __init__(self) -> None:
        self.turns: list[Draft] = []
        self.events: list[tuple[object, ...]] = []
        self.reasons: list[object] = []

    def turn(self, draft: Draft) -> None:
        self.turns.append(draft)

    def event(self, kind: str, _: float, who: str | None = None, /, **data: object) -> None:
        self.events.append((kind, who))
        if kind == "participant_left":
            self.reasons.append(data["reason"])


class Call:
    """A room on a clock that the test moves; the session listens to `linked`."""

    def __init__(self, linked: str | None = None) -> None:
        self.now = 0.0
        notices = Notices()
        self.room, self.sink = Fellow(), Sink()
        clock = Clock(lambda: self.now, lambda: 0.0)
        self.watch = RoomWatch(
            cast(rtc.Room, self.room), People(), clock, Guard(notices), notices, linked=lambda: linked
        )
        self.watch.open(cast(Delivery, self.sink))

    def track(self, who: str) -> Listener:
        self.room.emit("track_subscribed", Track(), Publication(), Named(who))
        return Listener.made[-1]

    def leave(self, who: str, reason: int | None = None) -> None:
        self.room.emit("participant_disconnected", Named(who, disconnect_reason=reason))

    def run(self, seconds: float, *heard: Listener) -> None:
        """Time goes by; these hear somebody."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.5
            for ear in heard:
                ear.recording.append(np.full(SAMPLE_RATE // 2, 1_000, np.int16), self.now)
            self.watch.settle()

    def say(self, who: str, seconds: float, ear: Listener) -> None:
        self.watch.send(who, self.watch.voice(who).speeches.started(self.now))
        self.run(seconds, ear)
        self.watch.voice(who).speeches.stopped(self.now)


@pytest.fixture(autouse=True)
def listeners(monkeypatch: pytest.MonkeyPatch) -> list[Listener]:
    """All that were made."""
    Listener.made = []
    monkeypatch.setattr(room_module, "Ear", Listener)
    return Listener.made


@pytest.mark.parametrize("identity", ["agent", "user"])
async def test_participant_who_is_called_like_one_of_ours_is_himself(identity: str) -> None:
    notices, people = Notices(), People()
    room = RoomWatch(None, people, Clock(), Guard(notices), notices, lambda: None)
    people.see(Named(identity))
    assert room.place_of(identity).sid == "PA_remote"
    assert [room.place_of(key).sid for key in (AGENT, USER)] == ["agent", "user"]


@pytest.mark.parametrize("linked", ["ann", None])
async def test_of_who_has_left_nothing_is_kept_once_his_last_turn_is_sent(
    linked: str | None, listeners: list[Listener]
) -> None:
    call = Call(linked)
    for _ in range(3):
        ear = call.track("ann")
        call.run(5, ear)
        ear.over = True
    call.say("ann", 4, ear)
    call.leave("ann")
    assert call.watch.heard_bytes > 9 * SECOND_BYTES
    call.run(2 * KEEP_S)
    await call.watch.close()
    assert call.watch.heard_bytes == 0
    assert [one.closed for one in listeners] == [True, True, True]
    (turn,) = call.sink.turns
    assert turn.sound is not None
    assert turn.sound.nbytes == pytest.approx((4 + BEFORE_S) * SECOND_BYTES, rel=0.01)
    assert call.sink.events == [("participant_joined", "ann"), ("participant_left", "ann")]


async def test_who_connects_anew_is_heard_to_the_end_of_the_word_in_which_he_was_away() -> None:
    call = Call("ann")
    before = call.track("ann")
    call.run(3, before)
    call.watch.send("ann", call.watch.voice("ann").speeches.started(call.now))
    call.run(3, before)
    call.leave("ann")
    before.over = True
    call.run(KEEP_S - 1)
    after = call.track("ann")
    call.run(KEEP_S + 1, after)
    await asyncio.sleep(0)
    assert not before.closed
    call.watch.voice("ann").speeches.stopped(call.now)
    call.run(KEEP_S + 1, after)
    (turn,) = call.sink.turns
    assert (turn.started_at, turn.ended_at) == (3.0, 26.0)
    assert call.sink.events.count(("participant_joined", "ann")) == 2
    call.run(1, after)
    await asyncio.sleep(0)
    assert (before.closed, after.closed) == (True, False)


@pytest.mark.parametrize(("linked", "kept_s"), [("ann", 100.0), (None, KEEP_S)])
async def test_of_silence_no_more_is_kept_than_a_detector_needs(linked: str | None, kept_s: float) -> None:
    call = Call(linked)
    call.run(100, call.track("ann"))
    assert call.watch.heard_bytes == pytest.approx(kept_s * SECOND_BYTES, abs=1.5 * SECOND_BYTES)


async def test_a_track_too_many_is_let_go_of() -> None:
    call = Call("ann")
    ears = [call.track("ann") for _ in range(EARS + 2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [ear.closed for ear in ears] == [True, True, *[False] * EARS]


async def test_what_is_kept_is_bounded_however_many_speak(caplog: pytest.LogCaptureFixture) -> None:
    call = Call()
    ears = [call.track(f"p{number}") for number in range(20)]
    for number in range(20):
        call.watch.send(f"p{number}", call.watch.voice(f"p{number}").speeches.started(0.0))
    call.run(90, *ears)
    assert KEEP_BYTES - SECOND_BYTES < call.watch.heard_bytes <= KEEP_BYTES
    assert "audio_given_up" in caplog.text
    call.watch.finish()
    assert {turn.metadata["audio"] for turn in call.sink.turns} == {"too_long"}


async def test_room_is_made_without_looking_at_everybody_for_every_second(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    began_at = room_module._began_at

    def counted(recording: Recording) -> float:
        nonlocal looked
        looked += 1
        return began_at(recording)

    monkeypatch.setattr(room_module, "_began_at", counted)
    call = Call()
    ears = [call.track(f"p{number}") for number in range(50)]
    for number in range(len(ears)):
        call.watch.send(f"p{number}", call.watch.voice(f"p{number}").speeches.started(0.0))
    for second in range(40):
        for ear in ears:
            ear.recording.append(np.zeros(SAMPLE_RATE, np.int16), second + 1.0)
    given_up = -((KEEP_BYTES - call.watch.heard_bytes) // SECOND_BYTES)
    call.watch.settle()
    assert call.watch.heard_bytes <= KEEP_BYTES
    assert {ear.recording.span[0] for ear in ears if ear.recording.span} == {12.0, 13.0}
    assert looked == len(ears) + given_up


async def test_people_who_come_and_go_are_forgotten(listeners: list[Listener]) -> None:
    call = Call("ann")
    call.track("ann")
    for number in range(2 * REMEMBERED):
        call.track(f"p{number}")
        call.leave(f"p{number}")
        call.run(0.5)
    assert call.watch.place_of("ann").sid == "PA_remote"
    assert call.watch.place_of("p0").sid == "user"
    assert call.watch.place_of(f"p{2 * REMEMBERED - 1}").sid == "PA_remote"
    call.run(2 * KEEP_S)
    await asyncio.sleep(0)
    assert [ear.closed for ear in listeners] == [False] + 2 * REMEMBERED * [True]


async def test_why_somebody_left_is_a_number_where_it_has_no_name() -> None:
    call = Call("ann")
    for reason in (None, rtc.DisconnectReason.CLIENT_INITIATED, 999):
        call.track("ann")
        call.leave("ann", reason)
    assert call.sink.reasons == [None, "client_initiated", "999"]


async def test_a_turn_that_is_committed_late_is_sent_again_as_it_was() -> None:
    call = Call("ann")
    ear = call.track("ann")
    call.run(5, ear)
    call.say("ann", 2, ear)
    call.watch.voice("ann").speeches.final("Where is it?", call.now)
    call.run(200, ear)
    (sent,) = call.sink.turns
    committed = call.watch.voice("ann").speeches.committed(Committed("Where is it?", 5.1, 7.1), call.now)
    call.watch.send("ann", committed)
    again = call.sink.turns[1]
    assert (again.turn_id, again.started_at, again.ended_at) == (sent.turn_id, 5.0, 7.0)
    assert again.sound is sent.sound
    assert sent.sound is not None
    assert sent.sound.nbytes == pytest.approx((2 + BEFORE_S + 0.2) * SECOND_BYTES, rel=0.01)
    assert (sent.metadata, again.metadata) == ({"uncommitted": "true"}, {})


async def test_words_that_come_when_their_turn_was_sent_are_sent_with_it() -> None:
    call = Call("ann")
    ear = call.track("ann")
    call.say("ann", 2, ear)
    call.run(11, ear)
    call.watch.send("ann", call.watch.voice("ann").speeches.final("Where is it?", call.now, "en"))
    first, again = call.sink.turns
    assert (first.text, again.text, again.language) == ("", "Where is it?", "en")
    assert (first.turn_id, first.sound, first.metadata) == (again.turn_id, again.sound, {"uncommitted": "true"})


class Flaky:
    """A local track, heard as a remote one is, whose statistics fail at first."""

    def __init__(self, track: rtc.Track) -> None:
        self.asked = 0
        self.again = asyncio.Event()
        self._track = track

    def __getattr__(self, name: str) -> Any:
        return getattr(self._track, name)

    async def get_stats(self) -> list[object]:
        self.asked += 1
        if self.asked == 3:
            self.again.set()
        raise RuntimeError("no statistics")


async def test_statistics_that_fail_are_asked_for_again_and_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mise_observer_livekit.ears.LOOK_EVERY_S", 0.0)
    source = rtc.AudioSource(48_000, 1)
    track = Flaky(rtc.LocalAudioTrack.create_audio_track("voice", source))
    nothing: Callable[[float], None] = lambda _: None  # noqa: E731
    ear = Ear(cast(rtc.Track, track), Clock(), lambda: False, pytest.fail, nothing, nothing, Notices())
    ear.start()
    await asyncio.wait_for(track.again.wait(), 10)
    assert not ear.over
    await ear.close()
    await source.aclose()
    assert caplog.text.count("observer_failed") == 1


class Dies(vad.VADStream):
    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            raise RuntimeError("inference failed")


class Mortal(vad.VAD):
    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.05))

    def stream(self) -> vad.VADStream:
        return Dies(self)


def no_detector() -> vad.VADStream:
    raise OSError("no model")


@pytest.mark.parametrize(("detector", "error"), [(no_detector, "OSError"), (Mortal().stream, "RuntimeError")])
async def test_a_detector_that_fails_costs_no_audio_and_is_told_once(
    detector: Callable[[], vad.VADStream], error: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = rtc.AudioSource(48_000, 1)
    track = rtc.LocalAudioTrack.create_audio_track("voice", source)
    nothing: Callable[[float], None] = lambda _: None  # noqa: E731
    ear = Ear(track, Clock(), lambda: True, detector, nothing, nothing, Notices())
    ear.start()
    frame = rtc.AudioFrame(np.full(480, 1_000, np.int16).tobytes(), 48_000, 1, 480)

    async def heard(seconds: float) -> None:
        while ear.recording.nbytes < seconds * SECOND_BYTES:
            await source.capture_frame(frame)

    await asyncio.wait_for(heard(0.5), 10)
    assert not ear.over
    await ear.close()
    await source.aclose()
    assert caplog.text.count(error) == 1
