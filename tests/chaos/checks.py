"""The promises, checked exactly: nothing lost, nothing doubled, nothing different, nothing committed too early."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from aiokafka import TopicPartition

from pipeline.kafka.partition import read_to_end
from pipeline.storage.clickhouse import ClickHouse
from schemas.annotated import AnnotatedTurn
from schemas.codec import decode
from schemas.dead_letter import DeadLetter
from schemas.errors import Refused
from schemas.records import ANNOTATED_DECODER, MEASURED_DECODER, RECEIVED_DECODER, SUMMARY_DECODER, source
from schemas.topics import ANNOTATED, DEAD_LETTERS, MEASURED, RECEIVED, SOURCES, SUMMARISED
from schemas.turn import ReceivedTurn
from tests.chaos.load import Load
from tests.chaos.stack import Stack
from tests.chaos.undisturbed import compute, records
from tests.integration.waiting import until

Row = dict[str, Any]
Key = tuple[Any, ...]

VIEWS: dict[str, tuple[str, ...]] = {
    "turns": ("call_id", "turn_id"),
    "call_events": ("call_id", "event_id"),
    "calls": ("call_id",),
    "overlaps": ("call_id", "turn_id", "overlapped", "started_at"),
    "faults": ("call_id", "at", "kind", "participant", "turn_id"),
    "silences": ("call_id", "at"),
}
"""The views, and what is there once in each."""

DIFFERS = {"version", "inserted_at"}
"""Where records stand in `turns.measured` depends on what was done twice; all else follows from `turns.received`."""

CLOSED_WITHIN_S = 40.0
"""10 s after its last record, when that is known to be the last; the rest is for a busy machine."""


class Place(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Report:
    """What a run found. requests : made by the load, turns : acknowledged; the rest is what broke a promise, each in
    words.
    """

    turns: int
    requests: int
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    committed_early: list[str] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)

    def broken(self) -> dict[str, list[str]]:
        """The promises that were broken, by name."""
        promises = ("lost", "doubled", "different", "committed_early", "dead_letters")
        return {name: found for name in promises if (found := getattr(self, name))}


async def report(stack: Stack, load: Load, *, letters_since: int, poison: Collection[Place] = ()) -> Report:
    """Wait until all has gone through and calls that ended are closed; then compare. poison : all of it since then."""
    await stack.drain()
    await compute(stack, load.prefix)
    await until(lambda: _closed(stack, load.prefix), lambda closed: closed >= load.ended, within_s=CLOSED_WITHIN_S)
    await stack.drain()
    found = await _views(stack.clickhouse, load.prefix)
    expected = await _views(stack.undisturbed, load.prefix)
    return Report(
        turns=len(load.accepted),
        requests=load.requests,
        lost=_lost(load, found),
        doubled=[
            f"{view} {key}: {count} rows"
            for view in VIEWS
            for key, count in Counter(_key(view, row) for row in found[view]).items()
            if count > 1
        ],
        different=[line for view in VIEWS for line in _different(view, found[view], expected[view])],
        committed_early=[line for stage in SOURCES for line in await committed_early(stack, stage, load.prefix)],
        dead_letters=await _dead_letters(stack, letters_since, poison),
    )


async def committed_early(stack: Stack, stage: str, prefix: str) -> list[str]:
    """Records of these calls that the stage has committed, and from which nothing durable has followed."""
    committed = await stack.committed(stage)
    made = await {"features": _measured, "calls": _annotated, "sink": _stored}[stage](stack, prefix)
    early = []
    for topic in SOURCES[stage]:
        async for record in records(stack, topic, prefix):
            place = TopicPartition(topic.name, record.partition)
            if not stack.settled.get(place, 0) <= record.offset < committed[place]:
                continue
            try:
                identity, order = _following(topic.name, record.value)
            except Refused:
                continue  # poison: the dead letters tell
            if made.get(identity, -1) < order:
                early.append(f"{stage}: {topic.name}/{record.partition}@{record.offset} {identity}")
    return early


def _following(topic: str, value: bytes | None) -> tuple[Key, int]:
    """What has to follow from a record: the identity, and how new it has to be at least."""
    data = value or b""
    if topic == SUMMARISED.name:
        summary = decode(SUMMARY_DECODER, data)
        return ("call", summary.call_id), summary.version
    if topic == ANNOTATED.name:
        annotated = decode(ANNOTATED_DECODER, data)
        if isinstance(annotated, AnnotatedTurn):
            return ("turn", annotated.measured.turn.call_id, annotated.measured.turn.turn_id), annotated.version
        return ("event", annotated.event.call_id, annotated.event.event_id), annotated.version
    received = decode(RECEIVED_DECODER, data) if topic == RECEIVED.name else source(decode(MEASURED_DECODER, data))
    if isinstance(received, ReceivedTurn):
        return ("turn", received.call_id, received.turn_id), received.received_at
    return ("event", received.call_id, received.event_id), received.received_at


async def _measured(stack: Stack, prefix: str) -> dict[Key, int]:
    """Identity -> received_at of the newest measured record."""
    newest: dict[Key, int] = {}
    async for record in records(stack, MEASURED, prefix):
        try:
            identity, received_at = _following(MEASURED.name, record.value)
        except Refused:
            continue
        newest[identity] = max(newest.get(identity, -1), received_at)
    return newest


async def _annotated(stack: Stack, prefix: str) -> dict[Key, int]:
    """Identity -> received_at of the newest annotated record."""
    newest: dict[Key, int] = {}
    async for record in records(stack, ANNOTATED, prefix):
        try:
            annotated = decode(ANNOTATED_DECODER, record.value or b"")
        except Refused:
            continue
        received = annotated.measured.turn if isinstance(annotated, AnnotatedTurn) else annotated.event
        identity, _ = _following(ANNOTATED.name, record.value)
        newest[identity] = max(newest.get(identity, -1), received.received_at)
    return newest


async def _stored(stack: Stack, prefix: str) -> dict[Key, int]:
    """Identity -> version of the row."""
    newest: dict[Key, int] = {}
    for view, kind in (("turns", "turn"), ("call_events", "event"), ("calls", "call")):
        for row in await _rows(stack.clickhouse, view, prefix):
            newest[kind, *_key(view, row)] = row["version"]
    return newest


async def _closed(stack: Stack, prefix: str) -> set[str]:
    rows = await _rows(stack.clickhouse, "calls", prefix)
    return {row["call_id"] for row in rows if row["state"] == "closed"}


async def _views(clickhouse: ClickHouse, prefix: str) -> dict[str, list[Row]]:
    return {view: await _rows(clickhouse, view, prefix) for view in VIEWS}


async def _rows(clickhouse: ClickHouse, view: str, prefix: str) -> list[Row]:
    query = f"SELECT * FROM {view} WHERE startsWith(call_id, {{prefix:String}})"
    names, rows = await asyncio.to_thread(clickhouse.rows, query, {"prefix": prefix})
    return [dict(zip(names, row, strict=True)) for row in rows]


def _key(view: str, row: Row) -> Key:
    return tuple(row[name] for name in VIEWS[view])


def _lost(load: Load, found: dict[str, list[Row]]) -> list[str]:
    """What was acknowledged and is not there, or not as it was acknowledged last."""
    texts: dict[Key, str] = {_key("turns", row): row["text"] for row in found["turns"]}
    ends = {row["call_id"] for row in found["call_events"] if row["type"] == "call_ended"}
    return [
        f"{turn.call_id} {turn.turn_id}: acknowledged {text!r}, stored {texts.get(turn)!r}"
        for turn, text in load.accepted.items()
        if texts.get(turn) != text
    ] + [f"{call_id}: its end" for call_id in sorted(load.ended - ends)]


def _different(view: str, found: Iterable[Row], expected: Iterable[Row]) -> list[str]:
    """Rows that only one side has, and fields that differ; doubled rows are told of elsewhere."""
    ours, theirs = ({_key(view, row): row for row in rows} for rows in (found, expected))
    lines = [f"{view} {key}: not stored" for key in sorted(theirs.keys() - ours.keys(), key=str)]
    lines += [f"{view} {key}: stored, and nobody sent it" for key in sorted(ours.keys() - theirs.keys(), key=str)]
    for key in sorted(ours.keys() & theirs.keys(), key=str):
        lines += [f"{view} {key} {line}" for line in _fields(ours[key], theirs[key])]
    return lines


def _fields(found: Row, expected: Row, above: str = "") -> list[str]:
    """What differs, as deep inside as it does."""
    lines: list[str] = []
    for name, value in found.items():
        other = expected[name]
        if name in DIFFERS or value == other:
            continue
        if isinstance(value, list) and len(value) == len(other) and all(isinstance(one, dict) for one in value):
            for at, (one, another) in enumerate(zip(value, other, strict=True)):
                lines += _fields(one, another, f"{above}{name}[{at}].")
        else:
            lines.append(f"{above}{name}: stored {value!r}, undisturbed {other!r}")
    return lines


async def _dead_letters(stack: Stack, since: int, poison: Collection[Place]) -> list[str]:
    """Letters that are no poison, and poison without a letter. At least once: a letter may be there twice."""
    told: defaultdict[Place, str] = defaultdict(str)
    async for record in read_to_end(stack.kafka, DEAD_LETTERS.name, [0]):
        if record.offset >= since:
            letter = msgspec.json.decode(record.value, type=DeadLetter)
            told[Place(letter.source_topic, letter.source_partition, letter.source_offset)] = letter.reason
    return [f"{place}: no poison, and dead: {told[place]}" for place in sorted(told.keys() - set(poison))] + [
        f"{place}: poison without a dead letter" for place in sorted(set(poison) - told.keys())
    ]
