"""Many calls in one process, for `bench.livekit`; runs with the interpreter of observers/livekit.

    python -m bench.crowd agents PLAN       # an agent in each room, all in this process; prints what that took
    python -m bench.crowd callers PLAN      # a caller in each room, all in this one

PLAN is a file: {"url", "rooms": [{"agent": token, "caller": token, "script": path}, …], "file": what callers say,
"seconds": how long they do}.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from livekit import rtc

from tests.livekit.agent import Joined, converse, read
from tests.livekit.caller import Mouth

PERIOD_S = 7.0
"""A turn of 2.7 s, an answer of 2.7 s, and what is between."""


async def agents(plan: dict[str, Any]) -> None:
    """Be in all rooms; measure while callers talk, from when all sessions run."""
    rooms = [rtc.Room() for _ in plan["rooms"]]
    for room, entry in zip(rooms, plan["rooms"], strict=True):
        await room.connect(plan["url"], entry["agent"])
    calls = [
        await converse(Joined(room), read(entry["script"])) for room, entry in zip(rooms, plan["rooms"], strict=True)
    ]
    print(json.dumps({"ready": True}), flush=True)
    wall, cpu = time.monotonic(), time.process_time()
    await asyncio.sleep(plan["seconds"])
    found = {
        "wall_s": time.monotonic() - wall,
        "cpu_s": time.process_time() - cpu,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "answers": sum(witness.answers for witness, _ in calls),
    }
    sent = sum(observer.stats.sent for _, attached in calls for observer in attached)
    print(json.dumps({**found, "sent": sent}), flush=True)


async def callers(plan: dict[str, Any]) -> None:
    """Say the same again and again, each in his own room, begun one after another; then leave."""

    async def call(number: int, token: str) -> None:
        room, mouth = rtc.Room(), Mouth()
        await room.connect(plan["url"], token, rtc.RoomOptions(auto_subscribe=False))
        track = rtc.LocalAudioTrack.create_audio_track("microphone", mouth.source)
        speaking = asyncio.create_task(mouth.run())
        microphone = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await room.local_participant.publish_track(track, microphone)
        begun = time.monotonic()
        await asyncio.sleep(PERIOD_S * number / len(plan["rooms"]))
        while time.monotonic() < begun + plan["seconds"]:  # agents measure a little less long
            await mouth.say(plan["file"])
            await asyncio.sleep(PERIOD_S - 2.7)
        await room.disconnect()
        speaking.cancel()

    await asyncio.gather(*(call(number, entry["caller"]) for number, entry in enumerate(plan["rooms"])))


def main(role: str, plan_file: str) -> None:
    plan = json.loads(Path(plan_file).read_text())
    asyncio.run({"agents": agents, "callers": callers}[role](plan))
    sys.stdout.flush()
    os._exit(0)  # the native library may panic in the interpreter's own exit


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
