"""How we connect to Kafka: one place for brokers, security and delivery settings."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.helpers import create_ssl_context

from pipeline.settings import Settings
from schemas.errors import Misconfigured
from schemas.topics import MAX_RECORD_BYTES

REQUEST_TIMEOUT_MS = 10_000


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
    return AIOKafkaProducer(
        client_id=client_id,
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_batch_size=256 * 1024,
        max_request_size=MAX_RECORD_BYTES,
        **_connection(settings),
    )


def reader(settings: Settings, *, client_id: str) -> AIOKafkaConsumer:
    """A consumer without a group, not started: for reading a partition from a place to its end."""
    return AIOKafkaConsumer(
        client_id=client_id,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_bytes=8 * MAX_RECORD_BYTES,
        max_partition_fetch_bytes=4 * MAX_RECORD_BYTES,
        **_connection(settings),
    )


def admin(settings: Settings) -> AIOKafkaAdminClient:
    """An admin client, not started."""
    return AIOKafkaAdminClient(client_id="mise-voice-admin", **_connection(settings))
