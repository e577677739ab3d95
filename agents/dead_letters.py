"""Records that nobody can process, as dead letters, and the limit of them at which a stage stops."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from agents.delivery import Record, until_available
from pipeline import metrics
from pipeline.dead_letter_limit import LAST, Dead, Excess, Limit
from pipeline.kafka.client import reader
from pipeline.kafka.partition import read_newest
from pipeline.kafka.send import Outgoing
from pipeline.kafka.topics import check_created
from pipeline.settings import Settings
from pipeline.version import VERSION
from schemas.codec import decode, encode
from schemas.dead_letter import COUNTS_DECODER, DeadLetter, StoredDead, count_key
from schemas.errors import Refused, TooManyRefused, Unavailable
from schemas.topics import DEAD_LETTERS, DEAD_LETTERS_COUNTS

log = structlog.get_logger()


class RefusedRecord(NamedTuple):
    """A record that the stage can't process, and why."""

    record: Record
    error: Refused


class DeadLetters:
    """The dead letters of a stage, within their limit.

    What the limit counts is of a source partition and goes with it from process to process: it is in the compacted
    topic `dead-letters.counts`, and in memory between two assignments (docs/decisions/0015).
    """

    def __init__(self, settings: Settings, stage: str) -> None:
        self._settings = settings
        self._stage = stage
        self._assigned: frozenset[int] = frozenset()
        self._limits: dict[TopicPartition, Limit] | None = None

    def on_assigned(self, partitions: frozenset[int]) -> None:
        """Forget all: another process may have had the partitions meanwhile."""
        self._assigned = partitions
        self._limits = None

    async def of(self, batch: Sequence[Record], refused: Sequence[RefusedRecord]) -> list[Outgoing]:
        """The dead letters of a batch and what has to be saved with them: to be durable before its acknowledgement.

        refused : records of the batch, in any order. Raises TooManyRefused when a partition gives more of them than it
        may; then nothing of the batch goes to the dead letters: it would come again with each restart.
        """
        limits = await self._loaded()
        first: dict[TopicPartition, int] = {}
        for record in batch:
            first.setdefault(TopicPartition(record.topic, record.partition), record.offset)
        own: defaultdict[TopicPartition, list[RefusedRecord]] = defaultdict(list)
        for one in sorted(refused, key=lambda one: one.record.offset):
            own[TopicPartition(one.record.topic, one.record.partition)].append(one)
        counts = []
        for place, offset in first.items():
            limit = limits.setdefault(place, Limit())
            before = limit.dead
            excess = limit.take(offset, [Dead(one.record.offset, one.error.reason) for one in own[place]])
            if excess is not None:
                raise self._too_many(place, excess, own[place])
            # What is left of a partition that went to another process is counted there.
            if limit.dead != before and place.partition in self._assigned:
                counts.append(self._saves(place, limit))
        return [dead_letter(self._stage, *one) for letters in own.values() for one in letters] + counts

    def _saves(self, place: TopicPartition, limit: Limit) -> Outgoing:
        dead = [(one.offset, one.reason) for one in limit.dead]
        stored = StoredDead(stage=self._stage, topic=place.topic, partition=place.partition, dead=dead)
        now_ms = time.time_ns() // 1_000_000
        return Outgoing(DEAD_LETTERS_COUNTS.name, 0, count_key(stored), encode(stored), now_ms)

    def _too_many(self, place: TopicPartition, excess: Excess, refused: Sequence[RefusedRecord]) -> TooManyRefused:
        error = next(one.error for one in refused if one.record.offset == excess.offset)
        # Not the error's message: it may quote what was said. The dead letters up to here have it.
        log.critical(
            "too_many_dead_letters",
            stage=self._stage,
            topic=place.topic,
            partition=place.partition,
            offset=excess.offset,
            reason=error.reason,
            field=error.field,
            in_a_row=excess.in_a_row,
            of_the_last=LAST,
            dead=excess.dead,
            reasons=excess.reasons,
            todo=f"mend the cause, and the stage goes on by itself; or let the records pass into the dead letters: "
            f"mise-voice dead-letters resume {self._stage}",
        )
        return TooManyRefused(
            f"{self._stage}: {excess.in_a_row} records in a row and {excess.dead} of the last {LAST} can't be "
            f"processed, up to {place.topic}/{place.partition} at offset {excess.offset} ({error.reason}); mend the "
            f"cause, or let them pass into the dead letters with `mise-voice dead-letters resume {self._stage}`"
        )

    async def _loaded(self) -> dict[TopicPartition, Limit]:
        limits = self._limits
        while limits is None:
            assigned = self._assigned
            loaded = await until_available("dead-letters.counts", partial(self._load, assigned)) if assigned else {}
            if assigned is self._assigned:  # else what was read may be of before the assignment
                limits = self._limits = loaded
        return limits

    async def _load(self, partitions: frozenset[int]) -> dict[TopicPartition, Limit]:
        """The limits of these partitions as they were saved.

        Raises Misconfigured where no topics were made, Unavailable when Kafka does not answer.
        """
        dead: dict[TopicPartition, list[tuple[int, str]]] = {}
        since: dict[TopicPartition, int] = {}
        try:
            async with reader(self._settings, client_id=f"mise-voice-{self._stage}-counts") as consumer:
                await check_created(consumer)
                saved = (await read_newest(consumer, DEAD_LETTERS_COUNTS.name, [0]))[0]
                for key, value in saved.items():
                    try:
                        stored = decode(COUNTS_DECODER, value)
                    except Refused as error:
                        # It would stop every stage; without it one partition's limit counts anew.
                        log.warning("count_unreadable", key=key, error=str(error))
                        continue
                    place = TopicPartition(stored.topic, stored.partition)
                    if stored.stage != self._stage or stored.partition not in partitions:
                        continue
                    if isinstance(stored, StoredDead):
                        dead[place] = stored.dead
                    # Beyond its end: the topic was made anew since, and nobody let anything of it pass.
                    elif stored.since <= (await consumer.end_offsets([place]))[place]:
                        since[place] = stored.since
        except KafkaError as error:
            raise Unavailable(f"Kafka at {self._settings.kafka_brokers}: {error!r}") from error
        return {
            place: Limit([Dead(*entry) for entry in dead.get(place, [])], since.get(place, 0))
            for place in dead.keys() | since.keys()
        }


def dead_letter(stage: str, record: Record, error: Refused) -> Outgoing:
    """The dead letter of a record, to be sent before the record is acknowledged."""
    metrics.STAGE_DEAD_LETTERS.labels(stage, error.reason).inc()
    log.warning(
        "dead_letter",
        stage=stage,
        reason=error.reason,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
    )
    now_ms = time.time_ns() // 1_000_000
    letter = DeadLetter(
        stage=stage,
        reason=error.reason,
        error=str(error),
        exception=_classes(error),
        source_topic=record.topic,
        source_partition=record.partition,
        source_offset=record.offset,
        source_timestamp=record.timestamp_ms,
        key=record.key,
        value=record.value,
        version=VERSION,
        failed_at=now_ms,
    )
    # Without the key as a key: it is in the letter, and twice it might not fit.
    return Outgoing(DEAD_LETTERS.name, 0, None, encode(letter), now_ms)


def _classes(error: BaseException | None) -> str:
    """The error's class, then that of what caused it, and so on: `Refused < DatabaseError`."""
    names = []
    while error is not None:
        names.append(type(error).__name__)
        error = error.__cause__
    return " < ".join(names)
