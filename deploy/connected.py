"""A reader of our topics for the commands that read them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from pipeline.kafka.client import reader
from pipeline.kafka.topics import check_created
from pipeline.settings import Settings
from schemas.errors import Unavailable


@asynccontextmanager
async def connected(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer without a group.

    Raises Misconfigured where no topics were made; Unavailable when Kafka does not answer, also inside the block.
    """
    try:
        async with reader(settings, client_id="mise-voice-command") as consumer:
            await check_created(consumer)
            yield consumer
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings.kafka_brokers}: {error!r}") from error
