"""A remote participant's audio as it comes off the wire: before gain control, and also when no session listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
from livekit import rtc
from livekit.agents import vad

from mise_observer.clock import Clock
from mise_observer_livekit.jitter import Jitter, Look
from mise_observer_livekit.ring import Ring

SAMPLE_RATE = 24_000
FRAME_MS = 50
QUEUED = 400
"""Frames that wait while the host holds its loop, 20 s; then the oldest go."""

LOOK_EVERY_S = 0.5
"""The buffer changes its delay by 5 to 30 ms from turn to turn (measured)."""


class Ear:
    """Hears one track until `close`; `ring` and `jitter` are what it heard, on the call's clock.

    wanted : whether speech is to be found in it (the session does that for the participant it is linked to).
    detector : makes the stream that finds it. on_started, on_stopped : get when.
    """

    def __init__(
        self,
        track: rtc.Track,
        clock: Clock,
        wanted: Callable[[], bool],
        detector: Callable[[], vad.VADStream],
        on_started: Callable[[float], None],
        on_stopped: Callable[[float], None],
    ) -> None:
        self.ring = Ring(SAMPLE_RATE)
        self.jitter = Jitter()
        self.track = track
        self._clock = clock
        self._wanted = wanted
        self._detector = detector
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._stream = rtc.AudioStream.from_track(
            track=track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=FRAME_MS, capacity=QUEUED
        )
        self._speech: vad.VADStream | None = None
        self._detecting: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    async def listen(self) -> None:
        """Until the track ends."""
        self._looking = asyncio.create_task(self._look(), name="mise-observer-jitter")
        try:
            async for event in self._stream:
                self.ring.append(np.frombuffer(bytes(event.frame.data), np.int16), self._clock.now())
                if self._wanted():
                    self._detect(event.frame)
        finally:
            self._looking.cancel()

    async def close(self) -> None:
        for task in (self._looking, self._detecting):
            if task is not None:
                task.cancel()
        if self._speech is not None:
            await self._speech.aclose()
        await self._stream.aclose()

    def _detect(self, frame: rtc.AudioFrame) -> None:
        if self._speech is None:
            self._speech = self._detector()
            self._detecting = asyncio.create_task(self._follow(self._speech), name="mise-observer-vad")
        self._speech.push_frame(frame)

    async def _follow(self, speech: vad.VADStream) -> None:
        async for event in speech:
            now = self._clock.now()
            if event.type == vad.VADEventType.START_OF_SPEECH:
                self._on_started(now - event.speech_duration - event.inference_duration)
            elif event.type == vad.VADEventType.END_OF_SPEECH:
                self._on_stopped(now - event.silence_duration - event.inference_duration)

    async def _look(self) -> None:
        while True:
            for stats in await self.track.get_stats():
                if stats.WhichOneof("stats") == "inbound_rtp":
                    inbound = stats.inbound_rtp.inbound
                    look = Look(
                        self._clock.now(), inbound.jitter_buffer_delay, int(inbound.jitter_buffer_emitted_count)
                    )
                    self.jitter.note(look)
            await asyncio.sleep(LOOK_EVERY_S)
