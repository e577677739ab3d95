"""A call: a room, a scripted agent in it, callers, and what was seen of it."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from pipeline.gateway import keys
from pipeline.storage.blobs import Blobs
from tests.integration.live import WORKSPACE, Live, Row, running
from tests.integration.waiting import until
from tests.livekit.conversation import Observed, Samples, Script
from tests.livekit.processes import Caller, calling, spawn, stop
from tests.livekit.recording import Recording
from tests.livekit.relay import Relay, relaying
from tests.livekit.room_server import KEY, SECRET, RoomServer, serving

OBSERVERS = Path("observers")
REGISTERED_WITHIN_S = 60.0
"""Importing LiveKit takes 3 s on an idle machine."""
ENDS_WITHIN_S = 20.0
ROWS_WITHIN_S = 30.0

AGENT_NAME = "scripted"
AGENT_IDENTITY = "agent"
"""Of one that joins by itself."""

RATES = (8_000, 16_000, 24_000, 48_000)
_numbers = itertools.count(1)


def python_of(environment: str, platform: str = "livekit") -> Path:
    """The interpreter with the newest, or the lowest, livekit-agents or pipecat-ai."""
    return OBSERVERS / platform / f".venv-{environment}" / "bin" / "python"


@dataclass(frozen=True)
class Stack:
    """All that runs in the namespace for the whole session."""

    live: Live
    server: RoomServer
    relay: Relay
    folder: Path

    @property
    def observed(self) -> Observed:
        key = str(self.live.http.headers["Authorization"]).removeprefix("Bearer ")
        return Observed(str(self.live.http.base_url), key)


@asynccontextmanager
async def stacked(folder: Path) -> AsyncIterator[Stack]:
    """Gateway, Kafka, stages, ClickHouse and the LiveKit server, whose webhooks go to the gateway."""
    data = folder / "live"
    data.mkdir()
    async with running(data) as live:
        keys.add_livekit(live.settings.keys_file(), KEY, SECRET, workspace=WORKSPACE, name="tests")
        with relaying(str(live.http.base_url)) as relay:
            async with serving(Path(os.environ["LIVEKIT_SERVER"]), folder, relay.url) as server:
                yield Stack(live, server, relay, folder)


@dataclass(frozen=True)
class Worker:
    """A worker that takes jobs."""

    environment: str
    log_file: Path


@asynccontextmanager
async def working(stack: Stack, environment: str) -> AsyncIterator[Worker]:
    """A worker; in the end it must stop cleanly."""
    log_file = stack.folder / f"worker-{environment}.log"
    process = await spawn(
        [str(python_of(environment)), "-m", "tests.livekit.agent", "worker"], log_file, stack.server.environ
    )
    try:

        async def registered() -> bool:
            assert process.returncode is None, f"the worker has ended; its log is {log_file}"
            return "registered worker" in log_file.read_text()

        assert await until(registered, within_s=REGISTERED_WITHIN_S), f"no worker; its log is {log_file}"
        yield Worker(environment, log_file)
    finally:
        status = await stop(process)
    assert status == 0, f"the worker ended with {status}; its log is {log_file}"


@dataclass
class Call:
    """A call that runs, or has run."""

    stack: Stack
    environment: str
    room: str
    folder: Path
    sid: str = ""

    # --- while it runs

    @asynccontextmanager
    async def caller(self, name: str = "caller", *, publishes: bool = True, **claims: object) -> AsyncIterator[Caller]:
        """Somebody who joins. claims : further ones of his token, as `kind` and `attributes`."""
        environ = self.stack.server.joining(self.room, f"{self.room}-{name}", **claims)
        async with calling(python_of(self.environment), self.folder, environ, name) as caller:
            self.sid = self.sid or await self.stack.server.sid(self.room)
            if publishes:
                await caller.do("publish")
            yield caller

    @asynccontextmanager
    async def avatar(self, identity: str) -> AsyncIterator[None]:
        """Somebody who joins to speak for the agent."""
        attributes = {"lk.publish_on_behalf": AGENT_IDENTITY}
        environ = self.stack.server.joining(self.room, identity, kind="agent", attributes=attributes)
        command = [str(python_of(self.environment)), "-m", "tests.livekit.avatar", AGENT_IDENTITY]
        process = await spawn(command, self.folder / "avatar.log", environ)
        try:
            yield
        finally:
            await stop(process, within_s=1.0)

    @property
    def events(self) -> list[Row]:
        """What the session said until now."""
        file = self.folder / "events.jsonl"
        return [msgspec.json.decode(line) for line in file.read_bytes().splitlines()] if file.exists() else []

    def told(self, kind: str, **values: object) -> list[Row]:
        """The events of this kind, with these values."""
        return [e for e in self.events if e["kind"] == kind and all(e[name] == value for name, value in values.items())]

    async def until_told(self, kind: str, **values: object) -> Row:
        async def told() -> list[Row]:
            return self.told(kind, **values)

        found = await until(told, within_s=ENDS_WITHIN_S)
        assert found, f"the agent has told no {kind} {values}; {self.folder} has its log"
        return found[0]

    async def until_logged(self, words: str) -> None:
        """Return when the agent's log holds these words."""

        async def logged() -> bool:
            return words in (self.folder / "agent.log").read_text()

        assert await until(logged, within_s=ENDS_WITHIN_S), f"{words} is not in the log in {self.folder}"

    # --- afterwards

    async def observed_events(self) -> list[Row]:
        """The call events that the observer has sent, without the webhooks'."""
        await self.stack.live.read()
        found = await self.stack.live.events(self.sid)
        return [event for event in found if event["data"].get("source") != "livekit"]

    @property
    def sent(self) -> Recording:
        """The agent's track as it was sent."""
        return Recording.load(self.folder / "sent.npz")

    async def turns(self, count: int) -> list[Row]:
        """The rows of its turns, in order of their start, once there are so many."""
        return await until(
            lambda: self.stack.live.turns(self.sid), lambda rows: len(rows) >= count, within_s=ROWS_WITHIN_S
        )

    async def audio(self, turn: Row) -> tuple[Samples, int]:
        """The samples of a turn, and their rate in Hz."""
        data = await Blobs(self.stack.live.settings.blobs()).get(turn["audio_blob"])
        assert data is not None
        samples = np.frombuffer(data, np.int16)
        # What lies after the turn's end is not measured, so it is about that rate.
        return samples, min(RATES, key=lambda rate: abs(len(samples) / rate - turn["duration_s"]))


@asynccontextmanager
async def dispatched(stack: Stack, worker: Worker, **script: Any) -> AsyncIterator[Call]:
    """A call with an agent that a worker sends into the room, by explicit dispatch."""
    call, path = _prepared(stack, worker.environment, script)
    await stack.server.dispatch(call.room, AGENT_NAME, str(path))
    yield call


@asynccontextmanager
async def direct(stack: Stack, environment: str = "newest", **script: Any) -> AsyncIterator[Call]:
    """A call with an agent that joins by itself, without a job; it ends with its session, and must end well."""
    command = [str(python_of(environment)), "-m", "tests.livekit.agent", "direct"]
    async with _by_itself(stack, environment, command, {}, script) as call:
        yield call


@asynccontextmanager
async def with_pipecat(stack: Stack, **script: Any) -> AsyncIterator[Call]:
    """A call with a Pipecat agent, which ends when the caller leaves, and must end well."""
    command = [str(python_of("newest", "pipecat")), "-m", "tests.livekit.pipecat_agent"]
    async with _by_itself(stack, "newest", command, stack.server.environ, script) as call:
        yield call


@asynccontextmanager
async def _by_itself(
    stack: Stack, environment: str, command: list[str], environ: dict[str, str], script: dict[str, Any]
) -> AsyncIterator[Call]:
    call, path = _prepared(stack, environment, script)
    process = await spawn(
        [*command, str(path)],
        call.folder / "agent.log",
        environ | stack.server.joining(call.room, AGENT_IDENTITY, kind="agent"),
    )
    try:
        yield call
        async with asyncio.timeout(ENDS_WITHIN_S):
            status = await process.wait()
        assert status == 0, f"the agent ended with {status}; its log is in {call.folder}"
    finally:
        await stop(process, within_s=1.0)


def _prepared(stack: Stack, environment: str, script: dict[str, Any]) -> tuple[Call, Path]:
    room = f"room-{next(_numbers)}"
    folder = (stack.folder / room).resolve()
    call = Call(stack, environment, room, folder)
    asked = Script(folder=str(folder), **{"observed": stack.observed, **script})
    return call, asked.write()


def seconds(instant: Any) -> float:
    """Epoch seconds of an instant of a row, which is in UTC and has no zone."""
    return float((np.datetime64(instant, "us") - np.datetime64(0, "us")) / np.timedelta64(1, "s"))
