"""What could not be processed, with all that is needed to find out why and to send it again."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class DeadLetter(Struct, frozen=True, kw_only=True):
    """A record on `dead-letters`."""

    stage: Annotated[str, Meta(description="features, calls or sink.")]
    reason: Annotated[str, Meta(description="Constant, snake_case.")]
    error: Annotated[str, Meta(description="The error's message.")]
    source_topic: str
    source_partition: int
    source_offset: int
    source_timestamp: Annotated[int | None, Meta(description="Epoch ms of the source record.")]
    key: Annotated[bytes | None, Meta(description="The record's key, base64.")]
    value: Annotated[bytes | None, Meta(description="The record's bytes, base64.")]
    version: Annotated[str, Meta(description="Version of the pipeline that gave up.")]
    failed_at: Annotated[int, Meta(description="Epoch ms.")]
