"""Topics and tables: made once, checked at each start."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from pipeline.kafka.topics import create_topics, read_epoch
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import check_migrated, migrate, migrations
from pipeline.storage.rows import turn_row
from schemas.annotated import AnnotatedTurn
from schemas.codec import encode_line
from schemas.errors import Misconfigured
from schemas.features import Features
from schemas.measured import Contour
from schemas.topics import MEASURED, TOPICS
from tests.integration.live import Live
from tests.records import T0, measured, received_turn

PUBLIC = {
    "turns": "workspace call_id turn_id participant role text started_at ended_at z f0_contour level_contour "
    + " ".join(Features.__struct_fields__),
    "overlaps": "call_id overlapper overlapped started_at duration_ms kind class floor_taken yield_ms",
    "calls": "call_id started_at ended_at turns state transfers fto_p50_ms agent_response_p50_ms fault_counts",
    "faults": "call_id at kind participant turn_id duration_ms rules",
    "silences": "call_id at duration_ms before after due",
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


async def test_sink_of_a_newer_version_does_not_write_into_an_older_database(elsewhere: Settings) -> None:
    await asyncio.to_thread(migrate, elsewhere)
    clickhouse = await asyncio.to_thread(ClickHouse, elsewhere)
    check_migrated(clickhouse)
    newest = migrations()[-1]
    clickhouse.command(f"ALTER TABLE migrations DELETE WHERE number = {newest.number} SETTINGS mutations_sync = 1")
    with pytest.raises(Misconfigured, match=f"lacks {newest.name}; run `mise-voice migrate` first"):
        check_migrated(clickhouse)
    clickhouse.close()


OLD_TURN = {
    "workspace": "default",
    "generation": 1,
    "call_id": "old",
    "opened_at": "1767225600.000",
    "turn_id": "t1",
    "version": 1,
    "started_at": "1767225600.000",
    "ended_at": "1767225601.000",
    "received_at": "1767225601.000000",
    "duration_s": 1.0,
    "measured": ["duration_s"],
}
"""A row as the version before 0002 wrote it; what is left out has its default."""


async def database_after(first: int, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> ClickHouse:
    """The settings' database, with so many migrations applied."""
    known = migrations()
    with monkeypatch.context() as before:
        before.setattr("pipeline.storage.migrate.migrations", lambda: known[:first])
        await asyncio.to_thread(migrate, settings)
    return await asyncio.to_thread(ClickHouse, settings)


async def test_turns_stored_before_there_were_features_read_null_and_new_ones_their_values(
    elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse = await database_after(1, elsewhere, monkeypatch)
    clickhouse.insert("turn_rows", encode_line(OLD_TURN), token="old")
    columns, (old,) = clickhouse.rows("SELECT * FROM turns")
    before_it = dict(zip(columns, old, strict=True))
    assert "z" not in before_it
    assert await asyncio.to_thread(migrate, elsewhere) == [migration.name for migration in migrations()[1:]]

    features = Features(f0_median_hz=118.5, pause_count=0, final_contour="rise")
    turn = AnnotatedTurn(
        workspace="default",
        generation=1,
        opened_at=T0,
        version=1,
        measured=msgspec.structs.replace(
            measured(received_turn(call_id="new"), features), contour=Contour(10.0, b"\x00\xff", b"\x01\x02")
        ),
        rules="plain-1",
        z={"f0_median_hz": -1.5},
    )
    clickhouse.insert("turn_rows", encode_line(turn_row(turn)), token="new")
    columns, (new, old) = clickhouse.rows("SELECT * FROM turns ORDER BY call_id")
    found, stored = dict(zip(columns, old, strict=True)), dict(zip(columns, new, strict=True))
    added = [name for name in Features.__struct_fields__ if name not in OLD_TURN]
    assert {name: found[name] for name in added} == dict.fromkeys(added)
    assert (found["duration_s"], found["z"], found["f0_contour"], found["contour_hop_ms"]) == (1.0, {}, [], None)
    assert {name: found[name] for name in before_it} == before_it
    assert {name: stored[name] for name in Features.__struct_fields__ if stored[name] is not None} == {
        "f0_median_hz": 118.5,
        "pause_count": 0,
        "final_contour": "rise",
    }
    assert (stored["contour_hop_ms"], stored["f0_contour"], stored["level_contour"]) == (10.0, [0, 255], [1, 2])
    _, rows = clickhouse.rows("SELECT z['f0_median_hz'], z['level_dbfs'] FROM turns ORDER BY call_id")
    assert [tuple(row) for row in rows] == [(-1.5, None), (None, None)]
    clickhouse.close()


OLD_OVERLAP = {
    "overlapped": "bot",
    "started_at": "1767225600.250",
    "duration_ms": 400,
    "kind": "between",
    "class": "interruption",
    "floor_taken": True,
    "yield_ms": 400,
}
OLD_CALL = {
    "workspace": "default",
    "generation": 1,
    "call_id": "old",
    "opened_at": "1767225600.000",
    "version": 1,
    "turns": 2,
}


async def test_overlaps_stored_before_there_was_evidence_keep_their_values_and_read_null(
    elsewhere: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    clickhouse = await database_after(2, elsewhere, monkeypatch)
    clickhouse.insert("turn_rows", encode_line(OLD_TURN | {"overlaps": [OLD_OVERLAP]}), token="turn")
    clickhouse.insert("call_rows", encode_line(OLD_CALL), token="call")
    columns, (old,) = clickhouse.rows("SELECT * FROM overlaps")
    before_it = dict(zip(columns, old, strict=True))
    await asyncio.to_thread(migrate, elsewhere)
    columns, (now,) = clickhouse.rows("SELECT * FROM overlaps")
    found = dict(zip(columns, now, strict=True))
    assert before_it.items() <= found.items()
    added = {name: value for name, value in found.items() if name not in before_it}
    assert added == dict.fromkeys(added) | {"evidence": []}
    assert {"confidence", "basis", "p_interruption", "spoken_share"} <= added.keys()
    _, (call,) = clickhouse.rows(
        "SELECT turns, transfers, fto_p50_ms, fault_counts, faults, frustration_max, silence_ratio, silences FROM calls"
    )
    assert tuple(call) == (2, 0, None, {}, [], None, None, [])
    clickhouse.close()


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
