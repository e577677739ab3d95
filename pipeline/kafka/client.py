"""How we connect to Kafka: one place for brokers, security and delivery settings."""

from __future__ import annotations

import asyncio
import ssl
import time
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from pipeline.settings import Settings
from schemas.errors import Misconfigured
from schemas.topics import MAX_RECORD_BYTES

REQUEST_TIMEOUT_MS = 10_000

STOP_WITHIN_S = 0.5
"""A consumer without a group has nothing to finish: it stops in milliseconds."""

METADATA_BACKOFF_S = 0.1


def brokers(settings: Settings) -> list[str]:
    """host:port of each bootstrap broker. Raises Misconfigured when none is set."""
    if not settings.kafka_brokers:
        raise Misconfigured(
            "MISE_VOICE_KAFKA_BROKERS is not set; name a cluster (host:port,…), or use `mise-voice run`"
        )
    return [broker.strip() for broker in settings.kafka_brokers.split(",")]


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """TLS context for SSL and SASL_SSL, else None."""
    if not settings.kafka_security_protocol.endswith("SSL"):
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=settings.kafka_ssl_ca_file, certfile=settings.kafka_ssl_cert_file, keyfile=settings.kafka_ssl_key_file
    )
    return context


def _connection(settings: Settings) -> dict[str, Any]:
    sasl = settings.kafka_security_protocol.startswith("SASL")
    password = settings.kafka_sasl_password
    return {
        "bootstrap_servers": brokers(settings),
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        **(
            {
                "sasl_mechanism": settings.kafka_sasl_mechanism,
                "sasl_plain_username": settings.kafka_sasl_username,
                "sasl_plain_password": password.get_secret_value() if password else None,
            }
            if sasl
            else {}
        ),
    }


def producer(settings: Settings, *, client_id: str, linger_ms: int = 5) -> AIOKafkaProducer:
    """A producer, not started: acks=all and idempotent, so an acknowledged record is durable, in order, and once.

    linger_ms : how long it waits to fill a request; what it adds to the latency of a lone record.
    """
    made = AIOKafkaProducer(
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=256 * 1024,
        max_request_size=MAX_RECORD_BYTES,
        **_connection(settings),
    )
    _space_metadata_updates(made.client)
    return made


class Reader(AIOKafkaConsumer):  # type: ignore[misc] # aiokafka has no types
    """A consumer whose `stop` ends.

    aiokafka 0.14 stops its fetcher by cancelling it once; a fetcher that is just then waiting for a fetch that it has
    cancelled itself swallows that (aio-libs/aiokafka#983), and `stop` waits for ever. Cancelled in turn, `stop` cancels
    the fetcher again, and goes on.
    """

    async def stop(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(super().stop(), STOP_WITHIN_S)


def reader(settings: Settings, *, client_id: str) -> Reader:
    """A consumer without a group, not started: for reading partitions from a place to their end."""
    made = Reader(
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=8 * MAX_RECORD_BYTES,
        max_partition_fetch_bytes=4 * MAX_RECORD_BYTES,
        **_connection(settings),
    )
    _space_metadata_updates(made._client)
    return made


def admin(settings: Settings) -> AIOKafkaAdminClient:
    """An admin client, not started."""
    return AIOKafkaAdminClient(client_id="mise-voice-admin", **_connection(settings))


def _space_metadata_updates(client: Any) -> None:
    """Let the client pause between two questions for the metadata, as Java's does (`retry.backoff.ms`).

    aiokafka 0.14 asks again at once while a partition has no leader (its sender and its fetcher): during an outage of
    Kafka that took a whole core, and wrote 7,000 lines a second into the log.
    """
    update = client._metadata_update
    last = float("-inf")

    async def spaced(*arguments: Any) -> Any:
        nonlocal last
        await asyncio.sleep(max(0.0, last + METADATA_BACKOFF_S - time.monotonic()))
        last = time.monotonic()
        return await update(*arguments)

    client._metadata_update = spaced
