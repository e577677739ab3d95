"""Topics and tables: made once, checked at each start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.kafka.topics import create_topics, read_epoch
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import migrate, migrations
from schemas.errors import Misconfigured
from schemas.topics import MEASURED, TOPICS
from tests.integration.live import Live

PUBLIC = {
    "turns": "workspace call_id turn_id participant role text started_at ended_at duration_s speech_s level_dbfs",
    "overlaps": "call_id overlapper overlapped started_at duration_ms kind class floor_taken yield_ms",
    "calls": "call_id started_at ended_at turns state",
    "call_events": "call_id type at participant data event_id",
}


@pytest.fixture
async def elsewhere(live: Live) -> AsyncIterator[Settings]:
    """Settings with a database of the test's own."""
    settings = live.settings.model_copy(update={"clickhouse_database": "elsewhere"})
    yield settings
    await live.rows("DROP DATABASE IF EXISTS elsewhere")


async def test_second_run_applies_nothing(elsewhere: Settings) -> None:
    assert await asyncio.to_thread(migrate, elsewhere) == [migration.name for migration in migrations()]
    assert await asyncio.to_thread(migrate, elsewhere) == []


async def test_changed_file_is_refused(elsewhere: Settings) -> None:
    await asyncio.to_thread(migrate, elsewhere)
    clickhouse = await asyncio.to_thread(ClickHouse, elsewhere)
    name = migrations()[0].name
    clickhouse.command(
        "INSERT INTO migrations (number, name, sha256) VALUES (1, {name:String}, 'another')", {"name": name}
    )
    clickhouse.close()
    with pytest.raises(Misconfigured, match=f"migration {name} has changed since it was applied; restore it"):
        await asyncio.to_thread(migrate, elsewhere)


async def test_public_views_have_their_columns(live: Live) -> None:
    for view, columns in PUBLIC.items():
        found = {str(row["name"]): str(row["type"]) for row in await live.rows(f"DESCRIBE TABLE {view}")}
        assert set(columns.split()) <= found.keys()
        assert found.get("started_at", "") in ("", "DateTime64(3, 'UTC')", "Nullable(DateTime64(3, 'UTC'))")


async def test_topics_are_as_described(live: Live) -> None:
    described = await live.admin.describe_topics([topic.name for topic in TOPICS])
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == {
        topic.name: live.settings.kafka_partitions if topic.partitioned_by_call else 1 for topic in TOPICS
    }
    for topic in TOPICS:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name)
        ((answer,),) = [response.resources for response in await live.admin.describe_configs([resource])]
        found = {entry[0]: entry[1] for entry in answer[4]}
        assert {name: found[name] for name in ("retention.ms", "cleanup.policy", "max.message.bytes")} == {
            "retention.ms": str(-1 if topic.retention_ms is None else topic.retention_ms),
            "cleanup.policy": topic.cleanup,
            "max.message.bytes": str(topic.max_record_bytes),
        }


async def test_topics_that_are_there_stay_as_they_are(live: Live) -> None:
    epoch = await read_epoch(live.settings, MEASURED.name)
    before = await live.ends(MEASURED)
    await create_topics(live.settings)
    assert await read_epoch(live.settings, MEASURED.name) == epoch
    assert await live.ends(MEASURED) == before


async def test_another_partition_count_is_refused(live: Live) -> None:
    found = live.settings.kafka_partitions
    settings = live.settings.model_copy(update={"kafka_partitions": found + 1})
    with pytest.raises(Misconfigured, match=f"has {found} partitions, expected {found + 1}"):
        await create_topics(settings)
