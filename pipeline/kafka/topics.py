"""Creates the topics of `schemas.topics`, and keeps the epochs of those whose offsets are versions."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from pipeline.kafka.client import admin, producer, reader
from pipeline.kafka.partition import read_newest
from pipeline.settings import Settings
from schemas.errors import Misconfigured, Unavailable
from schemas.topics import EPOCHS, MEASURED, RECEIVED, TOPICS, TopicSpec

log = structlog.get_logger()

EPOCH_ZERO_S = 1_767_225_600
"""2026-01-01. Epochs count minutes from here, so that they rise even when the whole cluster was made anew."""

KNOWN_WITHIN_S = 15.0


async def create_topics(settings: Settings) -> None:
    """Create the topics that are missing, and check those that are there.

    Raises Misconfigured when a topic has another partition count than `kafka_partitions`: a call's records would no
    longer stand in one partition. Raises Unavailable when the cluster does not answer.
    """
    client = admin(settings)
    try:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(client.close)
            await client.start()
            await _create(settings, client)
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings.kafka_brokers}: {error!r}") from error


async def _create(settings: Settings, client: AIOKafkaAdminClient) -> None:
    existing = set(await client.list_topics())
    if EPOCHS.name not in existing:
        await _create_one(settings, client, EPOCHS)
    if MEASURED.name not in existing:
        # Before the topic itself: a crash in between costs an epoch, the other way round would reuse one.
        await _raise_epoch(settings, MEASURED.name)
    for spec in TOPICS:
        if spec.name not in existing and spec != EPOCHS:
            await _create_one(settings, client, spec)
    await _check_partitions(settings, client)


async def _create_one(settings: Settings, client: AIOKafkaAdminClient, spec: TopicSpec) -> None:
    topic = NewTopic(
        name=spec.name,
        num_partitions=_partitions(settings, spec),
        replication_factor=settings.kafka_replication_factor,
        topic_configs=topic_configs(settings, spec),
    )
    response = await client.create_topics([topic])
    for _, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise Misconfigured(f"topic {spec.name} could not be created: {error.__name__} {rest[0] if rest else ''}")
    log.info("topic_created", topic=spec.name, partitions=topic.num_partitions)


def topic_configs(settings: Settings, spec: TopicSpec) -> dict[str, str]:
    """What a topic of ours is created with."""
    return {
        "cleanup.policy": spec.cleanup,
        "retention.ms": str(-1 if spec.retention_ms is None else spec.retention_ms),
        "max.message.bytes": str(spec.max_record_bytes),
        "message.timestamp.type": "CreateTime",
        # Only the gateway's clock is held against the broker's; what was taken must not be refused further on.
        **({} if spec == RECEIVED else {"message.timestamp.after.max.ms": str(2**63 - 1)}),
        # One replica down must not stop the writes, and no write may rest on one replica alone.
        "min.insync.replicas": str(max(1, settings.kafka_replication_factor - 1)),
    }


async def _check_partitions(settings: Settings, client: AIOKafkaAdminClient) -> None:
    for described in await _described(client):
        spec = next(spec for spec in TOPICS if spec.name == described["topic"])
        found, expected = len(described["partitions"]), _partitions(settings, spec)
        if found != expected:
            raise Misconfigured(
                f"topic {spec.name} has {found} partitions, expected {expected}; set "
                f"MISE_VOICE_KAFKA_PARTITIONS to what the topics have, or make them anew"
            )


async def _described(client: AIOKafkaAdminClient) -> list[dict[str, Any]]:
    """The topics as the brokers know them, once every one has its partitions: a new one takes a moment to spread."""
    try:
        async with asyncio.timeout(KNOWN_WITHIN_S):
            while True:
                described: list[dict[str, Any]] = await client.describe_topics([spec.name for spec in TOPICS])
                if all(topic["partitions"] for topic in described):
                    return described
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(
            f"Kafka does not show all of our topics {KNOWN_WITHIN_S:.0f} s after they were made"
        ) from None


def _partitions(settings: Settings, spec: TopicSpec) -> int:
    return settings.kafka_partitions if spec.partitioned_by_call else 1


async def check_created(consumer: AIOKafkaConsumer) -> None:
    """Raise Misconfigured when a topic of ours is missing: to read it would wait for ever."""
    missing = {spec.name for spec in TOPICS} - await consumer.topics()
    if missing:
        raise Misconfigured(f"Kafka lacks {', '.join(sorted(missing))}; create the topics with `mise-voice migrate`")


async def read_epoch(settings: Settings, topic: str) -> int:
    """The topic's epoch. Raises Misconfigured when it has none: the topics were not created by us."""
    async with reader(settings, client_id="mise-voice-epochs") as consumer:
        epochs = (await read_newest(consumer, EPOCHS.name, [0]))[0]
    if topic.encode() not in epochs:
        raise Misconfigured(f"topic {topic} has no epoch in {EPOCHS.name}; create the topics with `mise-voice migrate`")
    return int(epochs[topic.encode()])


async def _raise_epoch(settings: Settings, topic: str) -> None:
    async with reader(settings, client_id="mise-voice-epochs") as consumer:
        last = int((await read_newest(consumer, EPOCHS.name, [0]))[0].get(topic.encode(), b"-1"))
    epoch = max(last + 1, int(time.time() - EPOCH_ZERO_S) // 60)
    async with producer(settings, client_id="mise-voice-epochs") as sender:
        await sender.send_and_wait(EPOCHS.name, str(epoch).encode(), key=topic.encode(), partition=0)
    log.info("topic_epoch_raised", topic=topic, epoch=epoch)
