"""A remote participant's audio as it comes off the wire: before gain control, and also when no session listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from livekit import rtc
from livekit.agents import vad

from mise_observer.clock import Clock
from mise_observer.jitter import Jitter, Look
from mise_observer.notices import Notices
from mise_observer.recording import Recording, mono

SAMPLE_RATE = 24_000
FRAME_MS = 50
QUEUED = 400
"""Frames that wait while the host holds its loop, 20 s; then the oldest go."""

LOOK_EVERY_S = 0.5
"""The buffer changes its delay by 5 to 30 ms from turn to turn (measured)."""


class Heard(Protocol):
    """Where a participant is heard: on a track of the room (`Ear`), or at the input of a session without a room
    (`InputTap`).
    """

    @property
    def recording(self) -> Recording: ...

    def delay_s(self, at: float) -> float | None:
        """How long what arrived then was under way; None when nobody knows."""

    @property
    def over(self) -> bool:
        """Whether nothing more will be heard."""

    async def close(self) -> None: ...


class Ear:
    """Hears one track until `close`; `recording` is what it heard, on the call's clock.

    wanted : whether speech is to be found in it (the session does that for the participant it is linked to).
    detector : makes the stream that finds it; when that fails, no more speech is found, and the ear goes on.
    on_started, on_stopped : get when.
    """

    def __init__(
        self,
        track: rtc.Track,
        clock: Clock,
        wanted: Callable[[], bool],
        detector: Callable[[], vad.VADStream],
        on_started: Callable[[float], None],
        on_stopped: Callable[[float], None],
        notices: Notices,
    ) -> None:
        self.recording = Recording(SAMPLE_RATE)
        self._jitter = Jitter()
        self._notices = notices
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
        self._speaking = False
        self._detects = True
        self._listening: asyncio.Task[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Listen until the track ends."""
        self._listening = self._spawn(self._listen())

    def delay_s(self, at: float) -> float | None:
        return self._jitter.delay_s(at)

    @property
    def over(self) -> bool:
        return self._listening is not None and self._listening.done()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="mise-observer-ear")
        self._tasks.append(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._notices.warn("observer_failed", "ear", error=type(error).__name__)

    async def _listen(self) -> None:
        looking = self._spawn(self._look())
        try:
            async for event in self._stream:
                self.recording.append(mono(bytes(event.frame.data), 1), self._clock.now())
                if self._detects and self._wanted():
                    self._detect(event.frame)
                else:
                    self._hush()
        finally:
            looking.cancel()
            self._hush()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            if self._speech is not None:
                await self._speech.aclose()
        finally:
            await self._stream.aclose()

    def _detect(self, frame: rtc.AudioFrame) -> None:
        try:
            if self._speech is None:
                self._speech = self._detector()
                self._spawn(self._follow(self._speech))
            self._speech.push_frame(frame)
        except Exception as error:
            self._detect_no_more(error)

    async def _follow(self, speech: vad.VADStream) -> None:
        try:
            async for event in speech:
                now = self._clock.now()
                if event.type == vad.VADEventType.START_OF_SPEECH:
                    self._speaking = True
                    self._on_started(now - event.speech_duration - event.inference_duration)
                elif event.type == vad.VADEventType.END_OF_SPEECH:
                    self._speaking = False
                    self._on_stopped(now - event.silence_duration - event.inference_duration)
        except Exception as error:
            self._detect_no_more(error)

    def _detect_no_more(self, error: Exception) -> None:
        if self._detects:
            self._detects = False
            self._notices.warn("observer_failed", "detector", error=type(error).__name__)
            self._hush()

    def _hush(self) -> None:
        """End a speech of which no end will be found: the track is over, or the session listens from now on."""
        if self._speaking:
            self._speaking = False
            self._on_stopped(self._clock.now())

    async def _look(self) -> None:
        while True:
            try:
                for stats in await self.track.get_stats():
                    if stats.WhichOneof("stats") == "inbound_rtp":
                        inbound = stats.inbound_rtp.inbound
                        look = Look(
                            self._clock.now(), inbound.jitter_buffer_delay, int(inbound.jitter_buffer_emitted_count)
                        )
                        self._jitter.note(look)
            except Exception as error:  # the next look may do better
                self._notices.warn("observer_failed", "stats", error=type(error).__name__)
            await asyncio.sleep(LOOK_EVERY_S)
