"""`mise-voice tail`: what is shown is what arrives, from the moment it says so."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from deploy.services import _environ
from pipeline.kafka.send import Outgoing, send_all
from schemas.topics import RECEIVED
from tests.integration.conversation import turn
from tests.integration.live import Live
from tests.records import T0


@asynccontextmanager
async def tailing(live: Live, *arguments: str) -> AsyncIterator[Process]:
    """`mise-voice tail …`, listening."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.cli", "tail", *arguments),
        env={**os.environ, **_environ(live.settings), "COLUMNS": "80"},
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stderr is not None
    try:
        first = await process.stderr.readline()
        assert first == b"listening\n", first + await process.stderr.read()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_shows_what_arrives_from_now_on(live: Live, call_ids: Callable[[], str]) -> None:
    call_id, other = call_ids(), call_ids()
    await live.turn(turn(call_id, 0))  # before
    async with tailing(live, "--call", call_id, "--json", "--count", "3") as process:
        await live.turn(turn(other, 1))
        await live.turn(turn(call_id, 1))
        # Neither is a record of ours, and neither ends it.
        await send_all(live.producer, [Outgoing(RECEIVED.name, 0, b"k", b"no turn", T0)])
        await live.event(call_id, {"type": "call_ended", "at": T0 / 1000, "event_id": "e"})
        await live.turn(turn(call_id, 2))
        out, err = await process.communicate()
    shown = [msgspec.json.decode(line) for line in out.splitlines()]
    assert [(each["call_id"], each.get("turn_id", each.get("event_id"))) for each in shown] == [
        (call_id, "t001"),
        (call_id, "e"),
        (call_id, "t002"),
    ]
    assert process.returncode == 0, err
    assert err.startswith(b"turns.received: ")


async def test_readable_lines_until_ctrl_c(live: Live, call_id: str) -> None:
    async with tailing(live, "--role", "agent") as process:
        assert process.stdout is not None
        await live.turn(turn(call_id, 1) | {"text": f"a line longer than the terminal is wide: {'word ' * 20}"})
        shown = (await process.stdout.readline()).decode()
        assert f"  {call_id}  b (agent)  0.9 s, no audio: a line" in shown
        assert shown.rstrip().endswith("word")
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (130, b"")
