"""What could not be processed, with all that is needed to find out why and to send it again."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
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
    exception: Annotated[str, Meta(description="Class of the error, then of what caused it. Empty in old ones.")] = ""


class HandledLetter(Struct, frozen=True, kw_only=True):
    """On `dead-letters.handled`, keyed `partition:offset` of a dead letter: what an operator did with it.

    failed_at : the letter's own; a topic that is made anew uses the offsets of the old one again.
    handled_at : epoch ms.
    """

    status: Literal["retried", "dropped"]
    failed_at: int
    handled_at: int


class StoredDead(Struct, frozen=True, kw_only=True, tag_field="state", tag="dead"):
    """On `dead-letters.counts`: the records of a source partition that a stage sent to the dead letters lately.

    dead : (offset, reason) in order, of the newest records as far back as the limits look.
    """

    stage: str
    topic: str
    partition: int
    dead: list[tuple[int, str]]


class StoredResume(Struct, frozen=True, kw_only=True, tag_field="state", tag="resume"):
    """On `dead-letters.counts`: from which offset of a source partition the limits count, as an operator said."""

    stage: str
    topic: str
    partition: int
    since: int


def count_key(stored: StoredDead | StoredResume) -> bytes:
    """Key on `dead-letters.counts`: one of each kind for a source partition."""
    kind = stored.__struct_config__.tag
    return f"{stored.stage}/{stored.topic}/{stored.partition}/{kind}".encode()


COUNTS_DECODER: msgspec.json.Decoder[StoredDead | StoredResume] = msgspec.json.Decoder(StoredDead | StoredResume)
