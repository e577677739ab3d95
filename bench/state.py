"""What it costs to keep state as the calls stage does, beside a Faust table with a changelog (docs/decisions/0001).

Every record makes one entry of a size that the calls stage keeps, under a key of its own, at least once and without
outputs. Then a new process gets the entries back. On the same fast path, each way in processes, a consumer group and a
compacted topic of its own.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import tempfile
import time
import weakref
from abc import abstractmethod
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import faust
from aiokafka.admin import NewTopic
from faust.streams import _current_event
from faust.types import TableT
from yarl import URL

from agents.app import create_app, group_id
from agents.delivery import Record, Stage, attach, progress
from bench.measurements import Measurement
from bench.processes import Clock, Run, in_process
from bench.turns import CALLS_AT_ONCE, TURNS_PER_CALL
from deploy.embedded.kafka import running_kafka
from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.partition import read_newest
from pipeline.kafka.send import Outgoing, send_all
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from schemas.topics import CALL_STATE, MEASURED, TopicSpec

ENTRY_BYTES = 900
BATCH_BYTES = 256 * 1024
"""As our producers have it; Faust's default is 16 KiB."""

CHUNK = 5_000
TABLE = "state"
Table = TableT[bytes, bytes]
MEMORY, ROCKSDB = "memory://", "rocksdb://"


async def measure_state(count: int) -> list[Measurement]:
    """Writing `count` entries, and getting them back, each way. On RocksDB where Faust finds it installed."""
    stores = [MEMORY, *([ROCKSDB] if find_spec("rocksdb") or find_spec("rocksdict") else [])]
    found: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="mise-bench-") as folder:
        async with running_kafka(Path(folder) / "kafka") as kafka:
            settings = Settings(data_dir=Path(folder), kafka_brokers=kafka.bootstrap)
            await create_topics(settings)
            await _create_changelogs(settings, stores)
            await _fill(settings, count)
            written = await in_process(_topic, settings, count)
            restored = await in_process(_read, settings, count)
            found += _figures("a topic, awaited", written, restored, count, "from the reader's start")
            for store in stores:
                name = f"Faust table, {store.removesuffix('://')}"
                written = await in_process(partial(_table, store), settings, count)
                restored = await in_process(partial(_recover, store), settings, count)
                found += _figures(name, written, restored, count, "from the assignment until it serves")
                if store != MEMORY:
                    shutil.rmtree(settings.data_dir / "faust" / _name(store))
                    restored = await in_process(partial(_recover, store), settings, count)
                    found.append(_restored(f"{name}, its disk lost", restored, count, "on another machine, say"))
    return found


def _figures(name: str, written: Run, restored: Run, count: int, how: str) -> list[Measurement]:
    return [
        Measurement(
            name=f"state, {name}",
            value=count / written.wall_s,
            unit="records/s",
            how=f"{count:,} entries of {ENTRY_BYTES} bytes, one process; CPU s per 100,000: "
            f"{written.cpu_s / count * 1e5:.2f}; RSS {written.rss_mib:.0f} MiB, grown by {written.grown_mib:.0f}",
        ),
        _restored(name, restored, count, how),
    ]


def _restored(name: str, run: Run, count: int, how: str) -> Measurement:
    return Measurement(
        name=f"restored, {name}",
        value=run.wall_s,
        unit="s",
        how=f"{count:,} entries, {how}; CPU s: {run.cpu_s:.2f}; RSS {run.rss_mib:.0f} MiB, "
        f"grown by {run.grown_mib:.0f}",
    )


def _name(store: str) -> str:
    return f"bench-table-{store.removesuffix('://')}"


async def _create_changelogs(settings: Settings, stores: Sequence[str]) -> None:
    """As `calls.state` is made, under the names that Faust looks for."""
    client = admin(settings)
    await client.start()
    try:
        await client.create_topics(
            [
                NewTopic(
                    name=f"{group_id(_name(store))}-{TABLE}-changelog",
                    num_partitions=settings.kafka_partitions,
                    replication_factor=settings.kafka_replication_factor,
                    topic_configs={"cleanup.policy": CALL_STATE.cleanup},
                )
                for store in stores
            ]
        )
    finally:
        await client.close()


async def _fill(settings: Settings, count: int) -> None:
    """Turns of calls, interleaved as in production; a call is in one partition."""
    chance = random.Random(1)
    now_ms = time.time_ns() // 1_000_000
    async with producer(settings, client_id="bench") as sender:
        await sender.partitions_for(MEASURED.name)
        for begin in range(0, count, CHUNK):
            numbers = range(begin, min(begin + CHUNK, count))
            calls = [
                number // (CALLS_AT_ONCE * TURNS_PER_CALL) * CALLS_AT_ONCE + number % CALLS_AT_ONCE
                for number in numbers
            ]
            await send_all(
                sender,
                [
                    Outgoing(
                        MEASURED.name,
                        call % settings.kafka_partitions,
                        b"bench\x1fcall-%d" % call,
                        chance.randbytes(ENTRY_BYTES),
                        now_ms,
                    )
                    for call in calls
                ],
            )


def _entry(record: Record) -> tuple[bytes, bytes]:
    """Key and value of the record's entry."""
    assert record.key is not None
    assert record.value is not None
    return b"%s\x1fturn\x1f%d" % (record.key, record.offset), record.value


class _Keeps:
    """A stage that only keeps state."""

    sources: tuple[TopicSpec, ...] = (MEASURED,)

    def __init__(self, name: str, count: int) -> None:
        self.name = name
        self.clock = Clock()
        self.done = asyncio.Event()
        self._left = count

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Nothing of this run is kept already."""

    async def process(self, batch: Sequence[Record]) -> None:
        self.clock.start()
        await self.keep(batch)
        self._left -= len(batch)
        if self._left <= 0:
            self.done.set()

    @abstractmethod
    async def keep(self, batch: Sequence[Record]) -> None:
        """Return when the entries of the batch are as safe as this way makes them."""


class _KeepsOnTopic(_Keeps):
    """As the calls stage does: return when the entries are acknowledged."""

    def __init__(self, settings: Settings, name: str, count: int) -> None:
        super().__init__(name, count)
        self._producer = producer(settings, client_id=name, linger_ms=0)
        self.kept: dict[int, dict[bytes, bytes]] = {number: {} for number in range(settings.kafka_partitions)}

    async def __aenter__(self) -> Stage:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def keep(self, batch: Sequence[Record]) -> None:
        now_ms = time.time_ns() // 1_000_000
        entries: list[Outgoing] = []
        for record in batch:
            key, value = _entry(record)
            self.kept[record.partition][key] = value
            entries.append(Outgoing(CALL_STATE.name, record.partition, key, value, now_ms))
        await send_all(self._producer, entries)


class _CurrentEvent:
    """As much of an event as a table looks at: the changelog's partition is that of the current event's message.

    A batch has no current event. The other way, `use_partitioner`, partitions by the entry's key: a call's entries
    would be all over the topic, and not come back to the process that has the call.
    """

    def __init__(self, record: Record) -> None:
        self.message = record


class _KeepsInTable(_Keeps):
    """Return when the table is written: Faust sends the entries, and waits for them, in its own time."""

    def __init__(self, name: str, count: int, table: Table) -> None:
        super().__init__(name, count)
        self._table = table

    async def keep(self, batch: Sequence[Record]) -> None:
        events: dict[int, _CurrentEvent] = {}
        for record in batch:
            event = events.setdefault(record.partition, _CurrentEvent(record))
            _current_event.set(weakref.ref(event))  # type: ignore[arg-type]
            key, value = _entry(record)
            self._table[key] = value


async def _topic(settings: Settings, count: int) -> Run:
    name = "bench-topic"
    return await _through(create_app(settings, name), _KeepsOnTopic(settings, name, count), settings, count)


async def _table(store: str, settings: Settings, count: int) -> Run:
    app, table = _app_with_table(store, settings)
    return await _through(app, _KeepsInTable(_name(store), count, table), settings, count)


def _app_with_table(store: str, settings: Settings) -> tuple[faust.App, Table]:
    app = create_app(settings, _name(store))
    app.conf.store = URL(store)  # as an argument of the table, a URL without a path is ignored: it is falsy
    app.conf.producer_max_batch_size = BATCH_BYTES
    # It warns at every hundred records: true, and a cost that is not the table's.
    logging.getLogger("faust.transport.producer").setLevel(logging.ERROR)
    return app, app.Table(TABLE, key_type=bytes, value_type=bytes, partitions=settings.kafka_partitions)


async def _through(app: faust.App, stage: _Keeps, settings: Settings, count: int) -> Run:
    """From the first record until all are committed."""
    async with stage:
        attach(app, stage, settings, _raise)
        await app.start()
        await stage.done.wait()
        while _committed(app) < count:
            await app.consumer.commit()
        run = stage.clock.stop()
        await app.stop()
    return run


def _raise(error: BaseException) -> None:
    raise error


def _committed(app: faust.App) -> int:
    return sum(seen.committed for place, seen in progress(app).items() if place.topic == MEASURED.name)


async def _read(settings: Settings, count: int) -> Run:
    """As the calls stage does after an assignment."""
    clock = Clock()
    clock.start()
    async with reader(settings, client_id="bench-reader") as consumer:
        kept = await read_newest(consumer, CALL_STATE.name, range(settings.kafka_partitions))
        run = clock.stop()
    assert sum(map(len, kept.values())) == count
    return run


async def _recover(store: str, settings: Settings, count: int) -> Run:
    app, table = _app_with_table(store, settings)
    stage = _KeepsInTable(_name(store), count, table)
    attach(app, stage, settings, _raise)
    clock = Clock()

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(*_: object, **__: object) -> None:
        clock.start()

    await app.start()
    tables: Any = app.tables
    while not tables.actives_ready:
        await asyncio.sleep(0.005)
    run = clock.stop()
    kept = sum(1 for _ in table)
    assert kept == count, f"{kept:,} of {count:,}"
    await app.stop()
    return run
