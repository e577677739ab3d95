"""The calls stage: `turns.measured` to `turns.annotated` and `calls.summarised`.

What a call is and what follows from it stands in `pipeline.dialogue.calls`; here its changes are made durable: the
mark of how far they go, outputs, state, then the acknowledgement. So the state is never ahead of the outputs, and what
a crash repeats ends in the same rows (docs/decisions/0001).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

import structlog

from agents.awake import AWAKE
from agents.dead_letters import DeadLetters, RefusedRecord
from agents.delivery import Record, check_received_at
from agents.watch import Place, Progress
from pipeline import metrics
from pipeline.dialogue.calls import Calls, Changes
from pipeline.dialogue.tone import tone
from pipeline.kafka.client import producer, reader
from pipeline.kafka.partition import read_newest
from pipeline.kafka.send import Outgoing, send_all
from pipeline.kafka.topics import read_epoch
from pipeline.rules import read_vocabularies, rules
from pipeline.settings import Settings
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.identity import Position
from schemas.records import MEASURED_DECODER, Measured, source
from schemas.topics import ANNOTATED, CALL_STATE, MEASURED, SOURCES, SUMMARISED

log = structlog.get_logger()

ADVANCE_EVERY_S = 1.0
"""How often calls are looked at whose moment to close may have passed."""

NOT_KNOWN = Progress(0, 1)
"""Not read to its end, as far as anyone can tell."""


class CallsStage:
    """Reassembles calls. Its state is in `calls.state`, in the partition of the input, and in memory."""

    name = "calls"
    sources = SOURCES[name]

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._rules = rules(settings.dialogue_rules, vocabularies=settings.dialogue_vocabularies)
        self._tone = tone(read_vocabularies(settings.dialogue_vocabularies))
        self._producer = producer(settings, client_id="mise-voice-calls", linger_ms=0)
        self._reader = reader(settings, client_id="mise-voice-calls-state")
        self._dead_letters = DeadLetters(settings, self.name)
        self._epoch = 0
        self._calls: dict[int, Calls] = {}
        self._next_offset: dict[int, int] = {}
        self._assigned: frozenset[int] = frozenset()
        self._lock = asyncio.Lock()
        """Held by whoever changes `_calls`: a batch, the clock, or an assignment."""

    async def __aenter__(self) -> CallsStage:
        await self._producer.start()
        await self._reader.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._reader.stop()
        await self._producer.stop()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Forget all: another process may have had the partitions meanwhile. They are restored when needed."""
        async with self._lock:
            self._calls.clear()
            self._next_offset.clear()
            self._assigned = partitions
            self._dead_letters.on_assigned(partitions)

    async def process(self, batch: Sequence[Record]) -> None:
        """Take the records into their calls; save how far the outputs go, publish what changed, then save it."""
        async with self._lock:
            calls = await self._restored()
            marks: list[Outgoing] = []
            outgoing: list[Outgoing] = []
            state: list[Outgoing] = []
            taken: list[Record] = []
            refused: list[RefusedRecord] = []
            # A batch that waited here while its partition went to another process is done again there.
            for partition in sorted({record.partition for record in batch} & calls.keys()):
                own = [record for record in batch if record.partition == partition]
                changes, its_refused = self._apply(calls[partition], own)
                taken += own
                refused += its_refused
                marks += _saves(partition, changes.mark)
                outgoing += _outputs(partition, changes)
                state += _saves(partition, changes.state)
            outgoing += await self._dead_letters.of(taken, refused)
            for step in (marks, outgoing, state):
                AWAKE.check()
                await send_all(self._producer, step)

    async def advance(self, progress: Mapping[Place, Progress]) -> None:
        """Close calls whose moment has passed: by the clock where all is read, else in stream time."""
        async with self._lock:
            now_ms = time.time_ns() // 1_000_000
            for partition, calls in (await self._restored()).items():
                committed, end = progress.get(Place(MEASURED.name, partition), NOT_KNOWN)
                read_to_end = max(committed, self._next_offset.get(partition, 0)) >= end
                changes = calls.advance(max(now_ms, calls.watermark_ms) if read_to_end else calls.watermark_ms)
                for step in (_outputs(partition, changes), _saves(partition, changes.state)):
                    AWAKE.check()
                    await send_all(self._producer, step)
            metrics.CALLS_KEPT.set(sum(len(calls) for calls in self._calls.values()))
            metrics.CALLS_OPEN.set(sum(calls.open for calls in self._calls.values()))

    def _apply(self, calls: Calls, records: Sequence[Record]) -> tuple[Changes, list[RefusedRecord]]:
        """The changes that follow from records of one partition, and those that no call takes."""
        refused: list[RefusedRecord] = []
        readable: list[Record] = []
        batch: list[tuple[Position, Measured]] = []
        for record in records:
            try:
                measured = decode(MEASURED_DECODER, record.value or b"")
                check_received_at(record, source(measured).received_at)
            except Refused as error:
                refused.append(RefusedRecord(record, error))
            else:
                readable.append(record)
                batch.append((Position(self._epoch, record.offset), measured))
        changes = calls.apply(batch)
        refused += [RefusedRecord(readable[refusal.index], refusal.error) for refusal in changes.refused]
        self._next_offset[records[0].partition] = records[-1].offset + 1
        return changes, refused

    async def _restored(self) -> dict[int, Calls]:
        """The calls of each partition that the process has; read from the state topic after an assignment."""
        missing = self._assigned - self._calls.keys()
        if missing:
            started = time.perf_counter()
            # Anew with each assignment: that the topic was made anew shows as one, and its offsets begin again.
            self._epoch = await read_epoch(self._settings, MEASURED.name)
            saved = await read_newest(self._reader, CALL_STATE.name, sorted(missing))
            for partition, state in saved.items():
                calls = self._calls[partition] = Calls(self._settings.generation, self._rules, self._tone)
                calls.restore(state.items())
            log.info(
                "calls_restored",
                partitions=len(missing),
                calls=sum(len(calls) for calls in self._calls.values()),
                seconds=round(time.perf_counter() - started, 3),
            )
        return self._calls


def _outputs(partition: int, changes: Changes) -> Iterable[Outgoing]:
    now_ms = time.time_ns() // 1_000_000
    for key, annotated in changes.annotated:
        yield Outgoing(ANNOTATED.name, partition, key, encode(annotated), now_ms)
    for key, summary in changes.summaries:
        yield Outgoing(SUMMARISED.name, partition, key, encode(summary), now_ms)


def _saves(partition: int, state: Iterable[tuple[bytes, bytes | None]]) -> Iterable[Outgoing]:
    now_ms = time.time_ns() // 1_000_000
    for key, value in state:
        yield Outgoing(CALL_STATE.name, partition, key, value, now_ms)
