"""A record that nobody can process, as a dead letter."""

from __future__ import annotations

import time

import structlog

from agents.delivery import Record
from pipeline import metrics
from pipeline.kafka.send import Outgoing
from pipeline.version import VERSION
from schemas.codec import encode
from schemas.dead_letter import DeadLetter
from schemas.errors import Refused
from schemas.topics import DEAD_LETTERS

log = structlog.get_logger()


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
