"""Many calls in one process, for `bench.livekit`; runs with the interpreter of observers/livekit.

    python -m bench.crowd agents PLAN       # an agent in each room, all in this process; prints what that took
    python -m bench.crowd callers PLAN      # a caller in each room, all in this one
    python -m bench.crowd alone PLAN        # as many agents without rooms, and their callers; prints what that took

PLAN is a file: {"url", "rooms": [{"agent": token, "caller": token, "script": path}, …], "file": what callers say,
"seconds": how long that is measured}.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
import wave
from pathlib import Path
from typing import Any

import numpy as np
from fakes import Microphone, Speaker
from livekit import rtc
from livekit.agents import Agent, AgentSession
from numpy.typing import NDArray

from mise_observer_livekit import Observer, attach
from tests.livekit.agent import Joined, read
from tests.livekit.scripted import Ears, Mind, Voice

PERIOD_S = 7.0
"""A turn of 2.7 s, an answer of 2.7 s, and what is between."""
NOISE_RMS = 4.0
"""Of int16, -78 dBFS: a line is never all zeros."""
FRAME_S = 0.1
QUEUE_MS = 300


async def agents(plan: dict[str, Any]) -> None:
    """Be in all rooms; measure from when all callers can be heard."""
    rooms = [rtc.Room() for _ in plan["rooms"]]
    for room, entry in zip(rooms, plan["rooms"], strict=True):
        await room.connect(plan["url"], entry["agent"])
    heard: asyncio.Queue[None] = asyncio.Queue()
    crowd = Crowd()
    for room, entry in zip(rooms, plan["rooms"], strict=True):
        room.on("track_subscribed", lambda *_: heard.put_nowait(None))
        await crowd.start(read(entry["script"]), room)
    print(json.dumps({"ready": True}), flush=True)
    for _ in rooms:
        await heard.get()
    print(json.dumps(await crowd.measure(plan["seconds"])), flush=True)


async def alone(plan: dict[str, Any]) -> None:
    """Run sessions without rooms, whose callers are here as well; measure."""
    line, rate = _line(plan["file"])
    crowd = Crowd()

    async def call(microphone: Microphone, at: int) -> None:
        while True:
            await microphone.hear(np.roll(line, -at))

    async with asyncio.TaskGroup() as talking:
        calls = []
        for number, entry in enumerate(plan["rooms"]):
            microphone = Microphone(rate)
            await crowd.start(read(entry["script"]), microphone=microphone)
            calls.append(talking.create_task(call(microphone, len(line) * number // len(plan["rooms"]))))
        print(json.dumps(await crowd.measure(plan["seconds"])), flush=True)
        for each in calls:
            each.cancel()


class Crowd:
    """The sessions of this process, and what was attached to them."""

    def __init__(self) -> None:
        self._sessions: list[AgentSession[Any]] = []
        self._observers: list[Observer] = []
        self._answers = 0

    async def start(
        self, script: dict[str, Any], room: rtc.Room | None = None, *, microphone: Microphone | None = None
    ) -> None:
        """Another session: in a room, or with this microphone and a speaker that nobody hears."""
        # The recogniser finds the turns: so many detectors of voice activity are as many models, which fill the core.
        session: AgentSession[Any] = AgentSession(
            stt=Ears(script["hears"]),
            llm=Mind(script["replies"]),
            tts=Voice(script["voice"]),
            vad=None,
            turn_handling={"turn_detection": "stt"},
            tts_text_transforms=None,
        )
        session.on("agent_state_changed", self._state)
        if room is None:
            session.input.audio, session.output.audio = microphone, Speaker()
        if (observed := script["observed"]) is not None:
            ctx = Joined(room) if room is not None else None
            call_id = None if room is not None else f"alone-{len(self._sessions)}"
            self._observers.append(attach(session, ctx, **observed, call_id=call_id))
        self._sessions.append(session)
        agent = Agent(instructions="Say what the script says.")
        await (session.start(agent) if room is None else session.start(agent, room=room))

    def _state(self, event: Any) -> None:
        self._answers += event.new_state == "speaking"

    @property
    def _sent(self) -> int:
        return sum(observer.stats.sent for observer in self._observers)

    async def measure(self, seconds: float) -> dict[str, float]:
        """What this process takes for so long."""
        begun, cpu, answers, sent = time.monotonic(), time.process_time(), self._answers, self._sent
        await asyncio.sleep(seconds)
        return {
            "wall_s": time.monotonic() - begun,
            "cpu_s": time.process_time() - cpu,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "answers": self._answers - answers,
            "sent": self._sent - sent,
        }


def _line(file: str) -> tuple[NDArray[np.int16], int]:
    """A period of what a caller's line carries, and its rate."""
    with wave.open(file, "rb") as held:
        rate = held.getframerate()
        said = np.frombuffer(held.readframes(held.getnframes()), np.int16)
    line = (np.random.default_rng(7).standard_normal(round(PERIOD_S * rate)) * NOISE_RMS).astype(np.int16)
    line[: len(said)] += said
    return line, rate


async def callers(plan: dict[str, Any]) -> None:
    """Say the same again and again, each in his own room, begun one after another, until ended."""
    line, rate = _line(plan["file"])
    step = round(FRAME_S * rate)
    rooms: list[rtc.Room] = []

    async def talk(source: rtc.AudioSource, at: int) -> None:
        while True:  # the source takes a frame when the ones before are under way
            frame = np.take(line, range(at, at + step), mode="wrap")
            await source.capture_frame(rtc.AudioFrame(frame.tobytes(), rate, 1, step))
            at += step

    async with asyncio.TaskGroup() as talking:
        for number, entry in enumerate(plan["rooms"]):
            room, source = rtc.Room(), rtc.AudioSource(rate, 1, queue_size_ms=QUEUE_MS)
            await room.connect(plan["url"], entry["caller"])
            # Each is at another place of the same line.
            talking.create_task(talk(source, len(line) * number // len(plan["rooms"])))
            track = rtc.LocalAudioTrack.create_audio_track("microphone", source)
            microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
            await room.local_participant.publish_track(track, microphone)
            rooms.append(room)  # one that nobody holds is left


def main(role: str, plan_file: str) -> None:
    plan = json.loads(Path(plan_file).read_text())
    asyncio.run({"agents": agents, "callers": callers, "alone": alone}[role](plan))
    sys.stdout.flush()
    os._exit(0)  # the native library may panic in the interpreter's own exit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
