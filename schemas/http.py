"""Bodies of the gateway's answers, and of the batch request."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct


class TurnBatch(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/turns:batch`. Each turn is decoded on its own, so that a bad one costs no other."""

    turns: Annotated[list[msgspec.Raw], Meta(min_length=1)]


class Problem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a request was not accepted (RFC 9457, `application/problem+json`)."""

    title: Annotated[str, Meta(description="The status in words.")]
    status: int
    detail: Annotated[str, Meta(description="What is wrong, with the values, and the way out.")]
    type: Annotated[str, Meta(description="Always about:blank: the status says what kind it is.")] = "about:blank"
    field: Annotated[str | None, Meta(description="Path of the field at fault, e.g. words[3].start.")] = None
    reason: Annotated[str | None, Meta(description="Constant in snake_case, for programs.")] = None


class TurnAccepted(Struct, frozen=True):
    """The turn is on the topic, and its audio in the blob store."""

    call_id: str
    turn_id: str


class EventAccepted(Struct, frozen=True):
    """The call event is on the topic."""

    call_id: str
    event_id: str


class BatchItem(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of one turn of a batch, in the order sent: an id with status 202, else the problem."""

    status: int
    call_id: str | None = None
    turn_id: str | None = None
    problem: Problem | None = None


class BatchResult(Struct, frozen=True):
    """Answer to `POST /v1/turns:batch`."""

    results: list[BatchItem]
