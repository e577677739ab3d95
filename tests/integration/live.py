"""A whole Mise Voice for tests: every process of it runs, clients talk to it over HTTP, rows are read by SQL."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from agents.app import group_id
from deploy.services import gateway_url, services_of
from deploy.supervisor import Alive, Service, Supervisor
from pipeline.gateway import keys
from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.partition import read_to_end
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import migrate
from schemas.dead_letter import DeadLetter
from schemas.topics import DEAD_LETTERS, SOURCES, TopicSpec
from tests.integration.waiting import until

WORKSPACE = "tests"

PRODUCE_TIMEOUT_S = 3.0
"""Short, so that a Kafka that is away becomes a 503 soon."""

BACK_WITHIN_S = 40.0
"""After a kill -9 the group waits 10 s for the member that is gone; the rest is for a busy machine."""

DIFFERENT = "received_at, inserted_at, opened_at, version, call_id, content_hash"
"""What the same turns sent as another call differ in; the content hash covers the call_id."""

Row = dict[str, Any]


@dataclass
class Live:
    """What runs, and ways to it."""

    settings: Settings
    supervisor: Supervisor
    ready: dict[str, int]
    """Name -> pid of the latest process that was ready."""
    http: httpx.AsyncClient
    clickhouse: ClickHouse
    kafka: AIOKafkaConsumer
    admin: AIOKafkaAdminClient
    producer: AIOKafkaProducer

    # --- clients' side

    async def turn(self, turn: Row) -> str:
        """Post a turn, again until it is accepted, as clients should; its turn_id."""
        return str((await self._accepted("/v1/turns", turn))["turn_id"])

    async def event(self, call_id: str, event: Row) -> str:
        """Likewise a call event; its event_id."""
        return str((await self._accepted(f"/v1/calls/{call_id}/events", event))["event_id"])

    async def _accepted(self, path: str, body: Row) -> Row:
        async def post() -> httpx.Response | None:
            try:
                return await self.http.post(path, json=body)
            except httpx.TransportError:
                return None

        answer = await until(post, lambda answer: answer is not None and answer.status_code != 503, within_s=60)
        assert answer is not None, "no connection to the gateway"
        assert answer.status_code == 202, answer.text
        accepted: Row = answer.json()
        return accepted

    # --- analysts' side

    async def rows(self, query: str, **parameters: object) -> list[Row]:
        """Rows of a query, by column name; instants as naive datetimes in UTC."""
        names, rows = await asyncio.to_thread(self.clickhouse.rows, query, parameters)
        return [dict(zip(names, row, strict=True)) for row in rows]

    async def turns(self, call_id: str) -> list[Row]:
        return await self.rows(
            "SELECT * FROM turns WHERE call_id = {call_id:String} ORDER BY started_at, turn_id", call_id=call_id
        )

    async def summary(self, call_id: str) -> Row:
        """The call's row, empty as long as there is none; a second one is an error."""
        found = await self.rows("SELECT * FROM calls WHERE call_id = {call_id:String}", call_id=call_id)
        assert len(found) <= 1
        return found[0] if found else {}

    async def overlaps(self, call_id: str) -> list[Row]:
        return await self.rows(
            "SELECT * FROM overlaps WHERE call_id = {call_id:String} ORDER BY started_at, overlapper", call_id=call_id
        )

    async def events(self, call_id: str) -> list[Row]:
        return await self.rows(
            "SELECT * FROM call_events WHERE call_id = {call_id:String} ORDER BY at, event_id", call_id=call_id
        )

    async def said(self, call_id: str) -> dict[str, list[Row]]:
        """All that the six views say of a call, but for what the same turns sent again differ in."""
        views = {
            "turns": ("turn_id", DIFFERENT),
            "call_events": ("event_id", DIFFERENT),
            "calls": ("call_id", "inserted_at, opened_at, version, call_id, closed_at"),
            "overlaps": ("started_at, turn_id", "opened_at, call_id"),
            "faults": ("at, kind", "opened_at, call_id"),
            "silences": ("at", "opened_at, call_id"),
        }
        found = {
            view: await self.rows(
                f"SELECT * EXCEPT ({but}) FROM {view} WHERE call_id = {{call_id:String}} ORDER BY {order}",
                call_id=call_id,
            )
            for view, (order, but) in views.items()
        }
        for call in found["calls"]:
            for said in call["participants"]:
                del said["delay_p50_ms"], said["clock_skew_ms"]  # of when the turns were received
        for turn in found["turns"]:
            if turn["audio_blob"] is not None:
                turn["audio_blob"] = turn["audio_blob"].rpartition("/")[2]  # the folder is the call's
        return found

    # --- what lies between

    async def ends(self, topic: TopicSpec) -> dict[int, int]:
        """End offset of each partition."""
        count = self.settings.kafka_partitions if topic.partitioned_by_call else 1
        found = await self.kafka.end_offsets([TopicPartition(topic.name, number) for number in range(count)])
        return {place.partition: end for place, end in found.items()}

    async def dead_letters(self, since: int) -> list[DeadLetter]:
        """Dead letters from an offset on."""
        return [
            msgspec.json.decode(record.value, type=DeadLetter)
            async for record in read_to_end(self.kafka, DEAD_LETTERS.name, [0])
            if record.offset >= since
        ]

    async def lag(self) -> int:
        """Records that a stage has not committed yet."""
        behind = 0
        for stage, topics in SOURCES.items():
            for topic in topics:
                ends = await self.ends(topic)
                places = [TopicPartition(topic.name, partition) for partition in ends]
                committed = await self.admin.list_consumer_group_offsets(group_id(stage), partitions=places)
                behind += sum(ends[place.partition] - max(0, committed[place].offset) for place in places)
        return behind

    async def read(self) -> None:
        """Return when the stages have read all that was sent."""
        assert await until(self.lag, lambda lag: lag == 0, within_s=60) == 0

    async def dead_letters_end(self) -> int:
        """Where the dead letters end once those of earlier tests are written, repeated ones after a kill included."""
        await self.read()
        return (await self.ends(DEAD_LETTERS))[0]

    # --- processes

    def send(self, name: str, number: signal.Signals) -> int:
        """Send the signal to a process; its pid."""
        pid = self.supervisor.pids[name]
        os.kill(pid, number)
        return pid

    async def back(self, name: str, before: int) -> None:
        """Return once another process than `before` serves under this name."""

        async def ready() -> int:
            return self.ready[name]

        assert await until(ready, lambda pid: pid != before, within_s=BACK_WITHIN_S) != before, f"{name} stays away"


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Live]:
    """Start everything in the folder; stop everything in the end."""
    services = services_of(Settings(data_dir=folder, gateway_produce_timeout_s=PRODUCE_TIMEOUT_S), default_ports=False)
    settings = services.settings
    ready: dict[str, int] = {}

    def noted(service: Service) -> Service:
        async def noted_ready(pid: int, alive: Alive) -> None:
            await service.ready(pid, alive)
            ready[service.name] = pid

        return replace(service, ready=noted_ready)

    servers, gateway, stages = (
        [noted(service) for service in group] for group in (services.servers, [services.gateway], services.stages)
    )
    supervisor = Supervisor(on_change=lambda: None)
    key = keys.generate()
    try:
        await supervisor.start(*servers)
        await asyncio.gather(create_topics(settings), asyncio.to_thread(migrate, settings))
        keys.add(settings.keys_file(), key, workspace=WORKSPACE, name="tests")
        await supervisor.start(*gateway, *stages)
        client = admin(settings)
        await client.start()
        clickhouse = await asyncio.to_thread(ClickHouse, settings)
        async with (
            reader(settings, client_id="tests") as consumer,
            producer(settings, client_id="tests", linger_ms=0) as sender,
            httpx.AsyncClient(
                base_url=gateway_url(settings), headers={"Authorization": f"Bearer {key}"}, timeout=30
            ) as http,
        ):
            yield Live(
                settings=settings,
                supervisor=supervisor,
                ready=ready,
                http=http,
                clickhouse=clickhouse,
                kafka=consumer,
                admin=client,
                producer=sender,
            )
        await client.close()
        clickhouse.close()
    finally:
        await supervisor.stop(*gateway, *stages)
        await supervisor.stop(*servers)
