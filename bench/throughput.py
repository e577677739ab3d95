"""Turns per second through each stage apart, and through all three at once, of records that stand in Kafka."""

from __future__ import annotations

import asyncio
import time

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from bench.measurements import Measurement
from bench.stack import Stack, running_stack
from bench.turns import TURNS_PER_CALL, accepted
from pipeline.kafka.client import producer, reader
from pipeline.kafka.send import Outgoing, send_all
from pipeline.storage.clickhouse import ClickHouse
from schemas.identity import record_key
from schemas.topics import ANNOTATED, DEAD_LETTERS, MEASURED, RECEIVED, SUMMARISED, TopicSpec

CHUNK = 5_000


async def measure_throughput(count: int) -> list[Measurement]:
    """Each stage alone on `count` turns, then all three together on as many."""
    found = []
    async with running_stack() as stack:
        clickhouse = await asyncio.to_thread(ClickHouse, stack.settings)
        await fill(stack, count, seed=1)
        found.append(await _peer(stack, count))

        found.append(await _stage(stack, "features", count, RECEIVED))
        found.append(await _stage(stack, "calls", count, MEASURED))
        found.append(await _stage(stack, "sink", count, ANNOTATED, SUMMARISED))
        await fill(stack, count, seed=2)
        begin = time.perf_counter()
        await stack.start("features", "calls", "sink")
        while await stack.count(clickhouse, "turns") < 2 * count:
            await asyncio.sleep(0.1)
        seconds = time.perf_counter() - begin
        found.append(
            Measurement(
                name="all three stages",
                value=count / seconds,
                unit="turns/s",
                limit=">= 1,000",
                how=f"{count:,} records in turns.received, from starting the processes until all are visible in SQL",
            )
        )
        clickhouse.close()
    return found


async def _stage(stack: Stack, name: str, count: int, *sources: TopicSpec) -> Measurement:
    before = await stack.lag(name, *sources)
    await stack.start(name)
    # From here, not from the start of the process: what a stage costs to start is not what a turn costs.
    begin, left = time.perf_counter(), await stack.lag(name, *sources)
    while await stack.lag(name, *sources):
        await asyncio.sleep(0.05)
    seconds = time.perf_counter() - begin
    await stack.stop(name)
    return Measurement(
        name=f"{name} stage alone",
        value=count * left / before / seconds,
        unit="turns/s",
        how=f"{count:,} turns of {count // TURNS_PER_CALL:,} calls, one process, until all offsets are committed",
    )


async def fill(stack: Stack, count: int, *, seed: int) -> None:
    """Put `count` turns on `turns.received`."""
    settings = stack.settings
    async with producer(settings, client_id="bench") as sender:
        now_s = time.time()
        chunk: list[Outgoing] = []
        partitions: dict[bytes, int] = {}
        await sender.partitions_for(RECEIVED.name)
        for turn in accepted(count, seed=seed, now_s=now_s):
            key = record_key(turn.record.workspace, turn.record.call_id)
            partition = partitions.setdefault(key, len(partitions) % settings.kafka_partitions)
            chunk.append(Outgoing(RECEIVED.name, partition, key, turn.encoded, turn.record.received_at // 1000))
            if len(chunk) == CHUNK:
                await send_all(sender, chunk)
                chunk = []
        await send_all(sender, chunk)


async def _peer(stack: Stack, count: int) -> Measurement:
    """A plain aiokafka loop: consumes the same records, produces them to a topic that no stage reads."""
    consumer: AIOKafkaConsumer = reader(stack.settings, client_id="bench-peer")
    sender: AIOKafkaProducer = producer(stack.settings, client_id="bench-peer", linger_ms=0)
    async with consumer, sender:
        consumer.subscribe([RECEIVED.name])
        begin, seen = time.perf_counter(), 0
        while seen < count:
            batch = await consumer.getmany(timeout_ms=1_000, max_records=1_000)
            records = [record for own in batch.values() for record in own]
            await asyncio.gather(
                *[await sender.send(DEAD_LETTERS.name, record.value, key=record.key, partition=0) for record in records]
            )
            seen += len(records)
    return Measurement(
        name="peer: plain aiokafka loop",
        value=count / (time.perf_counter() - begin),
        unit="records/s",
        how="consume, produce, await; no Faust, no work",
    )
