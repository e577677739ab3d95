"""How long people's audio lay in the jitter buffer, where the transport is a room of LiveKit's."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from pipecat.processors.frame_processor import FrameProcessor

from mise_observer.clock import Clock
from mise_observer.jitter import Jitter, Look
from mise_observer.notices import Notices

if TYPE_CHECKING:
    from livekit import rtc

LOOK_EVERY_S = 0.5
"""The buffer changes its delay by 5 to 30 ms from turn to turn (measured)."""

RESAMPLED_S = 0.01
"""By how much the transport's bringing 48 kHz to the pipeline's rate delays audio at least (measured for 16 kHz)."""


class Room:
    """Looks at the buffers of everybody in the room, from `watch` to `close`; elsewhere it does nothing."""

    def __init__(self, clock: Clock, notices: Notices) -> None:
        self._clock = clock
        self._notices = notices
        self._jitters: defaultdict[str, Jitter] = defaultdict(Jitter)
        self._looking: asyncio.Task[None] | None = None
        self._known = False

    def watch(self, transport: FrameProcessor) -> None:
        """Take the room of this transport, if it has one; the first transport is the one."""
        if self._known:
            return
        self._known = True
        # Pipecat's API gives it to nobody; a transport that keeps it elsewhere than that of 1.14 has none.
        room = getattr(getattr(transport, "_client", None), "room", None)
        if room is not None and hasattr(room, "remote_participants"):
            self._looking = asyncio.create_task(self._look(room), name="mise-observer-room")

    def delay_s(self, user_id: str, at: float) -> float:
        """Between a user's microphone and here, without the network's part; 0 where nobody knows."""
        jitter = self._jitters.get(user_id)
        delay_s = None if jitter is None else jitter.delay_s(at)
        return 0.0 if delay_s is None else delay_s + RESAMPLED_S

    def close(self) -> None:
        """The call is over."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, room: rtc.Room) -> None:
        while True:
            try:
                for user_id, participant in list(room.remote_participants.items()):
                    for publication in list(participant.track_publications.values()):
                        if publication.track is not None:
                            await self._look_at(user_id, publication.track)
            except Exception as error:
                self._notices.warn("observer_failed", "room", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look_at(self, user_id: str, track: rtc.RemoteTrack) -> None:
        for stats in await track.get_stats():
            if stats.WhichOneof("stats") == "inbound_rtp" and stats.inbound_rtp.stream.kind == "audio":
                inbound = stats.inbound_rtp.inbound
                self._jitters[user_id].note(
                    Look(self._clock.now(), inbound.jitter_buffer_delay, int(inbound.jitter_buffer_emitted_count))
                )
