"""What the views would say had nothing happened: computed in this process, from the records that the gateway made."""

from __future__ import annotations

import asyncio
import hashlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable

from aiokafka import ConsumerRecord
from msgspec import Struct

from pipeline.dialogue.call import ENDED_MS, received_ms
from pipeline.dialogue.calls import Calls
from pipeline.dialogue.tone import tone
from pipeline.kafka.partition import read_to_end
from pipeline.measure import measure
from pipeline.not_measured import not_measured
from pipeline.rules import read_vocabularies, rules
from pipeline.storage.blobs import Blobs
from pipeline.storage.rows import call_row, event_row, turn_row
from schemas.annotated import AnnotatedTurn, CallSummary
from schemas.codec import decode, encode_line
from schemas.errors import Refused
from schemas.identity import Position, record_key
from schemas.records import RECEIVED_DECODER, Measured, Received
from schemas.topics import RECEIVED, TopicSpec
from schemas.turn import ReceivedTurn
from tests.chaos.stack import WORKSPACE, Stack


async def records(stack: Stack, topic: TopicSpec, prefix: str) -> AsyncIterator[ConsumerRecord]:
    """Every record of the calls whose ids begin so, those of a partition in order."""
    begin = record_key(WORKSPACE, prefix)
    async for record in read_to_end(stack.kafka, topic.name, range(stack.settings.kafka_partitions)):
        if (record.key or b"").startswith(begin):
            yield record


async def compute(stack: Stack, prefix: str) -> None:
    """Write the rows of these calls into the database beside: each stage's function over all records at once."""
    blobs = Blobs(stack.settings.blobs())
    by_partition: defaultdict[int, list[tuple[Position, Measured]]] = defaultdict(list)
    async for record in records(stack, RECEIVED, prefix):
        try:
            received = decode(RECEIVED_DECODER, record.value or b"")
        except Refused:
            continue  # poison
        measured = await _measured(stack, blobs, received)
        by_partition[record.partition].append((Position(0, record.offset), measured))
    settings = stack.settings
    own_rules, own_tone = rules(settings.dialogue_rules), tone(read_vocabularies())
    for batch in by_partition.values():
        turns, events, calls = _annotated(Calls(settings.generation, own_rules, own_tone), batch)
        await _insert(stack, "turn_rows", turns)
        await _insert(stack, "event_rows", events)
        await _insert(stack, "call_rows", calls)


def _annotated(
    calls: Calls, batch: list[tuple[Position, Measured]]
) -> tuple[list[Struct], list[Struct], Iterable[Struct]]:
    """Rows of turns, events and calls of a partition; calls that ended are closed."""
    changes = calls.apply(batch)
    assert not changes.refused, f"the harness sent what no call takes: {changes.refused}"
    closing = calls.advance(max(received_ms(record) for _, record in batch) + ENDED_MS)
    newest: dict[bytes, CallSummary] = dict([*changes.summaries, *closing.summaries])
    turns: list[Struct] = []
    events: list[Struct] = []
    for _, annotated in changes.annotated:
        if isinstance(annotated, AnnotatedTurn):
            turns.append(turn_row(annotated))
        else:
            events.append(event_row(annotated))
    return turns, events, [call_row(summary) for summary in newest.values()]


async def _measured(stack: Stack, blobs: Blobs, received: Received) -> Measured:
    if not isinstance(received, ReceivedTurn):
        return received
    if received.audio is None:
        return not_measured(received, "no_audio")
    data = await blobs.get(received.audio.blob)
    assert data is not None, f"{received.call_id} {received.turn_id}: its 202 was given without its audio"
    settings = stack.settings
    return await asyncio.to_thread(
        measure, received, data, longest_s=settings.audio_seconds, estimator=settings.features_f0
    )


async def _insert(stack: Stack, table: str, rows: Iterable[Struct]) -> None:
    lines = b"".join(encode_line(row) for row in rows)
    if lines:
        token = hashlib.sha256(lines).hexdigest()
        await asyncio.to_thread(stack.undisturbed.insert, table, lines, token=token)
