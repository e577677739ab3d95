"""A call event as it is sent: what happened in a call beside speech."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from mise_observer.turn import Instant, check_instants, new_id

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


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEvent:
    """Something that happened in a call beside speech: the fields of `POST /v1/calls/{call_id}/events`.

    data : details, flat.
    event_id : an event sent again under it is the same one; made here when it is not given.
    Raises ValueError for a datetime without a zone.
    """

    call_id: str
    type: EventType
    at: Instant
    participant: str | None = None
    data: Mapping[str, Value] | None = None
    event_id: str = field(default_factory=new_id)

    def __post_init__(self) -> None:
        check_instants(self, "at")
        if self.data is not None:
            object.__setattr__(self, "data", dict(self.data))
