"""Sending many records at once, and waiting until all of them are acknowledged."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer


class Outgoing(NamedTuple):
    """A record to send. timestamp_ms : epoch ms. value None deletes the key of a compacted topic."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int


async def send_all(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> None:
    """Send the records, those of a partition in the order given; return when all are acknowledged.

    Built by partition rather than record by record: a future and a task for each record would cost more than the
    record. Raises KafkaError when a record was not acknowledged; which ones were is then unknown.
    """
    by_partition: defaultdict[tuple[str, int], list[Outgoing]] = defaultdict(list)
    for record in records:
        by_partition[record.topic, record.partition].append(record)
    await asyncio.gather(*(_send(producer, *place, own) for place, own in by_partition.items()))


async def _send(producer: AIOKafkaProducer, topic: str, partition: int, records: list[Outgoing]) -> None:
    sent = []
    batch = producer.create_batch()
    for record in records:
        entry = {"key": record.key, "value": record.value, "timestamp": record.timestamp_ms}
        if batch.append(**entry) is None:  # full
            sent.append(await producer.send_batch(batch, topic, partition=partition))
            batch = producer.create_batch()
            batch.append(**entry)  # the first always fits, however large
    sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)
