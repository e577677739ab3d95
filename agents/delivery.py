"""Delivery, the same for every stage: take a batch, make its outputs durable, acknowledge it in order.

At least once: an offset is committed only after everything that follows from its record is durable. What can't be
handled ends the process with a non-zero status; nothing is lost by it, and its supervisor starts it again. (A Faust
agent that is merely restarted would limp on: what it had taken comes back only after a rebalance.)
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, NoReturn, Protocol, TypeVar

import faust
import structlog
from faust.types import EventT

from agents import fast
from agents.awake import AWAKE
from agents.batches import Limits, stock_batches
from agents.watch import Place, Progress, Watch
from pipeline import metrics
from pipeline.settings import Settings
from schemas.errors import Refused, Unavailable
from schemas.topics import TopicSpec

log = structlog.get_logger()

T = TypeVar("T")

EXIT_FAILED = 70
"""EX_SOFTWARE: an error that the process could not handle."""

WATCH_EVERY_S = 0.5

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)

STOP_WITHIN_S = 2.0
"""Faust stops in well under a second, unless aiokafka's fetcher swallows its cancellation (aio-libs/aiokafka#983): then
its consumer has left the group already, and waits for ever."""


class Record(NamedTuple):
    """A record as it was consumed."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None


AHEAD_MS = 60 * 60 * 1000
"""How far `received_at` may lie after the record's own timestamp, which the broker holds to its clock."""


def check_received_at(record: Record, received_at: int) -> None:
    """Raise Refused for a `received_at` [µs] that no gateway can have stamped: the stream time would jump with it."""
    if not 0 <= received_at // 1000 <= record.timestamp_ms + AHEAD_MS:
        raise Refused(
            f"received_at: {received_at} µs is not within an hour of the record's timestamp {record.timestamp_ms} ms",
            field="received_at",
            reason="time_out_of_range",
        )


class Stage(AbstractAsyncContextManager["Stage"], Protocol):
    """What a stage does with its records. Implemented by FeaturesStage, CallsStage and SinkStage."""

    name: str

    @property
    def sources(self) -> tuple[TopicSpec, ...]:
        """The topics that it consumes."""

    async def process(self, batch: Sequence[Record]) -> None:
        """Return when all that follows from the batch is durable; the records of a partition are in their order."""

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """These partitions, and no others, are now this process's."""


def attach(app: faust.App, stage: Stage, settings: Settings, fail: Callable[[BaseException], None]) -> None:
    """Let the app's one agent deliver to the stage. fail : called with what the stage could not handle."""
    limits = Limits(settings.batch_records, settings.batch_bytes, settings.batch_within_s)
    batches, schema = (fast.batches, fast.Raw()) if settings.faust_fast_path else (stock_batches, None)
    topic = app.topic(*(source.name for source in stage.sources), schema=schema, value_type=bytes, key_type=bytes)

    async def deliver(stream: Any) -> None:
        try:
            async for events in batches(stream, limits):
                await _deliver(app, stage, events)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            fail(error)
            raise

    app.agent(topic, name=stage.name)(deliver)

    @app.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: faust.App, assigned: set[faust.types.TP], **_: object) -> None:
        await stage.on_assigned(frozenset(place.partition for place in assigned))


async def _deliver(app: faust.App, stage: Stage, events: Sequence[EventT[bytes]]) -> None:
    # After a rebalance older events may still come out of the buffer: they are consumed anew by their new owner.
    current = _current(app, events)
    started = time.perf_counter()
    oldest = min((event.message.timestamp for event in current), default=None)
    if oldest is not None:
        metrics.STAGE_OLDEST_SECONDS.labels(stage.name).set_function(lambda: max(0.0, time.time() - oldest))
    try:
        await stage.process([_record(event) for event in current])
    finally:
        metrics.STAGE_OLDEST_SECONDS.labels(stage.name).set_function(lambda: 0.0)
    # Asked again: the partitions may have moved meanwhile, and a stage does nothing for those that are not its own.
    for event in _current(app, current):
        event.ack()
    metrics.STAGE_RECORDS.labels(stage.name).inc(len(current))
    metrics.STAGE_BATCH_RECORDS.labels(stage.name).observe(len(current))
    metrics.STAGE_BATCH_SECONDS.labels(stage.name).observe(time.perf_counter() - started)


def _current(app: faust.App, events: Sequence[EventT[bytes]]) -> list[EventT[bytes]]:
    """The events that were consumed since the last rebalance."""
    return [event for event in events if event.message.generation_id == app.consumer_generation_id]


def _record(event: EventT[bytes]) -> Record:
    message = event.message
    return Record(
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        timestamp_ms=round(message.timestamp * 1000),
        key=message.key,
        value=message.value,
    )


def progress(app: faust.App) -> dict[Place, Progress]:
    """Progress in each partition that the process has, as far as it is known."""
    consumer: Any = app.consumer  # Faust has the committed offset, and no public way to it
    known: dict[Place, Progress] = {}
    for place in consumer.assignment():
        end = consumer.highwater(place)
        if end is not None:
            known[Place(place.topic, place.partition)] = Progress(consumer._committed_offset[place] or 0, end)
    return known


_waiting: Counter[str] = Counter()
"""What this process waits for, and in how many places."""


async def until_available(what: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """The result of `attempt`, tried until the part it needs is there: waiting is better than giving up or losing."""
    wait_s = 0.2
    waits = False
    try:
        while True:
            try:
                return await attempt()
            except Unavailable as error:
                log.warning("waiting", what=what, error=str(error), seconds=round(wait_s, 2))
                metrics.RETRIES.labels(what).inc()
                if not waits:
                    waits = True
                    _waits(what, 1)
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            wait_s = min(2 * wait_s, 10.0)
    finally:
        if waits:
            _waits(what, -1)


def _waits(what: str, step: int) -> None:
    _waiting[what] += step
    metrics.WAITING.labels(what).set(_waiting[what])


async def run(app: faust.App, stage: Stage, settings: Settings) -> int:
    """Run the stage until SIGTERM or SIGINT (0), or until something fails (EXIT_FAILED)."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def end(status: int) -> None:
        if not ended.done():
            ended.set_result(status)

    def fail(error: BaseException) -> None:
        log.critical("stage_failed", stage=stage.name, exc_info=error)
        end(EXIT_FAILED)

    # Until the stage has connected there is nothing to finish, and what it waits for may be away for long.
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, os._exit, 0)
    attach(app, stage, settings, fail)
    async with stage:
        for number in STOP_SIGNALS:
            loop.add_signal_handler(number, end, 0)
        try:
            await app.start()
            watch = asyncio.create_task(keep_watch(app, stage, settings.commit_stall_s, fail))
            log.info("stage_started", stage=stage.name)
            status = await ended
            watch.cancel()
        finally:
            await _stop(app, ended.result() if ended.done() else EXIT_FAILED)
    log.info("stage_stopped", stage=stage.name, status=status)
    return status


async def keep_watch(
    app: faust.App, stage: Stage, commit_stall_s: float, fail: Callable[[BaseException], None]
) -> None:
    """Tell how the stage keeps up; end the process when a partition does not move, when it was suspended, or when Faust
    has crashed, which goes on after it has marked a service so."""
    try:
        await _keep_watch(app, stage, commit_stall_s)
    except asyncio.CancelledError:
        AWAKE.forget()
        raise
    except Exception as error:
        fail(error)


async def _keep_watch(app: faust.App, stage: Stage, commit_stall_s: float) -> NoReturn:
    """Raise what ends the process."""
    loop = asyncio.get_running_loop()
    told, held_against = Watch(), Watch()
    while not app.crashed:
        AWAKE.see()
        AWAKE.check()
        before = loop.time()
        await asyncio.sleep(WATCH_EVERY_S)
        metrics.EVENT_LOOP_DELAY_SECONDS.set(max(0.0, loop.time() - before - WATCH_EVERY_S))
        now_s, found = time.monotonic(), progress(app)
        seen = told.observe(now_s, found)
        metrics.STAGE_LAG.labels(stage.name).set(seen.lag)
        metrics.STAGE_COMMIT_AGE_SECONDS.labels(stage.name).set(seen.stuck_s)
        # While a part is away nothing can move: waiting is right, and another process would wait as well.
        seen = held_against.observe(now_s, {} if _waiting.total() else found)
        if seen.stuck is not None and seen.stuck_s > commit_stall_s:
            raise RuntimeError(
                f"{stage.name}: {seen.stuck.topic}/{seen.stuck.partition} has records and was not committed for "
                f"{seen.stuck_s:.0f} s, at most MISE_VOICE_COMMIT_STALL_S {commit_stall_s:g}; the process ends to "
                f"be started again"
            )
    raise RuntimeError("Faust crashed") from app.crash_reason


async def _stop(app: faust.App, status: int) -> None:
    try:
        async with asyncio.timeout(STOP_WITHIN_S):
            await app.stop()
    except TimeoutError:
        # Nothing is lost by it: what is not acknowledged is done again by whoever gets the partitions.
        log.warning("stop_cut_short", seconds=STOP_WITHIN_S, status=status)
        sys.stderr.flush()
        os._exit(status)
