"""The delay of the jitter buffer, from what a track says of itself; a real room is in tests/livekit."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest
from bed import Microphone, World
from livekit.rtc._proto.stats_pb2 import RtcStats
from pipecat.transports.base_transport import TransportParams

from mise_observer.clock import Clock
from mise_observer.jitter import PACKET_S
from mise_observer.notices import Notices
from mise_observer_pipecat.room import RESAMPLED_S, Room


class Track:
    """Of which each sample has lain in the buffer for 60 ms."""

    def __init__(self, looked: asyncio.Event, *, broken: bool = False) -> None:
        self._looked = looked
        self._broken = broken

    async def get_stats(self) -> list[RtcStats]:
        self._looked.set()
        if self._broken:
            raise RuntimeError("the room is gone")
        audio, other = RtcStats(), RtcStats()
        audio.inbound_rtp.stream.kind = "audio"
        audio.inbound_rtp.inbound.jitter_buffer_delay = 0.06 * 48_000
        audio.inbound_rtp.inbound.jitter_buffer_emitted_count = 48_000
        other.codec.SetInParent()
        return [other, audio]


def in_a_room(track: Track) -> Microphone:
    transport = Microphone(World(), TransportParams())
    caller = SimpleNamespace(track_publications={"TR_1": SimpleNamespace(track=track)})
    transport._client = SimpleNamespace(room=SimpleNamespace(remote_participants={"caller": caller}))  # type: ignore[attr-defined]
    return transport


def watching(transport: Microphone) -> Room:
    room = Room(Clock(), Notices())
    room.watch(transport)
    return room


async def test_delay_is_that_of_the_buffer_and_of_what_the_transport_adds() -> None:
    looked = asyncio.Event()
    room = watching(in_a_room(Track(looked)))
    await looked.wait()
    await asyncio.sleep(0)
    assert room.delay_s("caller", 0.0) == pytest.approx(0.06 + PACKET_S + RESAMPLED_S)
    assert room.delay_s("somebody else", 0.0) == 0.0
    room.close()


async def test_transport_without_a_room_has_no_delay() -> None:
    room = watching(Microphone(World(), TransportParams()))
    assert room.delay_s("caller", 0.0) == 0.0
    room.close()


async def test_track_that_tells_nothing_is_one_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    looked = asyncio.Event()
    with caplog.at_level(logging.WARNING, "mise_observer"):
        room = watching(in_a_room(Track(looked, broken=True)))
        await looked.wait()
        await asyncio.sleep(0)
    assert room.delay_s("caller", 0.0) == 0.0
    assert [line.split()[0] for line in caplog.messages] == ["observer_failed"]
    room.close()
