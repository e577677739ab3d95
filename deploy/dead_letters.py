"""Dead letters as an operator handles them: found, sent again or dropped, and a stage that they stopped resumed.

What was done with a letter stands in `dead-letters.handled`; the letters themselves are never changed
(docs/decisions/0015).
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from pipeline.kafka.client import admin, producer
from pipeline.kafka.partition import read_to_end
from pipeline.kafka.send import Outgoing, send_all
from pipeline.settings import Settings
from schemas.codec import decode, encode
from schemas.dead_letter import DeadLetter, HandledLetter, StoredResume, count_key
from schemas.errors import Misconfigured, Refused
from schemas.identity import KEY_SEPARATOR
from schemas.topics import DEAD_LETTERS, DEAD_LETTERS_COUNTS, DEAD_LETTERS_HANDLED, TOPICS

_LETTER: msgspec.json.Decoder[DeadLetter] = msgspec.json.Decoder(DeadLetter)
_HANDLED: msgspec.json.Decoder[HandledLetter] = msgspec.json.Decoder(HandledLetter)
_ID = re.compile(r"(\d{1,9}):(\d{1,18})")

AT_ONCE_BYTES = 16 * 1024 * 1024
"""Of records that are sent again together; what a kill in between repeats is at most this."""

Handled = Literal["retried", "dropped"]
Status = Literal["open", "retried", "dropped"]


class LetterId(NamedTuple):
    """Where a dead letter stands in `dead-letters`; written `partition:offset`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def read(cls, text: str) -> LetterId:
        """The id in a text. Raises Refused."""
        match = _ID.fullmatch(text)
        if match is None:
            raise Refused(
                f"{text!r} is no dead letter; name it PARTITION:OFFSET, as `mise-voice dead-letters list` does"
            )
        return cls(int(match[1]), int(match[2]))


class Letter(NamedTuple):
    """A dead letter, and what was done with it."""

    id: LetterId
    content: DeadLetter
    status: Status

    @property
    def call(self) -> tuple[str, str] | None:
        """Workspace and call_id, None where the record's key is not that of a call."""
        workspace, separator, call_id = (self.content.key or b"").decode(errors="replace").partition(KEY_SEPARATOR)
        return (workspace, call_id) if separator else None


class Unreadable(NamedTuple):
    """A record on `dead-letters` that is none."""

    id: LetterId
    error: Refused


@dataclass(frozen=True)
class Filter:
    """Which letters are meant. What is None is not asked for; an instant is of when the letter was written [epoch ms].

    since, until : half open. handled : those that were retried or dropped already, too.
    """

    ids: Collection[LetterId] | None = None
    stage: str | None = None
    reason: str | None = None
    source_topic: str | None = None
    call: str | None = None
    since: int | None = None
    until: int | None = None
    handled: bool = False

    def takes(self, letter: Letter) -> bool:
        content = letter.content
        return (
            (self.handled or letter.status == "open")
            and (self.ids is None or letter.id in self.ids)
            and self.stage in (None, content.stage)
            and self.reason in (None, content.reason)
            and self.source_topic in (None, content.source_topic)
            and (self.call is None or (letter.call is not None and letter.call[1] == self.call))
            and (self.since is None or content.failed_at >= self.since)
            and (self.until is None or content.failed_at < self.until)
        )


async def letters(consumer: AIOKafkaConsumer) -> AsyncIterator[Letter | Unreadable]:
    """Every dead letter that is kept, the oldest first."""
    handled: dict[bytes, HandledLetter] = {}
    async for record in read_to_end(consumer, DEAD_LETTERS_HANDLED.name, [0]):
        handled[record.key] = decode(_HANDLED, record.value)
    async for record in read_to_end(consumer, DEAD_LETTERS.name, [0]):
        letter_id = LetterId(record.partition, record.offset)
        try:
            content = decode(_LETTER, record.value or b"")
        except Refused as error:
            yield Unreadable(letter_id, error)
            continue
        known = handled.get(_key(letter_id))
        # The offsets of a topic that was made anew are those of other letters.
        is_its = known is not None and known.failed_at == content.failed_at
        yield Letter(letter_id, content, known.status if known is not None and is_its else "open")


async def handle(settings: Settings, consumer: AIOKafkaConsumer, ids: Collection[LetterId], what: Handled) -> int:
    """Retry or drop the letters with these ids; how many were. Raises Misconfigured for a record that has no place.

    A retried record goes where it was read from, so to the stage that refused it, and what was refused of one call
    goes in its order. It is durable before the letter is marked: a kill in between has it sent once more, which changes
    no row.
    """
    count, size = 0, 0
    together: list[Letter] = []
    async with producer(settings, client_id="mise-voice-dead-letters", linger_ms=0) as sender:
        async for letter in letters(consumer):
            if not isinstance(letter, Letter) or letter.id not in ids:
                continue
            together.append(letter)
            count, size = count + 1, size + len(letter.content.value or b"")
            if size >= AT_ONCE_BYTES:
                await _handle(sender, together, what)
                together, size = [], 0
        await _handle(sender, together, what)
    return count


async def _handle(sender: AIOKafkaProducer, together: Iterable[Letter], what: Handled) -> None:
    now_ms = time.time_ns() // 1_000_000
    if what == "retried":
        again = [_again(letter, now_ms) for letter in together]
        for topic, partition in {(record.topic, record.partition) for record in again}:
            if partition not in (await sender.partitions_for(topic) or ()):
                raise Misconfigured(f"topic {topic} has no partition {partition}; drop what was read from it")
        await send_all(sender, again)
    marks = [HandledLetter(status=what, failed_at=letter.content.failed_at, handled_at=now_ms) for letter in together]
    await send_all(
        sender,
        (
            Outgoing(DEAD_LETTERS_HANDLED.name, 0, _key(letter.id), encode(mark), now_ms)
            for letter, mark in zip(together, marks, strict=True)
        ),
    )


def _again(letter: Letter, now_ms: int) -> Outgoing:
    """The record of a letter as it is sent again: byte for byte, under the time of now.

    Not under its own time: retention would delete what is older than it before any stage reads it. `received_at` is in
    the record.
    """
    content = letter.content
    if content.source_topic not in {topic.name for topic in TOPICS}:
        raise Misconfigured(f"dead letter {letter.id}: topic {content.source_topic!r} is none of ours; drop the letter")
    return Outgoing(content.source_topic, content.source_partition, content.key, content.value, now_ms)


def _key(letter_id: LetterId) -> bytes:
    return str(letter_id).encode()


async def resume(
    settings: Settings, consumer: AIOKafkaConsumer, stage: str, group: str, topics: Iterable[str], *, to_end: bool
) -> int:
    """Have the limits of a stage count anew; over how many partitions.

    From the record on at which it stands; to_end : from the end on of what is there now, so all of it may go to the
    dead letters. A stage reads it when partitions are assigned to it, so when it is started again.
    """
    client = admin(settings)
    await client.start()
    try:
        places = [
            TopicPartition(described["topic"], partition["partition"])
            for described in await client.describe_topics(list(topics))
            for partition in described["partitions"]
        ]
        if to_end:
            since = await consumer.end_offsets(places)
        else:
            committed = await client.list_consumer_group_offsets(group, partitions=places)
            since = {place: max(0, committed[place].offset) for place in places}
    finally:
        await client.close()
    now_ms = time.time_ns() // 1_000_000
    stored = [
        StoredResume(stage=stage, topic=place.topic, partition=place.partition, since=since[place]) for place in places
    ]
    async with producer(settings, client_id="mise-voice-dead-letters", linger_ms=0) as sender:
        await send_all(
            sender, (Outgoing(DEAD_LETTERS_COUNTS.name, 0, count_key(one), encode(one), now_ms) for one in stored)
        )
    return len(places)
