"""The sink's rows and tokens."""

from __future__ import annotations

import json

import msgspec
import pytest

from agents import sink
from agents.delivery import Record
from agents.sink import SinkStage, _row
from pipeline.dialogue.calls import Calls
from pipeline.settings import Settings
from schemas.annotated import AnnotatedTurn
from schemas.codec import encode
from schemas.errors import Refused
from schemas.identity import Position
from schemas.topics import ANNOTATED, SUMMARISED
from tests.records import received_event, received_turn, unmeasured


def outputs() -> list[Record]:
    changes = Calls(1).apply([(Position(1, 0), unmeasured(received_turn())), (Position(1, 1), received_event())])
    annotated = [Record(ANNOTATED.name, 0, i, 0, key, encode(row)) for i, (key, row) in enumerate(changes.annotated)]
    return annotated + [Record(SUMMARISED.name, 0, 0, 0, key, encode(row)) for key, row in changes.summaries]


def test_each_record_has_its_table_and_one_line() -> None:
    found = [_row(record) for record in outputs()]
    assert [table for table, _ in found] == ["turn_rows", "event_rows", "call_rows"]
    for _, row in found:
        assert b"\n" not in row
        assert json.loads(row)["call_id"] == "call-1"


@pytest.mark.parametrize("topic", [ANNOTATED.name, SUMMARISED.name])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"record":"session"}'])
def test_what_cannot_be_read_is_refused(topic: str, value: bytes | None) -> None:
    with pytest.raises(Refused):
        _row(Record(topic, 0, 0, 0, b"k", value))


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> SinkStage:
    monkeypatch.setattr(sink, "producer", lambda *_, **__: None)
    return SinkStage(Settings())


def test_token_of_a_batch_is_always_the_same(stage: SinkStage) -> None:
    batch = outputs()
    rows = b"\n".join(_row(record)[1] for record in batch)
    assert stage._token(batch, rows) == stage._token(batch[::-1], bytearray(rows))
    assert stage._token(batch, rows) != stage._token(batch, rows + b" ")
    assert stage._token(batch, rows) != stage._token(batch[:1], rows)


def test_same_turn_under_a_new_epoch_has_another_token(stage: SinkStage) -> None:
    """A topic made anew begins with the offsets of the old one: ClickHouse would drop its first batches in silence."""
    tokens = set()
    for epoch in (1, 2):
        ((_, annotated),) = Calls(1).apply([(Position(epoch, 0), unmeasured(received_turn()))]).annotated
        assert isinstance(annotated, AnnotatedTurn)
        record = Record(ANNOTATED.name, 0, 0, 0, b"k", encode(annotated))
        tokens.add(stage._token([record], _row(record)[1]))
    assert len(tokens) == 2


def test_row_does_not_depend_on_where_its_record_lay() -> None:
    record = outputs()[0]
    assert _row(record) == _row(record._replace(partition=7, offset=99))
    assert msgspec.json.decode(_row(record)[1])["version"] == Position(1, 1).version()
