"""From accepted turns and events to acknowledged records: audio first, then the record, then the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from pipeline import metrics
from pipeline.gateway.accept import AcceptedEvent, AcceptedTurn
from pipeline.kafka.client import producer
from pipeline.settings import Settings
from pipeline.storage.blobs import Blobs
from schemas.errors import Unavailable
from schemas.identity import record_key
from schemas.topics import RECEIVED

log = structlog.get_logger()

Accepted = AcceptedTurn | AcceptedEvent

RENEW_EVERY_S = 1.0
"""A client that sends a record that Kafka refuses, again and again, costs the others no more than that."""

RENEWED_WITHIN_S = 10.0

STOP_WITHIN_S = 1.0
"""A renewal that is cancelled has nothing to finish."""


class Publisher:
    """Publishes to `turns.received`. An async context manager; connects on entering."""

    def __init__(self, settings: Settings) -> None:
        self._blobs = Blobs(settings.blobs())
        self._settings = settings
        self._timeout_s = settings.gateway_produce_timeout_s
        self._renewed_at = float("-inf")
        self._renewal: asyncio.Task[None] | None = None
        self._stopping: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Publisher:
        await self._blobs.check_writable()
        self._producer = await self._started()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.wait([self._renewal], timeout=STOP_WITHIN_S)
        for stopping in self._stopping:
            stopping.cancel()
        await self._producer.stop()

    async def publish(self, accepted: Sequence[Accepted]) -> list[Unavailable | None]:
        """For each item None once it is durable, else why it is not known to be; in the order given.

        Records of one call are sent in the order given. A record is sent only once its audio is stored.
        """
        results: list[Unavailable | None] = [None] * len(accepted)
        sender = self._producer
        try:
            async with asyncio.timeout(self._timeout_s):
                stored = await asyncio.gather(*(self._store(item) for item in accepted))
                results = list(stored)
                sender = self._producer  # after the audio, which takes long: it may be another one by now
                sent = {
                    index: await self._send(sender, item)
                    for index, item in enumerate(accepted)
                    if stored[index] is None
                }
                outcomes = await asyncio.gather(*sent.values(), return_exceptions=True)
        except (KafkaError, TimeoutError) as error:
            if isinstance(error, KafkaError):
                self._renew_after(sender, error)  # its sending may have ended for good
            # Some may have got through: their senders try again, and the same turn again changes nothing.
            return [result or _unavailable(error) for result in results]
        for index, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, KafkaError):
                results[index] = _unavailable(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                metrics.ACCEPTED.labels("turn" if isinstance(accepted[index], AcceptedTurn) else "event").inc()
        refused = next((outcome for outcome in outcomes if isinstance(outcome, KafkaError)), None)
        if refused is not None:
            self._renew_after(sender, refused)
        return results

    async def check(self) -> None:
        """Return when Kafka and the blob store answer. Raises Unavailable."""
        try:
            async with asyncio.timeout(3.0):
                await self._blobs.check_reachable()
                if not await self._producer.client.force_metadata_update():
                    raise Unavailable("Kafka: no broker answers")
                await self._producer.partitions_for(RECEIVED.name)
        except (KafkaError, TimeoutError) as error:
            raise _unavailable(error) from error

    async def _store(self, item: Accepted) -> Unavailable | None:
        if not isinstance(item, AcceptedTurn) or item.audio is None or item.record.audio is None:
            return None
        try:
            await self._blobs.put(item.record.audio.blob, item.audio)
        except Unavailable as error:
            return error
        metrics.AUDIO_BYTES.inc(len(item.audio))
        return None

    async def _started(self) -> AIOKafkaProducer:
        # Made here, since it belongs to the running loop.
        made = producer(self._settings, client_id="mise-voice-gateway")
        try:
            await made.start()
        except BaseException:
            await made.stop()
            raise
        return made

    def _renew_after(self, refused_by: AIOKafkaProducer, why: KafkaError) -> None:
        """Go on with a new producer, soon, after Kafka has refused a batch of this one.

        An idempotent producer numbers its batches, and aiokafka 0.14 leaves the number of one that was refused out (it
        takes no new producer id, as Java's does): Kafka would refuse all that follow in that partition, for ever.
        """
        now = time.monotonic()
        under_way = self._renewal is not None and not self._renewal.done()
        if under_way or self._producer is not refused_by or now < self._renewed_at + RENEW_EVERY_S:
            return
        log.warning("batch_refused", error=repr(why))
        self._renewed_at = now
        self._renewal = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        try:
            async with asyncio.timeout(RENEWED_WITHIN_S):
                renewed = await self._started()
        except (KafkaError, TimeoutError) as error:
            log.warning("producer_not_renewed", error=repr(error))  # the next refusal tries again
            return
        before, self._producer = self._producer, renewed
        # In a task of its own: it waits for what it has sent, for as long as Kafka is away.
        stopping = asyncio.create_task(before.stop())
        self._stopping.add(stopping)
        stopping.add_done_callback(self._stopping.discard)

    async def _send(self, sender: AIOKafkaProducer, item: Accepted) -> asyncio.Future[object]:
        record = item.record
        sent: asyncio.Future[object] = await sender.send(
            RECEIVED.name,
            item.encoded,
            key=record_key(record.workspace, record.call_id),
            timestamp_ms=record.received_at // 1000,
        )
        return sent


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(f"Kafka did not acknowledge: {type(error).__name__}; send it again")
