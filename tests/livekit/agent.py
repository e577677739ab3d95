"""A scripted voice agent, as users write them, and a record of what it did.

    python -m tests.livekit.agent worker                      # takes jobs whose metadata is the path of a script
    python -m tests.livekit.agent direct SCRIPT               # one call without a worker or a job

Reads LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET, or for `direct` LIVEKIT_URL and LIVEKIT_TOKEN. Into the
script's folder it writes `events.jsonl` (what the session said, when) and in the end `sent.npz` (its track as it was
sent).
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from livekit import rtc
from livekit.agents import Agent, AgentServer, AgentSession, JobContext, inference
from livekit.agents.voice.avatar import DataStreamAudioOutput

from mise_observer import Limits
from mise_observer_livekit import attach
from mise_observer_livekit.session import SessionWatch
from tests.livekit.recording import Recorder
from tests.livekit.scripted import VOICE_RATE, Ears, Mind, Voice

NAME = "scripted"
SENT_RATE = 24_000
FRAME_MS = 10


@dataclass(frozen=True)
class Joined:
    """What `attach` needs of a job's context, where there is no job."""

    room: rtc.Room


class Greeter(Agent):
    def __init__(self, greeting: str | None) -> None:
        super().__init__(instructions="Say what the script says.")
        self._greeting = greeting

    async def on_enter(self) -> None:
        if self._greeting is not None:
            self.session.say(self._greeting)


class Witness:
    """Writes down what the session says and what it sends; knows nothing of observers."""

    def __init__(self, folder: Path, room: rtc.Room, session: AgentSession[Any]) -> None:
        self._folder = folder
        self._events: TextIO = (folder / "events.jsonl").open("a", buffering=1)
        self._sent = Recorder(SENT_RATE)
        self._listening: list[asyncio.Task[None]] = []
        self.closed = asyncio.Event()
        self.answers = 0
        session.on(
            "user_state_changed", lambda event: self.write("user_state", at=event.created_at, state=event.new_state)
        )
        session.on(
            "agent_state_changed", lambda event: self.write("agent_state", at=event.created_at, state=event.new_state)
        )
        session.on("user_input_transcribed", lambda event: self.write("transcribed", text=event.transcript))
        session.on("conversation_item_added", self._item)
        session.on("close", self._close)
        room.on("local_track_published", lambda _, track: self._listen(track))

    def write(self, kind: str, **values: object) -> None:
        print(json.dumps({"kind": kind, "written_at": time.time(), **values}), file=self._events)

    def _item(self, event: Any) -> None:
        if event.item.type == "message":
            item = event.item
            self.answers += item.role == "assistant"
            self.write(
                "item", role=item.role, text=item.text_content, interrupted=item.interrupted, metrics=dict(item.metrics)
            )

    def _close(self, event: Any) -> None:
        self.write("close", reason=event.reason.value)
        self.closed.set()

    def _listen(self, track: rtc.Track) -> None:
        self._listening.append(asyncio.create_task(self._record(track)))

    async def _record(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=SENT_RATE, num_channels=1, frame_size_ms=FRAME_MS)
        async for event in stream:
            self._sent.add(np.frombuffer(event.frame.data, np.int16).copy(), time.time())

    def save(self) -> None:
        for task in self._listening:
            task.cancel()
        self._sent.recording.save(self._folder / "sent.npz")
        self.write("saved")


def broken(*arguments: Any) -> None:
    """Raise, at a message, the one exception of a handler that LiveKit does not let pass: it ends the reply."""
    if arguments[-1].item.type == "message":
        raise TypeError("as asked for")


async def converse(ctx: JobContext | Joined, script: dict[str, Any]) -> tuple[Witness, list[Any]]:
    """Start the session in the room; what was attached to it."""
    session: AgentSession[Any] = AgentSession(
        stt=Ears(script["hears"]),
        llm=Mind(script["replies"]),
        tts=Voice(script["voice"]),
        vad=inference.VAD(),
        tts_text_transforms=None,
        **script["session"],
    )
    witness = Witness(Path(script["folder"]), ctx.room, session)
    attached: list[Any] = []
    if script["raises"] == "observer":
        SessionWatch._item = broken  # type: ignore[assignment, method-assign]
    if script["raises"] == "handler":
        session.on("conversation_item_added", broken)
    if (observed := script["observed"]) is not None:
        limits = Limits(**script["limits"])
        attached += [attach(session, ctx, **observed, limits=limits) for _ in range(script["observers"])]
    if script["avatar"] is not None:
        # As plugins for avatars do it, before the session starts.
        session.output.audio = DataStreamAudioOutput(
            ctx.room,
            destination_identity=script["avatar"],
            sample_rate=VOICE_RATE,
            wait_remote_track=rtc.TrackKind.KIND_VIDEO,
        )
    await session.start(agent=Greeter(script["greeting"]), room=ctx.room)
    if (successor := script["successor"]) is not None:
        ctx.room.on("participant_connected", lambda _: session.update_agent(Greeter(successor)))
    witness.write("started")
    return witness, attached


async def job(ctx: JobContext) -> None:
    """A call of a worker."""
    script = read(ctx.job.metadata)
    witness, _ = await converse(ctx, script)

    async def save() -> None:
        await witness.closed.wait()
        witness.save()

    ctx.add_shutdown_callback(save)


async def work() -> None:
    """Take jobs until SIGTERM."""
    # Neither worker nor server is to turn a call away because the machine is busy.
    server = AgentServer(host="127.0.0.1", port=0, num_idle_processes=1, load_fnc=lambda: 0.0)
    server.rtc_session(job, agent_name=NAME)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    running = asyncio.create_task(server.run())
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    await server.aclose()
    await running


async def direct(script: dict[str, Any]) -> None:
    """One call, until the session closes."""
    room = rtc.Room()
    await room.connect(os.environ["LIVEKIT_URL"], os.environ["LIVEKIT_TOKEN"])
    witness, attached = await converse(Joined(room), script)
    await witness.closed.wait()
    for observer in attached:
        await observer.aclose()
        witness.write("stats", **asdict(observer.stats))
    witness.save()
    await room.disconnect()


def read(path: str) -> dict[str, Any]:
    """A `tests.livekit.conversation.Script`."""
    script: dict[str, Any] = json.loads(Path(path).read_text())
    return script


def main(arguments: list[str]) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if arguments[0] == "worker":
        asyncio.run(work())
    else:
        asyncio.run(direct(read(arguments[1])))
        sys.stdout.flush()
        os._exit(0)  # the native library may panic in the interpreter's own exit


if __name__ == "__main__":
    main(sys.argv[1:])
