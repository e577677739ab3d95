"""One record that nobody can read goes to the dead letters, whole; those around it go on."""

from __future__ import annotations

import pytest

from schemas.dead_letter import DeadLetter
from schemas.identity import record_key
from schemas.topics import ANNOTATED, MEASURED, RECEIVED, SUMMARISED, TopicSpec
from tests.integration.conversation import turn
from tests.integration.live import WORKSPACE, Live
from tests.integration.waiting import until

RECORDS = [
    pytest.param(RECEIVED, "features", b"\xff\xfe not JSON", "not_json", id="received"),
    pytest.param(MEASURED, "calls", b'{"record":"turn","turn":{}}', "invalid", id="measured"),
    pytest.param(ANNOTATED, "sink", b'{"record":"song"}', "invalid", id="annotated"),
    pytest.param(SUMMARISED, "sink", b"[]", "invalid", id="summarised"),
    pytest.param(RECEIVED, "features", None, "not_json", id="tombstone"),
]


@pytest.mark.parametrize(("topic", "stage", "value", "reason"), RECORDS)
async def test_unreadable_record_becomes_a_dead_letter_and_its_neighbours_rows(
    live: Live, call_id: str, topic: TopicSpec, stage: str, value: bytes | None, reason: str
) -> None:
    since = await live.dead_letters_end()
    await live.turn(turn(call_id, 0))
    await until(lambda: live.summary(call_id))
    key = record_key(WORKSPACE, call_id)  # the partition of the call's own records
    put = await live.producer.send_and_wait(topic.name, value, key=key, timestamp_ms=1_767_225_600_123)
    await live.turn(turn(call_id, 1))
    assert (await until(lambda: live.summary(call_id), lambda row: row["turns"] == 2))["turns"] == 2
    assert len(await until(lambda: live.turns(call_id), lambda rows: len(rows) == 2)) == 2
    (letter,) = await until(lambda: live.dead_letters(since))
    assert letter.error
    assert letter == DeadLetter(
        stage=stage,
        reason=reason,
        error=letter.error,
        source_topic=topic.name,
        source_partition=put.partition,
        source_offset=put.offset,
        source_timestamp=1_767_225_600_123,
        key=key,
        value=value,
        version=letter.version,
        failed_at=letter.failed_at,
        exception="Refused",
    )
