"""The features stage: `turns.received` to `turns.measured`. Audio is decoded and measured in a process pool."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from agents.dead_letters import DeadLetters, RefusedRecord
from agents.delivery import Record, check_received_at, until_available
from agents.measuring import measure, prepare
from agents.memory import Memory
from agents.pool import Crashed, Pool, TimedOut
from pipeline.kafka.client import producer
from pipeline.kafka.send import Outgoing, send_all
from pipeline.not_measured import not_measured
from pipeline.settings import Settings
from pipeline.storage.blobs import Blobs
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.event import ReceivedEvent
from schemas.measured import MeasuredTurn
from schemas.records import RECEIVED_DECODER, Measured
from schemas.topics import MEASURED, SOURCES
from schemas.turn import ReceivedTurn

log = structlog.get_logger()

AUDIO_IN_FLIGHT = 8
"""Turns whose audio is in memory at once, for each process of the pool: enough to keep it busy."""

AUDIO_BYTES = 256 * 2**20
"""Encoded audio in memory at once; the largest that the gateway takes by default is 12 MiB."""


class FeaturesStage:
    """Measures turns; call events pass through, so that a call's records keep their order."""

    name = "features"
    sources = SOURCES[name]

    def __init__(self, settings: Settings) -> None:
        self._longest_s = settings.audio_seconds
        self._estimator = settings.features_f0
        self._blobs = Blobs(settings.blobs())
        self._producer = producer(settings, client_id="mise-voice-features", linger_ms=0)
        self._dead_letters = DeadLetters(settings, self.name)
        self._places = asyncio.Semaphore(settings.features_processes * AUDIO_IN_FLIGHT)
        self._memory = Memory(AUDIO_BYTES)
        self._pool = Pool(measure, settings.features_processes, timeout_s=settings.features_timeout_s, prepare=prepare)

    async def __aenter__(self) -> FeaturesStage:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        await self._pool.close()

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Keeps nothing by partition but the limit of dead letters."""
        self._dead_letters.on_assigned(partitions)

    async def process(self, batch: Sequence[Record]) -> None:
        """Measure the turns of the batch and publish them in its order."""
        results = await asyncio.gather(*(self._measured(record) for record in batch))
        outgoing = [result for result in results if isinstance(result, Outgoing)]
        refused = [result for result in results if isinstance(result, RefusedRecord)]
        await send_all(self._producer, outgoing + await self._dead_letters.of(batch, refused))

    async def _measured(self, record: Record) -> Outgoing | RefusedRecord:
        try:
            received = decode(RECEIVED_DECODER, record.value or b"")
            check_received_at(record, received.received_at)
        except Refused as error:
            return RefusedRecord(record, error)
        measured: Measured = received if isinstance(received, ReceivedEvent) else await self._measure(received)
        return Outgoing(MEASURED.name, record.partition, record.key, encode(measured), received.received_at // 1000)

    async def _measure(self, turn: ReceivedTurn) -> MeasuredTurn:
        audio = turn.audio
        if audio is None:
            return not_measured(turn, "no_audio")
        async with self._places, self._memory.hold(audio.size):
            data = await until_available("blob store", lambda: self._blobs.get(audio.blob))
            if data is None:
                return not_measured(turn, "blob_missing")
            try:
                return await self._pool.run(turn, data, longest_s=self._longest_s, estimator=self._estimator)
            except Crashed:
                log.warning("decoder_crashed", call_id=turn.call_id, turn_id=turn.turn_id)
                return not_measured(turn, "decoder_crashed")
            except TimedOut:
                log.warning("measuring_timed_out", call_id=turn.call_id, turn_id=turn.turn_id)
                return not_measured(turn, "timed_out")
