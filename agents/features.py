"""The features stage: `turns.received` to `turns.measured`. Audio is decoded and measured in a process pool."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import structlog

from agents.dead_letters import dead_letter
from agents.delivery import Record, until_available
from pipeline.kafka.client import producer
from pipeline.kafka.send import Outgoing, send_all
from pipeline.measure import measure, not_measured
from pipeline.process import die_with_parent
from pipeline.settings import Settings
from pipeline.storage.blobs import Blobs
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.event import ReceivedEvent
from schemas.measured import MeasuredTurn
from schemas.records import RECEIVED_DECODER, Measured
from schemas.topics import MEASURED, RECEIVED
from schemas.turn import ReceivedTurn

log = structlog.get_logger()

AUDIO_IN_FLIGHT = 8
"""Turns whose audio is in memory at once, for each process of the pool: enough to keep it busy."""


class FeaturesStage:
    """Measures turns; call events pass through, so that a call's records keep their order."""

    name = "features"
    sources = (RECEIVED,)

    def __init__(self, settings: Settings) -> None:
        self._longest_s = settings.audio_seconds
        self._processes = settings.features_processes
        self._blobs = Blobs(settings.blobs())
        self._producer = producer(settings, client_id="mise-voice-features", linger_ms=0)
        self._places = asyncio.Semaphore(self._processes * AUDIO_IN_FLIGHT)
        self._pool = self._new_pool()

    async def __aenter__(self) -> FeaturesStage:
        await self._producer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._producer.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """Keeps nothing by partition."""

    async def process(self, batch: Sequence[Record]) -> None:
        """Measure the turns of the batch and publish them in its order."""
        outgoing = await asyncio.gather(*(self._measured(record) for record in batch))
        await send_all(self._producer, outgoing)

    async def _measured(self, record: Record) -> Outgoing:
        try:
            received = decode(RECEIVED_DECODER, record.value or b"")
        except Refused as error:
            return dead_letter(self.name, record, error)
        measured: Measured = received if isinstance(received, ReceivedEvent) else await self._measure(received)
        return Outgoing(MEASURED.name, record.partition, record.key, encode(measured), received.received_at // 1000)

    async def _measure(self, turn: ReceivedTurn) -> MeasuredTurn:
        audio = turn.audio
        if audio is None:
            return not_measured(turn, "no_audio")
        async with self._places:
            data = await until_available("blob store", lambda: self._blobs.get(audio.blob))
            if data is None:
                return not_measured(turn, "blob_missing")
            return await self._in_pool(turn, data)

    async def _in_pool(self, turn: ReceivedTurn, data: bytes) -> MeasuredTurn:
        for _ in range(2):
            pool = self._pool
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, _measure, turn, data, self._longest_s)
            except BrokenProcessPool:
                # A codec may have taken the process down, and with it whatever else the pool was measuring.
                if self._pool is pool:
                    log.warning("pool_broken", turn_id=turn.turn_id)
                    self._pool = self._new_pool()
        return not_measured(turn, "decoder_crashed")

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._processes,
            # A forked process would share our sockets and threads' locks; a spawned one starts clean.
            mp_context=multiprocessing.get_context("spawn"),
            initializer=die_with_parent,
            initargs=(os.getpid(),),
        )


def _measure(turn: ReceivedTurn, data: bytes, longest_s: float) -> MeasuredTurn:
    return measure(turn, data, longest_s=longest_s)
