"""A Mise Voice of the benchmark's own: embedded servers in a folder that is thrown away, stages started on demand."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agents.app import group_id
from deploy.services import Services, gateway_url, services_of
from deploy.supervisor import Service, Supervisor
from pipeline.gateway import keys
from pipeline.kafka.client import admin, reader
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import migrate
from schemas.topics import TopicSpec


@dataclass
class Stack:
    """Servers that run, topics and tables that are there; no stage and no gateway yet."""

    settings: Settings
    services: Services
    supervisor: Supervisor
    api_key: str
    reader: AIOKafkaConsumer
    admin: AIOKafkaAdminClient

    @property
    def url(self) -> str:
        return gateway_url(self.settings)

    @property
    def partitions(self) -> range:
        """Of each topic of calls."""
        return range(self.settings.kafka_partitions)

    async def start(self, *names: str) -> None:
        """Start the gateway, stages or servers by name; return when they are ready."""
        await self.supervisor.start(*self._named(names))

    async def stop(self, *names: str) -> None:
        await self.supervisor.stop(*self._named(names))

    async def lag(self, stage: str, *sources: TopicSpec) -> int:
        """Records of its source topics that the stage has not committed yet."""
        return await self.ends(*sources) - await self.committed(stage, *sources)

    async def ends(self, *topics: TopicSpec) -> int:
        """Records that the topics have been given."""
        ends: dict[TopicPartition, int] = await self.reader.end_offsets(self._places(topics))
        return sum(ends.values())

    async def committed(self, stage: str, *sources: TopicSpec) -> int:
        """Records of its source topics that the stage has committed."""
        found = await self.admin.list_consumer_group_offsets(group_id(stage), partitions=self._places(sources))
        return sum(max(0, place.offset) for place in found.values())

    async def count(self, clickhouse: ClickHouse, table: str) -> int:
        _, rows = await asyncio.to_thread(clickhouse.rows, f"SELECT count() FROM {table}")
        return int(rows[0][0])

    def peak_mib(self, name: str) -> float:
        """The most memory that the process has held (VmHWM), without its children's."""
        status = Path(f"/proc/{self.supervisor.pids[name]}/status").read_text("ascii")
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")) / 1024

    def _places(self, topics: Sequence[TopicSpec]) -> list[TopicPartition]:
        return [TopicPartition(topic.name, partition) for topic in topics for partition in self.partitions]

    def _named(self, names: tuple[str, ...]) -> list[Service]:
        services = self.services
        known = {service.name: service for service in (*services.servers, services.gateway, *services.stages)}
        return [known[name] for name in names]


@asynccontextmanager
async def running_stack() -> AsyncIterator[Stack]:
    """Start the servers in a temporary folder; stop everything and remove it in the end."""
    with tempfile.TemporaryDirectory(prefix="mise-bench-") as folder:
        services = services_of(Settings(data_dir=Path(folder)), default_ports=False)
        settings = services.settings
        supervisor = Supervisor(on_change=lambda: None)
        try:
            await supervisor.start(*services.servers)
            await create_topics(settings)
            await asyncio.to_thread(migrate, settings)
            key = keys.generate()
            keys.add(settings.keys_file(), key, workspace="bench", name="bench")
            client = admin(settings)
            await client.start()
            async with reader(settings, client_id="bench") as consumer:
                yield Stack(settings, services, supervisor, key, consumer, client)
            await client.close()
        finally:
            await supervisor.stop(services.gateway, *services.stages)
            await supervisor.stop(*services.servers)
