"""The topics: one table, created explicitly before anything uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DAY_MS = 24 * 60 * 60 * 1000

MAX_RECORD_BYTES = 2 * 1024 * 1024
"""An accepted record (900 kB at most) with its features, its speech (130 kB for an hour of beeps), its contour and its
overlaps (600 kB for as many as are written)."""


@dataclass(frozen=True)
class TopicSpec:
    """One topic.

    partitioned_by_call : has the pipeline's partition count, and a call's records stand in the partition that its key
        gives (so call c is in the same partition number everywhere); otherwise the topic has one partition.
    max_record_bytes : `max.message.bytes` of the topic.
    retention_ms : how long records are kept; None is for ever (only the newest of a key when `compact`).
    """

    name: str
    holds: str
    retention_ms: int | None
    partitioned_by_call: bool = True
    cleanup: Literal["delete", "compact"] = "delete"
    max_record_bytes: int = MAX_RECORD_BYTES


RECEIVED = TopicSpec("turns.received", "ReceivedTurn | ReceivedEvent, from the gateway", 35 * DAY_MS)
MEASURED = TopicSpec("turns.measured", "MeasuredTurn | ReceivedEvent, from the features stage", 35 * DAY_MS)
ANNOTATED = TopicSpec("turns.annotated", "AnnotatedTurn | AnnotatedEvent, from the calls stage", 7 * DAY_MS)
SUMMARISED = TopicSpec("calls.summarised", "CallSummary, from the calls stage", 7 * DAY_MS)
CALL_STATE = TopicSpec("calls.state", "the calls stage's memory of calls", None, cleanup="compact")
DEAD_LETTERS = TopicSpec(
    "dead-letters",
    "DeadLetter, from every stage",
    90 * DAY_MS,
    partitioned_by_call=False,
    # Whatever a topic takes, its base64 (4/3) has to fit here: else the stage could not get past it.
    max_record_bytes=2 * MAX_RECORD_BYTES,
)
DEAD_LETTERS_HANDLED = TopicSpec(
    "dead-letters.handled",
    "HandledLetter: which dead letters were retried or dropped",
    # Twice as long as the letters: segments go whole, and a letter must not outlive what was done with it.
    180 * DAY_MS,
    partitioned_by_call=False,
)
DEAD_LETTERS_COUNTS = TopicSpec(
    "dead-letters.counts",
    "the newest dead letters of each source partition, by which a stage stops",
    None,
    partitioned_by_call=False,
    cleanup="compact",
)
EPOCHS = TopicSpec(
    "topic-epochs",
    "epoch of each topic whose offsets are versions",
    None,
    partitioned_by_call=False,
    cleanup="compact",
)

SOURCES: dict[str, tuple[TopicSpec, ...]] = {
    "features": (RECEIVED,),
    "calls": (MEASURED,),
    "sink": (ANNOTATED, SUMMARISED),
}
"""What each stage consumes, in the order of the data: what one has committed, the next has to read."""

TOPICS: tuple[TopicSpec, ...] = (
    RECEIVED,
    MEASURED,
    ANNOTATED,
    SUMMARISED,
    CALL_STATE,
    DEAD_LETTERS,
    DEAD_LETTERS_HANDLED,
    DEAD_LETTERS_COUNTS,
    EPOCHS,
)
