"""The sink stage: `turns.annotated` and `calls.summarised` into ClickHouse, one insert a table and batch."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import Sequence

from agents.dead_letters import dead_letter
from agents.delivery import Record, until_available
from pipeline.kafka.client import producer
from pipeline.kafka.send import send_all
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.rows import call_row, event_row, turn_row
from schemas.annotated import AnnotatedTurn
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.records import ANNOTATED_DECODER, SUMMARY_DECODER
from schemas.topics import ANNOTATED, SUMMARISED


class SinkStage:
    """Writes rows. A batch that is written twice changes nothing: rows have identities and versions."""

    name = "sink"
    sources = (ANNOTATED, SUMMARISED)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._generation = settings.generation
        self._producer = producer(settings, client_id="mise-voice-sink", linger_ms=0)
        self._clickhouse: ClickHouse | None = None

    async def __aenter__(self) -> SinkStage:
        await self._producer.start()
        self._clickhouse = await until_available("clickhouse", lambda: asyncio.to_thread(ClickHouse, self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        if self._clickhouse is not None:
            self._clickhouse.close()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Keeps nothing by partition."""

    async def process(self, batch: Sequence[Record]) -> None:
        """Insert the rows of the batch; what can't be read goes to the dead letters."""
        tables: defaultdict[str, bytearray] = defaultdict(bytearray)
        letters = []
        for record in batch:
            try:
                table, row = _row(record)
            except Refused as error:
                letters.append(dead_letter(self.name, record, error))
            else:
                tables[table] += row
                tables[table] += b"\n"
        for table, rows in tables.items():
            await self._insert(table, bytes(rows), self._token(batch, rows))
        await send_all(self._producer, letters)

    async def _insert(self, table: str, rows: bytes, token: str) -> None:
        clickhouse = self._clickhouse
        assert clickhouse is not None, "process is called inside `async with` only"  # noqa: S101
        await until_available("clickhouse", lambda: asyncio.to_thread(clickhouse.insert, table, rows, token=token))

    def _token(self, batch: Sequence[Record], rows: bytes | bytearray) -> str:
        """Deduplication token: the offset ranges that the batch covers, the generation, and the rows themselves.

        The rows, because ClickHouse drops other rows under a known token in silence, and a topic that was made anew
        begins again with the offsets of the old one.
        """
        ranges: dict[tuple[str, int], tuple[int, int]] = {}
        for record in batch:
            place = (record.topic, record.partition)
            first, last = ranges.get(place, (record.offset, record.offset))
            ranges[place] = (min(first, record.offset), max(last, record.offset))
        token = hashlib.sha256(repr((sorted(ranges.items()), self._generation)).encode())
        token.update(rows)
        return token.hexdigest()


def _row(record: Record) -> tuple[str, bytes]:
    """Table and encoded row of a record. Raises Refused when it can't be read."""
    value = record.value or b""
    if record.topic == SUMMARISED.name:
        return "call_rows", encode(call_row(decode(SUMMARY_DECODER, value)))
    annotated = decode(ANNOTATED_DECODER, value)
    if isinstance(annotated, AnnotatedTurn):
        return "turn_rows", encode(turn_row(annotated))
    return "event_rows", encode(event_row(annotated))
