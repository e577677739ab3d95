"""The sink stage: `turns.annotated` and `calls.summarised` into ClickHouse, one insert a table and batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from agents.dead_letters import DeadLetters, RefusedRecord
from agents.delivery import Record, until_available
from pipeline import metrics
from pipeline.kafka.client import producer
from pipeline.kafka.send import send_all
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import check_migrated
from pipeline.storage.rows import call_row, event_row, turn_row
from schemas.annotated import AnnotatedTurn
from schemas.codec import decode, encode_line
from schemas.errors import Refused
from schemas.records import ANNOTATED_DECODER, SUMMARY_DECODER
from schemas.topics import SOURCES, SUMMARISED


class SinkStage:
    """Writes rows. A batch that is written twice changes nothing: rows have identities and versions."""

    name = "sink"
    sources = SOURCES[name]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._producer = producer(settings, client_id="mise-voice-sink", linger_ms=0)
        self._dead_letters = DeadLetters(settings, self.name)
        self._clickhouse: ClickHouse | None = None

    async def __aenter__(self) -> SinkStage:
        await self._producer.start()
        self._clickhouse = await until_available("clickhouse", lambda: asyncio.to_thread(_migrated, self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        if self._clickhouse is not None:
            self._clickhouse.close()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Keeps nothing by partition but the limit of dead letters."""
        self._dead_letters.on_assigned(partitions)

    async def process(self, batch: Sequence[Record]) -> None:
        """Insert the rows of the batch; what can't be read, or what ClickHouse rejects, goes to the dead letters."""
        tables: defaultdict[str, list[_Row]] = defaultdict(list)
        refused = []
        for record in batch:
            try:
                row = _row(record)
            except Refused as error:
                refused.append(RefusedRecord(record, error))
            else:
                tables[row.table].append(row)
        for table, rows in tables.items():
            refused += await self._insert(table, rows)
        await send_all(self._producer, await self._dead_letters.of(batch, refused))

    async def _insert(self, table: str, rows: Sequence[_Row]) -> list[RefusedRecord]:
        """Insert the rows; the records of those that ClickHouse rejects, found by halving."""
        clickhouse = self._clickhouse
        assert clickhouse is not None, "process is called inside `async with` only"  # noqa: S101
        lines = b"".join(row.line for row in rows)
        # The rows themselves: under a token of offsets ClickHouse would drop, in silence, the rows of a topic that was
        # made anew and begins again with the offsets of the old one.
        token = hashlib.sha256(lines).hexdigest()
        try:
            await until_available("clickhouse", lambda: asyncio.to_thread(_insert, clickhouse, table, lines, token))
        except Refused as error:
            if error.reason != "row_rejected":
                raise
            if len(rows) == 1:
                return [RefusedRecord(rows[0].record, error)]
            half = len(rows) // 2
            return await self._insert(table, rows[:half]) + await self._insert(table, rows[half:])
        return []


def _migrated(settings: Settings) -> ClickHouse:
    """A connection to a database that has every column. Raises Misconfigured."""
    clickhouse = ClickHouse(settings)
    check_migrated(clickhouse)
    return clickhouse


def _insert(clickhouse: ClickHouse, table: str, lines: bytes, token: str) -> None:
    with metrics.INSERT_SECONDS.labels(table).time():
        clickhouse.insert(table, lines, token=token)


class _Row(NamedTuple):
    """A row to insert, as a line of JSON, and the record that it came from."""

    record: Record
    table: str
    line: bytes


def _row(record: Record) -> _Row:
    """The row of a record. Raises Refused when it can't be read."""
    value = record.value or b""
    if record.topic == SUMMARISED.name:
        return _Row(record, "call_rows", encode_line(call_row(decode(SUMMARY_DECODER, value))))
    annotated = decode(ANNOTATED_DECODER, value)
    if isinstance(annotated, AnnotatedTurn):
        return _Row(record, "turn_rows", encode_line(turn_row(annotated)))
    return _Row(record, "event_rows", encode_line(event_row(annotated)))
