"""`mise-voice dead-letters`: what is sent again arrives once, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from deploy import dead_letters
from deploy.connected import connected
from deploy.dead_letters import LetterId, handle
from deploy.services import _environ
from pipeline.kafka.send import Outgoing, send_all
from schemas.codec import encode
from schemas.identity import record_key
from schemas.topics import DEAD_LETTERS, DEAD_LETTERS_HANDLED, MEASURED, RECEIVED, TopicSpec
from tests.integration.conversation import turn
from tests.integration.live import WORKSPACE, Live
from tests.integration.waiting import until
from tests.records import T0, measured, received_turn

NARROW = 64


class Ran(NamedTuple):
    status: int | None
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        return [msgspec.json.decode(line) for line in self.out.splitlines()]


class Killed(BaseException):
    """Stands for the end of the process."""


async def command(live: Live, *arguments: str) -> Ran:
    """`mise-voice dead-letters …`, with nobody there to be asked."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "deploy.cli", "dead-letters", *arguments),
        env={**os.environ, **_environ(live.settings), "COLUMNS": "400"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    out, err = await process.communicate()
    return Ran(process.returncode, out.decode(), err.decode())


async def listed(live: Live, call_id: str, *arguments: str) -> list[Any]:
    ran = await command(live, "list", "--json", "--call", call_id, *arguments)
    assert ran.status == 0, ran.err
    return ran.objects


async def one_letter(live: Live, since: int) -> LetterId:
    """The id of the one letter that is written from this offset on."""
    assert len(await until(lambda: live.dead_letters(since))) == 1
    return LetterId(0, since)


async def end(live: Live) -> int:
    return (await live.ends(DEAD_LETTERS))[0]


@asynccontextmanager
async def narrow_texts(live: Live) -> AsyncIterator[None]:
    """A table of turns that takes no text of more than NARROW bytes, for the length of the block."""
    for statement in (
        "CREATE TABLE narrow AS turn_rows",
        f"ALTER TABLE narrow MODIFY COLUMN text FixedString({NARROW})",
        "EXCHANGE TABLES narrow AND turn_rows",
    ):
        live.clickhouse.command(statement)
    try:
        yield
    finally:
        live.clickhouse.command("EXCHANGE TABLES narrow AND turn_rows")
        live.clickhouse.command("INSERT INTO turn_rows SELECT * FROM narrow")
        live.clickhouse.command("DROP TABLE narrow")


async def test_rejected_row_is_retried_once_it_is_mended_and_arrives_once(live: Live, call_id: str) -> None:
    since = await live.dead_letters_end()  # whatever other tests sent has room in the table
    text = f"{call_id} " + "and so on " * NARROW
    async with narrow_texts(live):
        await live.turn(turn(call_id, 0) | {"text": text})
        await live.turn(turn(call_id, 2))  # they do not touch
        letter = await one_letter(live, since)
        assert [row["turn_id"] for row in await until(lambda: live.turns(call_id))] == ["t002"]
    (found,) = await listed(live, call_id, "--stage", "sink", "--reason", "row_rejected")
    assert (found["id"], found["status"], found["exception"]) == (str(letter), "open", "Refused < DatabaseError")
    assert (found["workspace"], found["source_topic"]) == (WORKSPACE, "turns.annotated")

    shown = await command(live, "show", str(letter))
    assert msgspec.json.decode(shown.out)["record"]["measured"]["turn"]["text"] == text
    table = await command(live, "list", "--call", call_id)
    assert all(word in table.out for word in (str(letter), "row_rejected", call_id, "open"))

    asked = await command(live, "retry", "--call", call_id)
    assert (asked.status, "Retry 1 dead letters (1 row_rejected)?" in asked.err) == (1, True), asked
    assert [entry["status"] for entry in await listed(live, call_id)] == ["open"]

    for arguments, says in (
        (("--call", call_id), "retried: 1\n"),
        (("--call", call_id), "retried: 0\n"),
        ((str(letter),), f"{letter} is retried already; --all takes it once more\nretried: 0\n"),
        ((str(letter), "--all"), "retried: 1\n"),
    ):
        assert await command(live, "retry", "--yes", *arguments) == Ran(0, "", says)
    await live.read()
    assert [row["turn_id"] for row in await until(lambda: live.turns(call_id))] == ["t000", "t002"]
    assert len(await live.rows("SELECT * FROM turns WHERE text = {text:String}", text=text)) == 1
    assert await end(live) == since + 1
    assert await listed(live, call_id) == []
    assert [entry["status"] for entry in await listed(live, call_id, "--all")] == ["retried"]


@pytest.mark.parametrize("topic", [RECEIVED, MEASURED], ids=["features", "calls"])
async def test_kill_between_sending_and_marking_repeats_and_changes_no_row(
    live: Live, call_id: str, topic: TopicSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record whose time is not known when it is read first, and is when it is sent again."""
    since = await live.dead_letters_end()
    received = received_turn(workspace=WORKSPACE, call_id=call_id, received=time.time_ns() // 10**6 - T0)
    value = encode(received if topic == RECEIVED else measured(received))
    key = record_key(WORKSPACE, call_id)
    put = await live.producer.send_and_wait(topic.name, value, key=key, timestamp_ms=1_000)
    letter = await one_letter(live, since)

    async def killed(sender: AIOKafkaProducer, records: Iterable[Outgoing]) -> None:
        records = list(records)
        if records[0].topic == DEAD_LETTERS_HANDLED.name:
            raise Killed
        await send_all(sender, records)

    async def retry() -> int:
        async with connected(live.settings) as consumer:
            return await handle(live.settings, consumer, [letter], "retried")

    with monkeypatch.context() as patched:
        patched.setattr(dead_letters, "send_all", killed)
        with pytest.raises(Killed):
            await retry()
    assert [entry["status"] for entry in await listed(live, call_id)] == ["open"]
    rows = await until(lambda: live.turns(call_id))
    assert len(rows) == 1

    assert await retry() == 1
    assert (await live.ends(topic))[put.partition] == put.offset + 3, "into the partition that it was read from"
    await live.read()
    assert await live.turns(call_id) == rows
    assert (await live.summary(call_id))["turns"] == 1
    assert await end(live) == since + 1
    assert await listed(live, call_id) == []


async def test_record_that_is_still_poison_becomes_a_new_letter_and_both_are_dropped(live: Live, call_id: str) -> None:
    since = await live.dead_letters_end()
    key = record_key(WORKSPACE, call_id)
    put = await live.producer.send_and_wait(RECEIVED.name, b"\xff no \x9b JSON", key=key)
    letter = await one_letter(live, since)
    shown = msgspec.json.decode((await command(live, "show", str(letter))).out)
    assert ("record" in shown, shown["value"]) == (False, "/yBubyCbIEpTT04=")
    assert (await command(live, "retry", "--yes", str(letter))).err == "retried: 1\n"
    (first, second) = await until(lambda: live.dead_letters(since), lambda found: len(found) == 2)
    assert (first.source_offset, second.source_offset) == (put.offset, put.offset + 1)
    assert (second.key, second.value, second.source_partition) == (key, first.value, put.partition)
    assert [entry["id"] for entry in await listed(live, call_id)] == [f"0:{since + 1}"]
    assert (await command(live, "drop", "--yes", "--call", call_id)).err == "dropped: 1\n"
    assert [entry["status"] for entry in await listed(live, call_id, "--all")] == ["retried", "dropped"]


async def test_letter_that_is_not_there_is_an_error(live: Live) -> None:
    for arguments in (("show", "0:99999"), ("retry", "0:99999", "--yes")):
        ran = await command(live, *arguments)
        assert (ran.status, ran.err) == (
            1,
            "mise-voice: no dead letter 0:99999; see which there are with `list --all`\n",
        )
    ran = await command(live, "drop", "99999")
    assert (ran.status, "name it PARTITION:OFFSET" in ran.err) == (1, True)
