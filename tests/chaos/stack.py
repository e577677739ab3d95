"""A whole Mise Voice whose every process can be ended by itself, with a proxy between each two of them.

    client ─▶ gateway ─▶ Kafka ◀─ features, calls, sink ─▶ ClickHouse          each arrow is a proxy

Processes are kept by the product's own supervisor, as under `mise-voice run`. Kafka tells its clients where to connect
to, so it has a listener for each of them, and advertises the proxy before it. The harness itself talks to the servers
directly.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from agents.app import group_id
from deploy.embedded.ports import LOOPBACK
from deploy.services import services_of
from deploy.supervisor import Alive, Service, Supervisor
from pipeline.gateway import keys
from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.topics import create_topics, topic_configs
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import migrate
from schemas.errors import Unavailable
from schemas.topics import DEAD_LETTERS, SOURCES, TopicSpec
from tests.chaos.cluster import brokers_of
from tests.chaos.gateway import set_clock
from tests.chaos.links import Link, linked
from tests.chaos.proxy import Proxy
from tests.chaos.small import small_file_system
from tests.chaos.worker import Mutation
from tests.integration.waiting import until

WORKSPACE = "chaos"

PRODUCE_TIMEOUT_S = 3.0
"""Short, so that a Kafka that is away becomes a 503 soon."""

BACK_WITHIN_S = 60.0
"""After a kill -9 the group waits 10 s for the member that is gone; the rest is for a busy machine."""

DRAINED_WITHIN_S = 90.0

SMALL_MIB = {"blobs": 8, "kafka": 256}


@dataclass(frozen=True)
class Needs:
    """What a fault needs of the stack. calls : `tests.chaos.worker`; clock : `tests.chaos.gateway`; brokers : three of
    them instead of one; small : what lies on a small file system.
    """

    calls: bool = False
    clock: bool = False
    brokers: bool = False
    small: Literal["blobs", "kafka"] | None = None


PLAIN = Needs()

UNDISTURBED = "undisturbed"
"""The database of what the views would say had nothing happened."""


class Stack:
    """What runs, and ways to it.

    settings : how the harness reaches the servers, past the proxies. injected : the folder through which
    `tests.chaos.worker` is told where to die. ready : name -> pid of the latest process that was ready. small : the
    folder that is a small file system, when there is one. settled : what stands before is done with, and what followed
    from it may be gone.
    """

    clickhouse: ClickHouse
    undisturbed: ClickHouse
    admin: AIOKafkaAdminClient
    kafka: AIOKafkaConsumer
    producer: AIOKafkaProducer

    def __init__(
        self,
        settings: Settings,
        key: str,
        services: dict[str, Service],
        proxies: Mapping[Link, Proxy],
        injected: Path,
    ) -> None:
        self.settings = settings
        self.key = key
        self.services = services
        self.proxies = proxies
        self.injected = injected
        self.ready: dict[str, int] = {}
        self.small = settings.data_dir / "small"
        self.settled: dict[TopicPartition, int] = {}
        self.supervisor = Supervisor(on_change=lambda: None)

    @property
    def url(self) -> str:
        """Where clients send turns: through their proxy."""
        return f"http://{LOOPBACK}:{self.proxies['client-gateway'].port}"

    # --- processes

    async def serving(self, name: str) -> int:
        """The pid of the process that serves under this name; waits for one that an earlier fault has ended."""

        async def found() -> int | None:
            pid = self.supervisor.pids.get(name)
            return pid if pid == self.ready.get(name) else None

        pid = await until(found, lambda pid: pid is not None, within_s=BACK_WITHIN_S)
        assert pid is not None, (
            f"{name}: expected it to serve within {BACK_WITHIN_S:.0f} s; its log is {self.services[name].log_file}"
        )
        return pid

    async def signal(self, name: str, number: signal.Signals) -> int:
        """Send the signal to the process that serves under this name; its pid."""
        pid = await self.serving(name)
        os.kill(pid, number)
        return pid

    async def until_back(self, name: str, before: int) -> None:
        """Return once another process than `before` serves under this name."""

        async def ready() -> int:
            return self.ready[name]

        assert await until(ready, lambda pid: pid != before, within_s=BACK_WITHIN_S) != before, (
            f"{name}: expected another process than {before} within {BACK_WITHIN_S:.0f} s; its log is "
            f"{self.services[name].log_file}"
        )

    async def until_gone(self, name: str, pid: int) -> None:
        """Return once the process has ended."""

        async def others() -> bool:
            return self.supervisor.pids.get(name) != pid

        assert await until(others, within_s=BACK_WITHIN_S), f"{name}: process {pid} still runs"

    async def start(self, *names: str) -> None:
        """Start services by name; return when all are ready."""
        await self.supervisor.start(*(self._noted(self.services[name]) for name in names))

    async def add(self, stage: str, number: int) -> str:
        """Start another worker of the stage; its name."""
        first = self.services[stage]
        name = f"{stage}-{number}"
        self.services[name] = replace(first, name=name, log_file=first.log_file.with_name(f"{name}.log"))
        await self.start(name)
        return name

    async def remove(self, *names: str) -> None:
        """Stop workers that were added."""
        await self.supervisor.stop(*(self.services.pop(name) for name in names))

    async def stop(self) -> None:
        """Stop everything: what takes in first, what it stands on last; also what stands still."""
        for pid in self.supervisor.pids.values():
            os.kill(pid, signal.SIGCONT)
        servers = self.servers
        await self.supervisor.stop(*(each for name, each in self.services.items() if name not in servers))
        await self.supervisor.stop(*(self.services[name] for name in servers))

    @property
    def servers(self) -> list[str]:
        """What the others stand on."""
        return [name for name in self.services if name.startswith(("kafka", "clickhouse"))]

    async def owned(self, stage: str) -> dict[int, int]:
        """How many partitions each worker of the stage has, by pid; none while they are being assigned."""
        with unavailable():
            (response,) = await self.admin.describe_consumer_groups([group_id(stage)])
        (described,) = response.groups
        state, members = described[2], described[5]
        if state != "Stable":
            return {}
        # A member: its id, client id, host, metadata, assignment.
        return {
            int(member[1].rpartition("-")[2]): sum(
                len(partitions) for _, partitions in ConsumerProtocolMemberAssignment.decode(member[4]).assignment
            )
            for member in members
            if member[4]
        }

    async def until_alone(self, name: str) -> None:
        """Return once this worker, whichever process it is by then, has every partition of its stage."""
        stage = name.partition("-")[0]
        partitions = self.settings.kafka_partitions * len(SOURCES[stage])

        async def others() -> dict[int, int]:
            owned = await self.owned(stage)
            return {} if owned == {self.supervisor.pids.get(name): partitions} else owned or {0: 0}

        left = await until(others, lambda left: not left, within_s=BACK_WITHIN_S)
        assert not left, f"{stage}: expected {name} alone, with {partitions} partitions, got by pid {left}"

    async def until_members(self, stage: str, count: int) -> None:
        """Return once so many workers have partitions of the stage."""
        owned = await until(lambda: self.owned(stage), lambda owned: len(owned) == count, within_s=BACK_WITHIN_S)
        assert len(owned) == count, f"{stage}: expected {count} workers with partitions, got {owned}"

    async def command(self, statement: str) -> None:
        """Run a statement in ClickHouse."""
        await asyncio.to_thread(self.clickhouse.command, statement)

    async def run_calls(self, mutation: Mutation | None = None) -> None:
        """Run the calls stage anew, under `tests.chaos.worker`, which ends where it is told to; with a mutation."""
        await self.supervisor.stop(self.services["calls"])
        (self.injected / "armed").unlink(missing_ok=True)  # of a test that failed
        self.inject("calls", "tests.chaos.worker", mutation)
        await self.start("calls")

    def inject(self, name: str, module: str, mutation: Mutation | None = None) -> None:
        """Run the process by a module of the tests, when it is started next."""
        service = self.services[name]
        environ = {**service.environ, "CHAOS_FOLDER": str(self.injected), "CHAOS_MUTATION": mutation or ""}
        self.services[name] = replace(service, command=lambda: [sys.executable, "-m", module], environ=environ)

    async def until_in_sync(self) -> None:
        """Return once every replica of every partition is in sync."""

        async def behind() -> list[str]:
            with unavailable():
                topics = await self.admin.describe_topics()
            return [
                f"{topic['topic']}/{partition['partition']}"
                for topic in topics
                for partition in topic["partitions"]
                if len(partition["isr"]) < len(partition["replicas"])
            ]

        left = await until(behind, lambda left: not left, within_s=BACK_WITHIN_S)
        assert not left, f"Kafka: replicas of {left} are not in sync after {BACK_WITHIN_S:.0f} s"

    async def until_led_by_others(self, brokers: Collection[int]) -> None:
        """Return once none of these brokers leads a partition."""

        async def led() -> list[str]:
            with unavailable():
                topics = await self.admin.describe_topics()
            return [topic["topic"] for topic in topics for each in topic["partitions"] if each["leader"] in brokers]

        left = await until(led, lambda left: not left, within_s=BACK_WITHIN_S)
        assert not left, f"Kafka: brokers {brokers} still lead {left} after {BACK_WITHIN_S:.0f} s"

    async def make_anew(self, topic: TopicSpec) -> None:
        """Delete a topic whose records are done with, and let the product make it again."""
        for topics in SOURCES.values():
            for each in topics:
                offsets = {} if each == topic else await self.ends(each)
                self.settled |= {TopicPartition(each.name, partition): offset for partition, offset in offsets.items()}
        await self.admin.delete_topics([topic.name])

        async def gone() -> bool:
            return topic.name not in await self.admin.list_topics()

        assert await until(gone), f"{topic.name} is still there"
        await create_topics(self.settings)

    async def set_largest(self, topic: TopicSpec, size_bytes: int) -> None:
        """Let the topic take records up to this size."""
        configs = {**topic_configs(self.settings, topic), "max.message.bytes": str(size_bytes)}
        await self.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, configs=configs)])

    def _noted(self, service: Service) -> Service:
        async def ready(pid: int, alive: Alive) -> None:
            await service.ready(pid, alive)
            self.ready[service.name] = pid

        return replace(service, ready=ready)

    # --- how far the stages are

    async def committed(self, stage: str) -> dict[TopicPartition, int]:
        """The next offset of each partition that the stage would read after a restart."""
        places = [
            TopicPartition(topic.name, partition)
            for topic in SOURCES[stage]
            for partition in range(self.settings.kafka_partitions)
        ]
        with unavailable():
            found = await self.admin.list_consumer_group_offsets(group_id(stage), partitions=places)
        return {place: max(0, found[place].offset) for place in places}

    async def lag(self, stage: str) -> int:
        """Records that the stage has not committed yet."""
        committed = await self.committed(stage)
        with unavailable():
            ends = await self.kafka.end_offsets(list(committed))
        return sum(ends[place] - offset for place, offset in committed.items())

    async def ends(self, topic: TopicSpec) -> dict[int, int]:
        """End offset of each partition."""
        count = self.settings.kafka_partitions if topic.partitioned_by_call else 1
        found = await self.kafka.end_offsets([TopicPartition(topic.name, number) for number in range(count)])
        return {place.partition: end for place, end in found.items()}

    async def letters(self) -> int:
        """How many dead letters there are."""
        (end,) = (await self.ends(DEAD_LETTERS)).values()
        return end

    async def drain(self) -> None:
        """Return once every record has gone all the way."""
        for stage in SOURCES:
            left = await until(lambda stage=stage: self.lag(stage), lambda lag: lag == 0, within_s=DRAINED_WITHIN_S)  # type: ignore[misc]
            log = self.services[stage].log_file
            assert left == 0, f"{stage}: {left} records not committed after {DRAINED_WITHIN_S:.0f} s; its log is {log}"


@contextmanager
def unavailable() -> Iterator[None]:
    """What Kafka's client raises while a broker starts again, as what is waited for."""
    try:
        yield
    except KafkaError as error:
        raise Unavailable(f"Kafka: {error!r}") from error


@asynccontextmanager
async def running(folder: Path, needs: Needs = PLAIN, *, fast_path: bool = True) -> AsyncIterator[Stack]:
    """Start everything in the folder; stop everything in the end."""
    given: dict[str, Any] = {}
    brokers: list[Service] = []
    if needs.brokers:
        given["kafka_brokers"], brokers = brokers_of(folder)
        given["kafka_replication_factor"] = len(brokers)
    if needs.small == "blobs":
        given["blob_url"] = (folder / "small" / "blobs").as_uri()
    settings = Settings(
        data_dir=folder,
        gateway_produce_timeout_s=PRODUCE_TIMEOUT_S,
        features_processes=1,
        faust_fast_path=fast_path,
        **given,
    )
    services = services_of(settings, default_ports=False)
    services = replace(services, servers=(*brokers, *services.servers))
    settings = services.settings
    beside = settings.model_copy(update={"clickhouse_database": UNDISTURBED})
    injected = folder / "injected"
    injected.mkdir()
    key = keys.generate()
    keys.add(settings.keys_file(), key, workspace=WORKSPACE, name="chaos")
    async with AsyncExitStack() as leaving:
        if needs.small:
            leaving.enter_context(small_file_system(folder / "small", SMALL_MIB[needs.small]))
        if needs.small == "kafka":
            (folder / "kafka").symlink_to(folder / "small")
        proxies, named = await leaving.enter_async_context(linked(services))
        stack = Stack(settings, key, named, proxies, injected)
        leaving.push_async_callback(stack.stop)
        if needs.clock:
            set_clock(injected, 0)
            stack.inject("gateway", "tests.chaos.gateway")
        if needs.calls:
            stack.inject("calls", "tests.chaos.worker")
        await stack.start(*stack.servers)
        await create_topics(settings)
        for each in (settings, beside):
            await asyncio.to_thread(migrate, each)
        await stack.start("gateway", *SOURCES)
        stack.clickhouse, stack.undisturbed = [await asyncio.to_thread(ClickHouse, each) for each in (settings, beside)]
        leaving.callback(stack.clickhouse.close)
        leaving.callback(stack.undisturbed.close)
        stack.admin = admin(settings)
        await stack.admin.start()
        leaving.push_async_callback(stack.admin.close)
        stack.kafka = await leaving.enter_async_context(reader(settings, client_id="chaos"))
        stack.producer = await leaving.enter_async_context(producer(settings, client_id="chaos", linger_ms=0))
        yield stack
