"""Processes of a call, each with a log of its own; none outlives the block that started it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from deploy.embedded.tether import tethered
from tests.livekit.conversation import Speech

STOPS_WITHIN_S = 15.0
"""LiveKit gives a job 10 s for its shutdown."""

ANSWERS_WITHIN_S = 40.0
"""Longer than anything a caller waits for; then the call has gone wrong."""


async def spawn(command: list[str], log_file: Path, environ: Mapping[str, str], *, talks: bool = False) -> Process:
    """Start it in a session of its own, so that all it starts can be ended with it. talks : over its pipes."""
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *tethered(command),
            stdin=PIPE if talks else asyncio.subprocess.DEVNULL,
            stdout=PIPE if talks else output,
            stderr=output if talks else STDOUT,
            env={**os.environ, **environ},
            start_new_session=True,
        )


async def stop(process: Process, *, within_s: float = STOPS_WITHIN_S) -> int:
    """SIGTERM, then SIGKILL to it and all it has started; its exit status."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(within_s):
            return await process.wait()
    except TimeoutError:
        return -signal.SIGKILL
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class Said(NamedTuple):
    """When the first and the last sample of something were spoken, epoch seconds.

    broken_s : for how long the voice broke off meanwhile, or shortly before: the machine was too busy to speak.
    """

    started_at: float
    ended_at: float
    broken_s: float


class Caller:
    """The other end of `tests.livekit.caller`."""

    def __init__(self, process: Process, folder: Path) -> None:
        self.process = process
        self._folder = folder

    async def do(self, what: str, **arguments: object) -> Any:
        """Have it do something; its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": what, **arguments}).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(ANSWERS_WITHIN_S):
            line = await self.process.stdout.readline()
        assert line, f"the caller has ended; its log is in {self._folder}"
        return json.loads(line)

    async def says(self, speech: Speech) -> Said:
        """Have it say this."""
        return Said(**await self.do("say", file=str(speech.write(self._folder))))

    async def starts(self, speech: Speech) -> None:
        """Have it begin to say this."""
        await self.do("start", file=str(speech.write(self._folder)))

    async def hears(self, for_s: float = 0.3) -> None:
        """Return when the agent has been speaking for so long."""
        await self.do("hear", for_s=for_s)

    async def hears_nothing(self) -> None:
        """Return when the agent is silent."""
        await self.do("hear_nothing")


@asynccontextmanager
async def calling(python: Path, folder: Path, environ: Mapping[str, str], name: str) -> AsyncIterator[Caller]:
    """A caller who has joined."""
    process = await spawn([str(python), "-m", "tests.livekit.caller"], folder / f"{name}.log", environ, talks=True)
    try:
        caller = Caller(process, folder)
        assert await caller.answer() == {"joined": True}
        yield caller
    finally:
        await stop(process, within_s=1.0)
