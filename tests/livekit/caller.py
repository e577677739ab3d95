"""A caller in a room, driven by commands: a JSON object a line on standard input, an answer a line on standard output.

    LIVEKIT_URL=… LIVEKIT_TOKEN=… python -m tests.livekit.caller

{"do": "say", "file": WAV}       says it; answers when sample 0 and the end were spoken, and for how long the voice
                                 broke off lately, for want of a processor: {"started_at", "ended_at", "broken_s"}
{"do": "start", "file": WAV}     begins to say it; answers at once
{"do": "hear", "for_s": 2.0}     returns once the agent has been speaking for so long
{"do": "hear_nothing"}           returns once the agent is silent
{"do": "publish"}, {"do": "mute"}, {"do": "unmute"}, {"do": "leave"}
{"do": "heard"}                  when the agent was heard: {"spans": [[from, to], …]}

All instants are epoch seconds.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import sys
import time
import wave
from collections import deque
from typing import Any

import numpy as np
from livekit import rtc
from numpy.typing import NDArray

RATE = 48_000
FRAME = RATE // 100
QUEUE_MS = 100
NOISE_RMS = 4.0
"""Of int16, -78 dBFS: a line is never all zeros."""

HEARING_RATE = 16_000
LOUD_RMS = 150.0
ONSET_FRAMES = 5
QUIET_FRAMES = 70
"""10 ms each: longer than any pause in what is said here."""


class Mouth:
    """Sends 10 ms frames without a break: what is to be said, else the noise of the line."""

    def __init__(self) -> None:
        self.source = rtc.AudioSource(RATE, 1, queue_size_ms=QUEUE_MS)
        self._noise = (np.random.default_rng(7).standard_normal(RATE) * NOISE_RMS).astype(np.int16)
        self._pushed = 0
        self._zeros: deque[float] = deque(maxlen=500)  # when sample 0 was spoken, as each of the latest frames says
        self._left: NDArray[np.int16] = np.zeros(0, np.int16)
        self._said = asyncio.Event()

    async def run(self) -> None:
        while True:
            if len(self._left):
                frame, self._left = self._left[:FRAME], self._left[FRAME:]
                frame = np.pad(frame, (0, FRAME - len(frame)))
            else:
                self._said.set()
                begin = self._pushed % (RATE - FRAME)
                frame = self._noise[begin : begin + FRAME]
            await self.source.capture_frame(rtc.AudioFrame(frame.tobytes(), RATE, 1, FRAME))
            self._pushed += FRAME
            self._zeros.append(time.time() + self.source.queued_duration - self._pushed / RATE)

    def start(self, file: str) -> tuple[int, float]:
        """Begin to say it: from which sample on, and how long it is, in seconds."""
        with wave.open(file, "rb") as held:
            samples = np.frombuffer(held.readframes(held.getnframes()), np.int16)
            rate = held.getframerate()
        self._left = _upsampled(samples, rate)
        self._said.clear()
        return self._pushed, len(samples) / rate

    async def say(self, file: str) -> dict[str, float]:
        begin, length_s = self.start(file)
        await self._said.wait()
        started_at = statistics.median(self._zeros) + begin / RATE
        broken_s = max(self._zeros) - min(self._zeros)
        return {"started_at": started_at, "ended_at": started_at + length_s, "broken_s": broken_s}


def _upsampled(samples: NDArray[np.int16], rate: int) -> NDArray[np.int16]:
    resampler = rtc.AudioResampler(rate, RATE, quality=rtc.AudioResamplerQuality.VERY_HIGH)
    frames = resampler.push(rtc.AudioFrame(samples.tobytes(), rate, 1, len(samples))) + resampler.flush()
    return np.concatenate([np.frombuffer(frame.data, np.int16) for frame in frames])


class Hearing:
    """Listens to the agent."""

    def __init__(self) -> None:
        self.spans: list[list[float]] = []
        self._loud = self._quiet = 0
        self._spoken = 0
        self._changed = asyncio.Condition()

    async def listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=HEARING_RATE, num_channels=1, frame_size_ms=10)
        async for event in stream:
            samples = np.frombuffer(event.frame.data, np.int16).astype(np.float32)
            await self._take(float(np.sqrt(np.mean(samples**2))) > LOUD_RMS)

    async def _take(self, loud: bool) -> None:
        now = time.time()
        self._loud, self._quiet = (self._loud + 1, 0) if loud else (0, self._quiet + 1)
        if not self._spoken and self._loud >= ONSET_FRAMES:
            self._spoken = ONSET_FRAMES
            self.spans.append([now - 0.01 * ONSET_FRAMES, now])
        elif self._spoken:
            self._spoken += 1
            if loud:
                self.spans[-1][1] = now
            if self._quiet >= QUIET_FRAMES:
                self._spoken = 0
        async with self._changed:
            self._changed.notify_all()

    async def speech(self, for_s: float) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._spoken * 0.01 >= for_s > 0)

    async def nothing(self) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._spoken)


class Caller:
    def __init__(self) -> None:
        self._room = rtc.Room()
        self._mouth = Mouth()
        self._hearing = Hearing()
        self._tasks: set[asyncio.Task[None]] = set()
        self._track = rtc.LocalAudioTrack.create_audio_track("microphone", self._mouth.source)
        self._subscribed = asyncio.Event()
        self._room.on("track_subscribed", self._on_track)
        self._room.on("local_track_subscribed", lambda _: self._subscribed.set())

    def _on_track(self, track: rtc.Track, _: object, participant: rtc.RemoteParticipant) -> None:
        of_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        if of_agent and track.kind == rtc.TrackKind.KIND_AUDIO:
            self._spawn(self._hearing.listen(track))

    def _spawn(self, work: Any) -> None:
        self._tasks.add(asyncio.create_task(work))

    async def join(self, url: str, token: str) -> None:
        await self._room.connect(url, token)

    async def publish(self) -> None:
        self._spawn(self._mouth.run())
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(self._track, options)
        await self._subscribed.wait()

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        match command["do"]:
            case "publish":
                await self.publish()
            case "say":
                return await self._mouth.say(command["file"])
            case "start":
                self._mouth.start(command["file"])
            case "hear":
                await self._hearing.speech(command["for_s"])
            case "hear_nothing":
                await self._hearing.nothing()
            case "heard":
                return {"spans": self._hearing.spans}
            case "mute":
                self._track.mute()
            case "unmute":
                self._track.unmute()
            case "leave":
                await self._room.disconnect()
            case unknown:
                raise ValueError(f"{unknown} is no command")
        return {}


async def main() -> None:
    caller = Caller()
    await caller.join(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    print(json.dumps({"joined": True}), flush=True)
    while line := await reader.readline():
        print(json.dumps(await caller.do(json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    os._exit(0)  # the native library may panic in the interpreter's own exit
