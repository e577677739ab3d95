"""How a stage's records are taken: what bounds a batch, and Faust's own way of taking them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, NamedTuple

import faust
from faust.types import EventT


class Limits(NamedTuple):
    """What ends a batch, whichever comes first.

    records : so many of them, at most.
    size_bytes : keys and values so large: exceeded by less than one record, so that any record fits.
    within_s : so long after its first record.
    """

    records: int
    size_bytes: int
    within_s: float


def size(event: EventT[bytes]) -> int:
    """Bytes of the record's key and value."""
    message = event.message
    return len(message.key or b"") + len(message.value or b"")


async def stock_batches(stream: faust.Stream[bytes], limits: Limits) -> AsyncIterator[Sequence[EventT[bytes]]]:
    """Batches of a stream's events as Faust takes them, cut to the limit of bytes; not acknowledged."""
    # Without noack() the stream acknowledges again once noack_take ends.
    manual: Any = stream.noack()  # typed without noack_take, which yields events and not values
    async for events in manual.noack_take(limits.records, within=limits.within_s):
        for batch in _cut(events, limits.size_bytes):
            yield batch


def _cut(events: Sequence[EventT[bytes]], size_bytes: int) -> Iterator[list[EventT[bytes]]]:
    batch: list[EventT[bytes]] = []
    held = 0
    for event in events:
        batch.append(event)
        held += size(event)
        if held >= size_bytes:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch
