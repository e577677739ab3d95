"""A stage that could read nothing any more stops, stays stopped, and is let go on: on a Kafka of the test's own."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from uuid import uuid4

import msgspec
import pytest
from aiokafka import TopicPartition

from agents.app import group_id
from agents.delivery import EXIT_FAILED
from deploy.embedded.kafka import running_kafka
from pipeline.dead_letter_limit import IN_A_ROW
from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.partition import read_to_end
from pipeline.kafka.send import Outgoing, send_all
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from schemas.codec import encode
from schemas.dead_letter import DeadLetter
from schemas.identity import record_key
from schemas.topics import DEAD_LETTERS, DEAD_LETTERS_COUNTS, MEASURED, RECEIVED
from tests.integration.waiting import until
from tests.records import T0, received_turn

GOOD = encode(received_turn())
POISON = b'{"record":"turn","of":"a newer version"}'

ENDS_WITHIN_S = 60.0
"""Of a worker that starts, reads, and stops; the rest is for a busy machine."""


@pytest.fixture
async def settings(tmp_path: Path) -> AsyncIterator[Settings]:
    """Of a Kafka whose topics are empty, with one partition each."""
    async with running_kafka(tmp_path / "kafka") as kafka:
        settings = Settings(
            kafka_brokers=kafka.config.bootstrap, kafka_partitions=1, data_dir=tmp_path, features_processes=1
        )
        await create_topics(settings)
        yield settings


async def test_stage_stops_at_the_limit_stays_stopped_and_is_resumed(settings: Settings) -> None:
    await put(settings, [GOOD] + [POISON] * (IN_A_ROW - 1))
    async with worker(settings) as features:
        assert await until(lambda: committed(settings), lambda offset: offset == IN_A_ROW) == IN_A_ROW
        assert await letters(settings) == [*range(1, IN_A_ROW)]
        await put(settings, [POISON, GOOD])
        # The count was of another batch, and after a restart it is of another process.
        line = await stopped(features)
    assert (line["stage"], line["topic"], line["partition"], line["offset"]) == (
        "features",
        RECEIVED.name,
        0,
        IN_A_ROW,
    )
    assert (line["in_a_row"], line["dead"], line["reasons"]) == (IN_A_ROW, IN_A_ROW, {"invalid": IN_A_ROW})
    assert "mise-voice dead-letters resume features" in line["todo"]
    async with worker(settings) as features:
        assert (await stopped(features))["offset"] == IN_A_ROW
    assert await committed(settings) == IN_A_ROW
    assert await letters(settings) == [*range(1, IN_A_ROW)]

    resumed = await command(settings, "resume", "features")
    assert resumed.endswith("limits of 1 partitions count anew; it goes on when it starts again\n")
    async with worker(settings):
        assert await until(lambda: committed(settings), lambda offset: offset == IN_A_ROW + 2) == IN_A_ROW + 2
    assert await letters(settings) == [*range(1, IN_A_ROW + 1)]
    assert await measured(settings) == 2


async def test_batch_that_is_too_much_sends_no_letter_and_all_of_it_may_be_let_pass(settings: Settings) -> None:
    count = 3 * IN_A_ROW
    await put(settings, [POISON] * count + [GOOD])
    for _ in range(2):
        async with worker(settings) as features:
            assert (await stopped(features))["offset"] == IN_A_ROW - 1
    assert await letters(settings) == []
    await command(settings, "resume", "features", "--to-end")
    async with worker(settings):
        assert await until(lambda: committed(settings), lambda offset: offset == count + 1) == count + 1
    assert await letters(settings) == [*range(count)]


async def test_stage_whose_topics_were_not_migrated_says_so(settings: Settings) -> None:
    client = admin(settings)
    await client.start()
    await client.delete_topics([DEAD_LETTERS_COUNTS.name])
    await client.close()
    await put(settings, [GOOD])
    async with worker(settings) as features:
        async with asyncio.timeout(ENDS_WITHIN_S):
            assert await features.process.wait() == EXIT_FAILED
    assert f"Kafka lacks {DEAD_LETTERS_COUNTS.name}; create the topics with `mise-voice migrate`" in (
        features.log.read_text()
    )


async def test_count_that_nobody_can_read_stops_no_stage(settings: Settings) -> None:
    async with producer(settings, client_id="tests") as sender:
        await send_all(sender, [Outgoing(DEAD_LETTERS_COUNTS.name, 0, b"poison", b"\xff no count", T0)])
    await put(settings, [POISON, GOOD])
    async with worker(settings) as features:
        assert await until(lambda: committed(settings), lambda offset: offset == 2) == 2
        assert "count_unreadable" in features.log.read_text()
    assert await letters(settings) == [0]


class Worker(NamedTuple):
    process: Process
    log: Path


@asynccontextmanager
async def worker(settings: Settings) -> AsyncIterator[Worker]:
    """The features stage as a process, ended at the end of the block."""
    # Into a file: nobody reads a pipe while the test waits for something else.
    log = settings.data_dir / f"{uuid4()}.log"
    with log.open("wb") as err:
        process = await started(settings, "worker", "features", err=err)
    try:
        yield Worker(process, log)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def stopped(worker: Worker) -> dict[str, Any]:
    """The line in which the stage says why it has stopped, once it has, as it should."""
    async with asyncio.timeout(ENDS_WITHIN_S):
        status = await worker.process.wait()
    err = worker.log.read_bytes()
    assert status == EXIT_FAILED, err
    lines = map(msgspec.json.decode, err.splitlines())
    (line,) = [entry for entry in lines if entry["event"] == "too_many_dead_letters"]
    assert line["level"] == "critical"
    found: dict[str, Any] = line
    return found


async def command(settings: Settings, *arguments: str) -> str:
    """What `mise-voice dead-letters …` says on standard error when it works."""
    process = await started(settings, "dead-letters", *arguments, err=PIPE)
    _, err = await process.communicate()
    assert process.returncode == 0, err
    return err.decode()


async def started(settings: Settings, *arguments: str, err: int | BinaryIO) -> Process:
    environ = {
        "MISE_VOICE_KAFKA_BROKERS": str(settings.kafka_brokers),
        "MISE_VOICE_KAFKA_PARTITIONS": "1",
        "MISE_VOICE_DATA_DIR": str(settings.data_dir),
        "MISE_VOICE_FEATURES_PROCESSES": "1",
        # Of nobody; the command asks no ClickHouse.
        "MISE_VOICE_CLICKHOUSE_URL": "http://127.0.0.1:1",
    }
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.cli", *arguments, env={**os.environ, **environ}, stderr=err
    )


async def put(settings: Settings, values: Iterable[bytes]) -> None:
    async with producer(settings, client_id="tests") as sender:
        await send_all(
            sender, [Outgoing(RECEIVED.name, 0, record_key("default", "call-1"), value, T0) for value in values]
        )


async def committed(settings: Settings) -> int:
    client = admin(settings)
    await client.start()
    try:
        place = TopicPartition(RECEIVED.name, 0)
        found = await client.list_consumer_group_offsets(group_id("features"), partitions=[place])
        return int(found[place].offset)
    finally:
        await client.close()


async def letters(settings: Settings) -> list[int]:
    """The source offsets of the dead letters."""
    async with reader(settings, client_id="tests") as consumer:
        return [
            msgspec.json.decode(record.value, type=DeadLetter).source_offset
            async for record in read_to_end(consumer, DEAD_LETTERS.name, [0])
        ]


async def measured(settings: Settings) -> int:
    async with reader(settings, client_id="tests") as consumer:
        return len([record async for record in read_to_end(consumer, MEASURED.name, [0])])
