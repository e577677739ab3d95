"""Workers whose stage does what a test says, on a topic of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import faust
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from faust.types import TP

from agents.app import create_app, group_id
from agents.delivery import Record, attach
from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.send import Outgoing, send_all
from pipeline.settings import Settings
from schemas.topics import RECEIVED, TopicSpec
from tests.integration.waiting import until

PARTITIONS = 3


async def holds(condition: Callable[[], bool]) -> bool:
    """Whether it came to hold before the deadline."""

    async def ask() -> bool:
        return condition()

    return await until(ask)


class Gate:
    """A stage that remembers what it is given; while it is shut, it is at its batch and does not get done."""

    def __init__(self, topic: TopicSpec) -> None:
        self.name = topic.name
        self.sources = (topic,)
        self.batches: list[list[Record]] = []
        self.assigned: frozenset[int] | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.open.set()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        self.assigned = partitions

    async def process(self, batch: Sequence[Record]) -> None:
        self.batches.append(list(batch))
        await self.open.wait()
        if self.error:
            raise self.error

    def offsets(self, partition: int = 0) -> list[int]:
        """Of the partition's records, in the order they were given."""
        return [record.offset for batch in self.batches for record in batch if record.partition == partition]


@dataclass
class Worker:
    app: faust.App
    stage: Gate
    failures: list[BaseException]

    @property
    def consumer(self) -> Any:
        return self.app.consumer

    def buffer(self) -> Any:
        """What the consumer has handed over and the stage has not taken yet."""
        (channel,) = self.app.topics
        return channel.queue


@dataclass
class Setting:
    """A topic, its consumer group, and clients that look at them."""

    settings: Settings
    topic: TopicSpec
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient
    sent: dict[int, int] = field(default_factory=lambda: dict.fromkeys(range(PARTITIONS), 0))
    """Partition -> its records so far, as long as a test sends without gaps."""

    @classmethod
    @asynccontextmanager
    async def made(cls, bootstrap: str, folder: Path, name: str, *, fast_path: bool) -> AsyncIterator[Self]:
        settings = Settings(kafka_brokers=bootstrap, data_dir=folder, faust_fast_path=fast_path, batch_within_s=0.05)
        client = admin(settings)
        await client.start()
        await client.create_topics([NewTopic(name, num_partitions=PARTITIONS, replication_factor=1)])
        topic = replace(RECEIVED, name=name)
        try:
            async with producer(settings, client_id=name) as sender:
                yield cls(settings, topic, sender, client)
        finally:
            await client.close()

    def place(self, partition: int = 0) -> TP:
        return TP(self.topic.name, partition)

    async def send(self, count: int, *, partition: int = 0, value: bytes = b"v") -> None:
        record = Outgoing(self.topic.name, partition, b"k", value, time.time_ns() // 1_000_000)
        await send_all(self.producer, [record] * count)
        self.sent[partition] += count

    async def committed(self, partition: int = 0) -> int:
        """The group's offset as Kafka has it; 0 when it has none."""
        place = TopicPartition(self.topic.name, partition)
        found = await self.admin.list_consumer_group_offsets(group_id(self.topic.name), partitions=[place])
        return max(0, int(found[place].offset))

    async def end(self, partition: int = 0) -> int:
        """The offset that the next record of the partition gets."""
        place = TopicPartition(self.topic.name, partition)
        async with reader(self.settings, client_id=self.topic.name) as consumer:
            return int((await consumer.end_offsets([place]))[place])

    async def all_committed(self) -> bool:
        return {partition: await self.committed(partition) for partition in self.sent} == self.sent

    async def make_anew(self) -> None:
        """Delete the topic and create it again: its offsets begin at 0."""
        await self.admin.delete_topics([self.topic.name])

        async def gone() -> bool:
            return self.topic.name not in await self.admin.list_topics()

        assert await until(gone)
        await self.admin.create_topics([NewTopic(self.topic.name, num_partitions=PARTITIONS, replication_factor=1)])
        self.sent = dict.fromkeys(self.sent, 0)

    @asynccontextmanager
    async def worker(self, *, shut: bool = False, **settings: Any) -> AsyncIterator[Worker]:
        """A worker that has its partitions. shut : its stage does not get done with its first batch until opened."""
        used = self.settings.model_copy(update=settings)
        app = create_app(used, self.topic.name)
        failures: list[BaseException] = []
        async with Gate(self.topic) as stage:
            if shut:
                stage.open.clear()
            attach(app, stage, used, failures.append)
            try:
                await app.start()
                assert await holds(lambda: stage.assigned is not None)
                yield Worker(app, stage, failures)
            finally:
                stage.open.set()
                await app.stop()
