"""Records per second through the delivery of a stage that does next to nothing, beside a loop without Faust.

consume → a trivial function → produce, at least once: a record's offset is committed when what follows from it is
acknowledged. Each way has a process, and a consumer group, of its own, over the same records.
"""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from aiokafka import AIOKafkaConsumer, ConsumerRecord

from agents.app import create_app
from agents.delivery import Record, attach, progress
from bench.measurements import Measurement
from bench.processes import Clock, Run, in_process
from deploy.embedded.kafka import running_kafka
from pipeline.kafka.client import brokers, producer
from pipeline.kafka.send import Outgoing, send_all
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from schemas.topics import MEASURED, RECEIVED

RECORD_BYTES = 350
CALLS = 1_000
CHUNK = 5_000


async def measure_delivery(count: int) -> list[Measurement]:
    """Both paths through Faust and two loops without it, each over the same `count` records."""
    with tempfile.TemporaryDirectory(prefix="mise-bench-") as folder:
        async with running_kafka(Path(folder) / "kafka") as kafka:
            settings = Settings(data_dir=Path(folder), kafka_brokers=kafka.bootstrap)
            await create_topics(settings)
            await _fill(settings, count)
            plain = await in_process(_plain, settings, count)
            batched = await in_process(_plain_batched, settings, count)
            fast = await in_process(_faust, settings, count)
            stock = await in_process(_faust, settings.model_copy(update={"faust_fast_path": False}), count)
    return [
        _figure("delivery, fast path", fast, count, limit=">= 12,000"),
        Measurement(
            name="delivery, fast path over the plain loop",
            value=plain.wall_s / fast.wall_s,
            unit="",
            limit=">= 0.5",
            how="of the same run",
        ),
        _figure("delivery, stock Faust", stock, count),
        _figure("peer: plain aiokafka loop (getmany, send each, await all, commit)", plain, count),
        _figure("peer: the same, sending as our stages do (a batch a partition)", batched, count),
    ]


def _figure(name: str, run: Run, count: int, *, limit: str | None = None) -> Measurement:
    return Measurement(
        name=name,
        value=count / run.wall_s,
        unit="records/s",
        limit=limit,
        how=f"{count:,} records of {RECORD_BYTES} bytes, one process; CPU s per 100,000: {run.cpu_s / count * 1e5:.2f}",
    )


async def _fill(settings: Settings, count: int) -> None:
    chance = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    async with producer(settings, client_id="bench") as sender:
        await sender.partitions_for(RECEIVED.name)
        for begin in range(0, count, CHUNK):
            calls = [chance.randrange(CALLS) for _ in range(min(CHUNK, count - begin))]
            await send_all(
                sender,
                [
                    Outgoing(
                        RECEIVED.name,
                        call % settings.kafka_partitions,
                        b"bench\x1fcall-%d" % call,
                        chance.randbytes(RECORD_BYTES),
                        now_ms,
                    )
                    for call in calls
                ],
            )


def _output(record: Record | ConsumerRecord, timestamp_ms: int) -> Outgoing:
    """The trivial function."""
    return Outgoing(MEASURED.name, record.partition, record.key, record.value, timestamp_ms)


class _Stage:
    """Sends what it gets, as our stages send."""

    sources = (RECEIVED,)

    def __init__(self, settings: Settings, name: str, count: int, clock: Clock) -> None:
        self.name = name
        self.done = asyncio.Event()
        self._left = count
        self._clock = clock
        self._producer = producer(settings, client_id=name, linger_ms=0)

    async def __aenter__(self) -> _Stage:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Nothing is kept by partition."""

    async def process(self, batch: Sequence[Record]) -> None:
        self._clock.start()
        now_ms = time.time_ns() // 1_000_000
        await send_all(self._producer, (_output(record, now_ms) for record in batch))
        self._left -= len(batch)
        if self._left <= 0:
            self.done.set()


async def _faust(settings: Settings, count: int) -> Run:
    clock = Clock()
    name = f"bench-{'fast' if settings.faust_fast_path else 'stock'}"
    app = create_app(settings, name)

    def fail(error: BaseException) -> None:
        raise error

    async with _Stage(settings, name, count, clock) as stage:
        attach(app, stage, settings, fail)
        await app.start()
        await stage.done.wait()
        while sum(place.committed for place in progress(app).values()) < count:
            await app.consumer.commit()
        run = clock.stop()
        await app.stop()
    return run


async def _plain(settings: Settings, count: int) -> Run:
    """The loop that one writes first: a future for each record, and a commit for each batch."""
    sender = producer(settings, client_id="bench-plain", linger_ms=0)

    async def send(records: list[ConsumerRecord]) -> None:
        now_ms = time.time_ns() // 1_000_000
        outputs = [_output(record, now_ms) for record in records]
        await asyncio.gather(
            *[
                await sender.send(
                    each.topic, each.value, key=each.key, partition=each.partition, timestamp_ms=each.timestamp_ms
                )
                for each in outputs
            ]
        )

    async with sender:
        return await _loop(settings, count, "bench-plain", send)


async def _plain_batched(settings: Settings, count: int) -> Run:
    sender = producer(settings, client_id="bench-batched", linger_ms=0)

    async def send(records: list[ConsumerRecord]) -> None:
        now_ms = time.time_ns() // 1_000_000
        await send_all(sender, (_output(record, now_ms) for record in records))

    async with sender:
        return await _loop(settings, count, "bench-batched", send)


async def _loop(
    settings: Settings, count: int, group: str, send: Callable[[list[ConsumerRecord]], Awaitable[None]]
) -> Run:
    clock = Clock()
    async with AIOKafkaConsumer(
        RECEIVED.name,
        bootstrap_servers=brokers(settings),
        group_id=f"{group}-{os.getpid()}",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    ) as consumer:
        seen = 0
        while seen < count:
            batch = await consumer.getmany(timeout_ms=1_000, max_records=settings.batch_records)
            records = [record for own in batch.values() for record in own]
            if not records:
                continue
            clock.start()
            await send(records)
            await consumer.commit()
            seen += len(records)
        return clock.stop()
