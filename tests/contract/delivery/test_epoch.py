"""Versions rise over a topic that was deleted and made anew, also in a calls stage that runs meanwhile."""

from __future__ import annotations

from pathlib import Path

from agents.calls import CallsStage
from agents.delivery import Record
from deploy.embedded.kafka import RunningKafka
from pipeline.kafka.client import admin, reader
from pipeline.kafka.partition import read_to_end
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from schemas.codec import decode, encode
from schemas.records import ANNOTATED_DECODER
from schemas.topics import ANNOTATED, MEASURED
from tests.integration.waiting import until
from tests.records import T0, received_turn, unmeasured


def record(offset: int, text: str) -> Record:
    turn = unmeasured(received_turn(text=text))
    return Record(MEASURED.name, 0, offset, T0, b"call-1", encode(turn))


async def test_a_correction_after_its_topic_was_made_anew_is_newer(kafka: RunningKafka, tmp_path: Path) -> None:
    settings = Settings(kafka_brokers=kafka.bootstrap, kafka_partitions=1, data_dir=tmp_path)
    await create_topics(settings)
    async with CallsStage(settings) as stage:
        await stage.on_assigned(frozenset({0}))
        await stage.process([record(7, "before")])
        client = admin(settings)
        await client.start()
        await client.delete_topics([MEASURED.name])

        async def gone() -> bool:
            return MEASURED.name not in await client.list_topics()

        assert await until(gone)
        await client.close()
        await create_topics(settings)
        await stage.on_assigned(frozenset({0}))
        await stage.process([record(0, "after")])
    async with reader(settings, client_id="test") as consumer:
        told = [decode(ANNOTATED_DECODER, told.value) async for told in read_to_end(consumer, ANNOTATED.name, [0])]
    before, after = told
    assert before.version < after.version
