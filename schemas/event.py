"""A call event: as a client sends it (`CallEvent`), and as the gateway publishes it (`ReceivedEvent`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.turn import Instant, Participant

EventType = Literal[
    "room_started",
    "participant_joined",
    "participant_left",
    "transfer",
    "tool_call",
    "system",
    "metrics",
    "error",
    "outcome",
    "call_ended",
]
Value = str | int | float | bool | None


class CallEvent(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST /v1/calls/{call_id}/events`: something that happened in a call beside speech."""

    type: EventType
    at: Instant
    participant: Participant | None = None
    data: Annotated[dict[str, Value] | None, Meta(description="Details, flat: strings, numbers, booleans, nulls.")] = (
        None
    )
    event_id: Annotated[
        str | None,
        Meta(description="The sender's idempotency key, 1 to 256 bytes. Default: a hash of all fields."),
    ] = None


class ReceivedEvent(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="event"):
    """A call event on the topics. Identity: (workspace, call_id, event_id)."""

    workspace: str
    call_id: str
    event_id: str
    type: EventType
    at: Annotated[int, Meta(description="Epoch ms.")]
    received_at: Annotated[int, Meta(description="Epoch µs, stamped by the gateway.")]
    content_hash: Annotated[str, Meta(description="32 hex digits over everything but received_at.")]
    participant: str | None = None
    data: dict[str, Value] = {}
