"""From accepted turns and events to acknowledged records: audio first, then the record, then the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from aiokafka.errors import KafkaError

from pipeline import metrics
from pipeline.gateway.accept import AcceptedEvent, AcceptedTurn
from pipeline.kafka.client import producer
from pipeline.settings import Settings
from pipeline.storage.blobs import Blobs
from schemas.errors import Unavailable
from schemas.identity import record_key
from schemas.topics import RECEIVED

Accepted = AcceptedTurn | AcceptedEvent


class Publisher:
    """Publishes to `turns.received`. An async context manager; connects on entering."""

    def __init__(self, settings: Settings) -> None:
        self._blobs = Blobs(settings.blobs())
        self._settings = settings
        self._timeout_s = settings.gateway_produce_timeout_s

    async def __aenter__(self) -> Publisher:
        await self._blobs.check_writable()
        # Here, since it belongs to the running loop.
        self._producer = producer(self._settings, client_id="mise-voice-gateway")
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()

    async def publish(self, accepted: Sequence[Accepted]) -> list[Unavailable | None]:
        """For each item None once it is durable, else why it is not known to be; in the order given.

        Records of one call are sent in the order given. A record is sent only once its audio is stored.
        """
        results: list[Unavailable | None] = [None] * len(accepted)
        try:
            async with asyncio.timeout(self._timeout_s):
                stored = await asyncio.gather(*(self._store(item) for item in accepted))
                results = list(stored)
                sent = {index: await self._send(item) for index, item in enumerate(accepted) if stored[index] is None}
                outcomes = await asyncio.gather(*sent.values(), return_exceptions=True)
        except (KafkaError, TimeoutError) as error:
            # Some may have got through: their senders try again, and the same turn again changes nothing.
            return [result or _unavailable(error) for result in results]
        for index, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, KafkaError):
                results[index] = _unavailable(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                metrics.ACCEPTED.labels("turn" if isinstance(accepted[index], AcceptedTurn) else "event").inc()
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

    async def _send(self, item: Accepted) -> asyncio.Future[object]:
        record = item.record
        sent: asyncio.Future[object] = await self._producer.send(
            RECEIVED.name,
            item.encoded,
            key=record_key(record.workspace, record.call_id),
            timestamp_ms=record.received_at // 1000,
        )
        return sent


def _unavailable(error: BaseException) -> Unavailable:
    return Unavailable(f"Kafka did not acknowledge: {type(error).__name__}; send it again")
