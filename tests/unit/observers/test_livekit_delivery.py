"""Turns of a LiveKit call on their way out."""

from __future__ import annotations

import numpy as np

from mise_observer import Room, Sender
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import PENDING, PENDING_BYTES, Outbox
from mise_observer.recording import Clip
from mise_observer.switches import Switches
from mise_observer_livekit.delivery import Delivery, Place
from mise_observer_livekit.turns import Draft
from tests.unit.observers.scripted import ScriptedGateway, scripted


def delivery(gateway: ScriptedGateway, switches: Switches | None = None) -> Delivery:
    """On a clock whose zero is 1,800,000,000; Alice is PA_1."""
    sender = Sender(gateway.url, "key")
    sender.start()
    notices = Notices()
    places = {"alice": Place("PA_1", Room(name="room", sid="RM_1", participant_sid="PA_1"))}
    clock = Clock(lambda: 0.0, lambda: 1_800_000_000.0)
    return Delivery(Outbox(sender, notices, held=True), clock, switches or Switches(), places.__getitem__, notices)


def draft(text: str = "Hello", *, seconds: int = 0, refine: bool = False, whole: bool = True) -> Draft:
    sound = Clip([np.ones(24_000 * seconds, np.int16)], 24_000, 10.0, whole) if seconds else None
    return Draft("t1", "alice", "user", text, 10.0, 11.0, sound=sound, refine=refine, metadata={"a": "b"})


async def test_what_comes_before_the_call_has_an_id_is_held_and_goes_first() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        out.turn(draft("one"))
        out.event("participant_joined", 9.0, "alice", kind="sip")
        assert out.call_id is None
        out.identify("RM_1")
        out.identify("RM_2")
        out.turn(draft("two"))
        await out.drain(5.0)
    assert [(turn["call_id"], turn["text"]) for turn in gateway.turns] == [("RM_1", "one"), ("RM_1", "two")]
    (event,) = gateway.events
    assert (event["participant"], event["at"], event["data"]) == ("PA_1", 1_800_000_009.0, {"kind": "sip"})


async def test_a_turn_has_its_place_its_times_and_its_audio() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        out.identify("RM_1")
        out.turn(draft(seconds=1))
        await out.drain(5.0)
    (turn,) = gateway.turns
    assert turn["room"] == {"name": "room", "sid": "RM_1", "participant_sid": "PA_1"}
    assert (turn["started_at"], turn["ended_at"]) == (1_800_000_010.0, 1_800_000_011.0)
    assert (turn["sample_rate"], turn["channels"], turn["metadata"]) == (24_000, 1, {"a": "b"})
    assert turn["audio_b64"]


async def test_audio_that_is_switched_off_stays() -> None:
    async with scripted() as gateway:
        out = delivery(gateway, Switches(audio=False))
        out.identify("RM_1")
        out.turn(draft(seconds=1))
        await out.drain(5.0)
    assert "audio_b64" not in gateway.turns[0]


async def test_what_is_held_is_bounded() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        for number in range(PENDING + 5):
            out.turn(draft(str(number)))
        assert (out.stats.queued, out.stats.dropped_turns) == (PENDING, 5)
        out.identify("RM_1")
        await out.drain(5.0)
    assert [turn["text"] for turn in gateway.turns] == [str(number) for number in range(5, PENDING + 5)]


async def test_of_minutes_that_are_held_the_oldest_audio_goes_and_times_are_those_of_the_detection() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        minutes = PENDING_BYTES // (60 * 48_000)
        for number in range(minutes + 2):
            out.turn(draft(str(number), seconds=60, refine=True))
        assert out.stats.dropped_audio == 2
        out.identify("RM_1")
        await out.drain(20.0)
    told = [(turn["text"], "audio_b64" in turn, turn["metadata"].get("times")) for turn in gateway.turns]
    assert told[:3] == [("0", False, "vad"), ("1", False, "vad"), ("2", True, None)]
    assert len(told) == minutes + 2


async def test_what_is_not_whole_says_so() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        out.identify("RM_1")
        out.turn(draft(seconds=1, whole=False))
        await out.drain(5.0)
    (turn,) = gateway.turns
    assert turn["metadata"] == {"a": "b", "audio": "too_long"}
    assert turn["audio_b64"]


async def test_somebody_who_is_not_known_costs_only_his_own_turn() -> None:
    async with scripted() as gateway:
        out = delivery(gateway)
        out.identify("RM_1")
        out.event("participant_left", 9.0, "bob")
        out.turn(draft("one"))
        await out.drain(5.0)
    assert [turn["text"] for turn in gateway.turns] == ["one"]
    assert gateway.events == []
