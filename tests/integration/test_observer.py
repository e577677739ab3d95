"""What an observer sends arrives, whatever happens to the gateway and to the observer's own process."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mise_observer import Audio, CallEvent, Left, Sender, SpokenWord, Stats, Turn
from tests.integration.live import BACK_WITHIN_S, Live
from tests.integration.waiting import until

RATE = 16_000

CHILD = """
import asyncio, sys
from pathlib import Path
from mise_observer import Audio, Limits, Sender, Turn

url, folder, call_id, began = sys.argv[1:]

async def main():
    async with Sender(url, "key", spool=Path(folder), limits=Limits(queue_bytes=400_000, batch_turns=2)) as sender:
        for number in range(20):
            sender.send(
                Turn(
                    call_id=call_id, turn_id=str(number), participant="caller", role="user", text=f"number {number}",
                    started_at=float(began) + number, ended_at=float(began) + number + 0.5,
                    audio=Audio(data=bytes(16_000), format="pcm_s16le", sample_rate=16_000),
                )
            )
        while sender.stats.spooled < 4:
            await asyncio.sleep(0.01)
        print(sender.stats.spooled, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
"""Sends to nobody until half of it is on disk, says so, and waits for its end."""


@pytest.fixture
def key(live: Live) -> str:
    return str(live.http.headers["Authorization"]).removeprefix("Bearer ")


@pytest.fixture
def url(live: Live) -> str:
    return str(live.http.base_url)


def spoken(call_id: str, number: int, began: float) -> Turn:
    """A turn of half a second, a tone."""
    at = np.arange(RATE // 2) / RATE
    samples = (8_000 * np.sin(2 * np.pi * (150 + 10 * number) * at)).astype("<i2")
    starts = began + number
    return Turn(
        call_id=call_id,
        turn_id=str(number),
        participant="caller",
        role="user",
        text=f"number {number}",
        started_at=starts,
        ended_at=starts + 0.5,
        words=[SpokenWord("number", starts, starts + 0.3)],
        audio=Audio(data=samples.tobytes(), format="pcm_s16le", sample_rate=RATE),
        metadata={"from": "observer"},
    )


async def test_turns_with_audio_are_visible(live: Live, key: str, url: str, call_ids: Callable[[], str]) -> None:
    call_id = f"{call_ids()}/with a slash"
    began = time.time() - 60
    async with Sender(url, key) as sender:
        for number in range(5):
            sender.send(spoken(call_id, number, began))
        sender.send(CallEvent(call_id=call_id, type="transfer", at=began + 6, data={"to": "desk"}))
        assert await sender.aclose(30) == Left()
    assert sender.stats == Stats(sent=6)
    rows = await until(lambda: live.turns(call_id), lambda rows: len(rows) == 5)
    assert [(row["turn_id"], row["text"]) for row in rows] == [(str(number), f"number {number}") for number in range(5)]
    assert [row["not_measured_reason"] for row in rows] == [None] * 5
    assert len({row["audio_blob"] for row in rows}) == 5
    (event,) = await until(lambda: live.events(call_id))
    assert event["type"] == "transfer"


async def test_bad_turn_is_refused_with_the_gateways_reason(
    live: Live, key: str, url: str, call_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.time() - 60
    bad = Turn(
        call_id=call_id, participant="+49 30 1234567", role="user", text="", started_at=began, ended_at=began + 1
    )
    async with Sender(url, key) as sender:
        sender.send(bad)
        sender.send(spoken(call_id, 1, began))
        assert await sender.aclose(30) == Left()
    assert sender.stats == Stats(sent=1, refused=1)
    assert "reason='personal_data' field='participant'" in caplog.text
    assert len(await until(lambda: live.turns(call_id))) == 1


async def test_unknown_key_ends_it(live: Live, url: str, call_id: str, caplog: pytest.LogCaptureFixture) -> None:
    async with Sender(url, "unknown") as sender:
        sender.send(spoken(call_id, 0, time.time() - 60))
        assert await sender.aclose(30) == Left()
    assert (sender.stats.sent, sender.stats.dropped_turns) == (0, 1)
    assert "key_not_accepted" in caplog.text
    assert await live.turns(call_id) == []


async def test_gateway_away_and_back(live: Live, key: str, url: str, call_id: str) -> None:
    began = time.time() - 60
    async with Sender(url, key) as sender:
        before = live.send("gateway", signal.SIGKILL)
        for number in range(3):
            sender.send(spoken(call_id, number, began))
        await live.back("gateway", before)
        sender.send(spoken(call_id, 3, began))
        assert await sender.aclose(BACK_WITHIN_S) == Left()
    assert sender.stats.sent == 4
    rows = await until(lambda: live.turns(call_id), lambda rows: len(rows) == 4)
    assert [row["turn_id"] for row in rows] == ["0", "1", "2", "3"]
    assert [row["not_measured_reason"] for row in rows] == [None] * 4


async def test_spool_survives_kill_9(live: Live, key: str, url: str, call_id: str, tmp_path: Path) -> None:
    began = time.time() - 60
    nobody = "http://127.0.0.1:9"  # discard: nobody listens there
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, nobody, str(tmp_path), call_id, str(began), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    spooled = int(await child.stdout.readline())
    child.kill()
    assert await child.wait() == -signal.SIGKILL
    async with Sender(url, key, spool=tmp_path) as sender:
        assert await sender.aclose(30) == Left()
    assert sender.stats == Stats(sent=sender.stats.sent)
    assert sender.stats.sent >= spooled
    rows = await until(lambda: live.turns(call_id), lambda rows: len(rows) == sender.stats.sent)
    assert len(rows) == sender.stats.sent
    assert {row["not_measured_reason"] for row in rows} == {None}
