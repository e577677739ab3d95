"""The unions that travel through the topics, each with its decoder."""

from __future__ import annotations

import msgspec

from schemas.annotated import AnnotatedEvent, AnnotatedTurn, CallSummary
from schemas.event import ReceivedEvent
from schemas.measured import MeasuredTurn
from schemas.turn import ReceivedTurn

Received = ReceivedTurn | ReceivedEvent
Measured = MeasuredTurn | ReceivedEvent
Annotated = AnnotatedTurn | AnnotatedEvent

RECEIVED_DECODER: msgspec.json.Decoder[Received] = msgspec.json.Decoder(Received)
MEASURED_DECODER: msgspec.json.Decoder[Measured] = msgspec.json.Decoder(Measured)
ANNOTATED_DECODER: msgspec.json.Decoder[Annotated] = msgspec.json.Decoder(Annotated)
SUMMARY_DECODER: msgspec.json.Decoder[CallSummary] = msgspec.json.Decoder(CallSummary)


def source(record: Measured) -> Received:
    """The received record that a measured one was made from; an event is its own."""
    return record.turn if isinstance(record, MeasuredTurn) else record
