"""Reading partitions from their beginning to their end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition


async def read_to_end(
    consumer: AIOKafkaConsumer, topic: str, partitions: Iterable[int]
) -> AsyncIterator[ConsumerRecord]:
    """Every record that stands in the partitions now, those of a partition in order.

    consumer : started and without a group; it is assigned these partitions and no others, paused in the end.
    """
    places = [TopicPartition(topic, partition) for partition in partitions]
    consumer.assign(places)
    try:
        starts = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        unread = {place for place in places if starts[place] < ends[place]}
        consumer.pause(*(place for place in places if place not in unread))
        for place in unread:
            consumer.seek(place, starts[place])
        while unread:
            for place, records in (await consumer.getmany(*unread, timeout_ms=1_000)).items():
                for record in records:
                    if record.offset < ends[place]:
                        yield record
            # Not the last record's offset: compaction and control records leave gaps, also at the end.
            unread = {place for place in unread if await consumer.position(place) < ends[place]}
    finally:
        # Else it goes on fetching what nobody reads, for as long as it lives. (To unsubscribe would cancel a fetch.)
        consumer.pause(*places)


async def read_newest(
    consumer: AIOKafkaConsumer, topic: str, partitions: Iterable[int]
) -> dict[int, dict[bytes, bytes]]:
    """For each partition of a compacted topic the newest value of each key; deleted keys are left out."""
    newest: dict[int, dict[bytes, bytes]] = {partition: {} for partition in partitions}
    async for record in read_to_end(consumer, topic, newest):
        own = newest[record.partition]
        if record.value is None:
            own.pop(record.key, None)
        else:
            own[record.key] = record.value
    return newest
