"""The sink's rows and tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence

import msgspec
import pytest

from agents import sink
from agents.delivery import Record
from agents.sink import SinkStage, _row
from pipeline.dialogue.annotate import PLAIN
from pipeline.dialogue.calls import Calls
from pipeline.kafka.send import Outgoing
from pipeline.settings import Settings
from schemas.annotated import AnnotatedTurn
from schemas.codec import encode
from schemas.dead_letter import DeadLetter
from schemas.errors import Refused
from schemas.identity import Position
from schemas.topics import ANNOTATED, SUMMARISED
from tests.records import received_event, received_turn, unmeasured


def outputs() -> list[Record]:
    changes = Calls(1, PLAIN).apply([(Position(1, 0), unmeasured(received_turn())), (Position(1, 1), received_event())])
    annotated = [Record(ANNOTATED.name, 0, i, 0, key, encode(row)) for i, (key, row) in enumerate(changes.annotated)]
    return annotated + [Record(SUMMARISED.name, 0, 0, 0, key, encode(row)) for key, row in changes.summaries]


def test_each_record_has_its_table_and_one_line() -> None:
    found = [_row(record) for record in outputs()]
    assert [row.table for row in found] == ["turn_rows", "event_rows", "call_rows"]
    for row in found:
        assert row.line.count(b"\n") == 1
        assert json.loads(row.line)["call_id"] == "call-1"


@pytest.mark.parametrize("topic", [ANNOTATED.name, SUMMARISED.name])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b'{"record":"session"}'])
def test_what_cannot_be_read_is_refused(topic: str, value: bytes | None) -> None:
    with pytest.raises(Refused):
        _row(Record(topic, 0, 0, 0, b"k", value))


class Inserts:
    """Stands for ClickHouse: keeps what it is given, and rejects an insert with a row that has `poison` in it."""

    def __init__(self, poison: bytes = b"\0") -> None:
        self.tokens: list[str] = []
        self.stored: list[bytes] = []
        self._poison = poison

    def insert(self, _table: str, rows: bytes, *, token: str) -> None:
        if self._poison in rows:
            raise Refused("a row is to blame", reason="row_rejected")
        self.tokens.append(token)
        self.stored += rows.splitlines()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Outgoing]:
    """What the stage sends to Kafka."""
    sent: list[Outgoing] = []

    async def send_all(_producer: object, records: Sequence[Outgoing]) -> None:
        sent.extend(records)

    monkeypatch.setattr(sink, "producer", lambda *_, **__: None)
    monkeypatch.setattr(sink, "send_all", send_all)
    return sent


async def inserted(batch: Sequence[Record], poison: bytes = b"\0") -> Inserts:
    stage = SinkStage(Settings())
    stage._clickhouse = inserts = Inserts(poison)  # type: ignore[assignment]
    await stage.process(batch)
    return inserts


def turns(count: int) -> list[Record]:
    records = [(Position(1, i), unmeasured(received_turn(turn_id=f"turn-{i}-"))) for i in range(count)]
    annotated = Calls(1, PLAIN).apply(records).annotated
    return [Record(ANNOTATED.name, 0, i, 0, key, encode(row)) for i, (key, row) in enumerate(annotated)]


@pytest.mark.usefixtures("sent")
async def test_same_batch_has_the_same_tokens() -> None:
    batch = outputs()
    assert (await inserted(batch)).tokens == (await inserted(batch)).tokens
    assert (await inserted(batch)).tokens[0] != (await inserted(turns(2))).tokens[0]


@pytest.mark.usefixtures("sent")
async def test_same_turn_under_a_new_epoch_has_another_token() -> None:
    """A topic made anew begins with the offsets of the old one: ClickHouse would drop its first batches in silence."""
    tokens = set()
    for epoch in (1, 2):
        ((_, annotated),) = Calls(1, PLAIN).apply([(Position(epoch, 0), unmeasured(received_turn()))]).annotated
        assert isinstance(annotated, AnnotatedTurn)
        tokens |= set((await inserted([Record(ANNOTATED.name, 0, 0, 0, b"k", encode(annotated))])).tokens)
    assert len(tokens) == 2


@pytest.mark.parametrize("poisoned", range(7))
async def test_rejected_row_becomes_a_dead_letter_and_its_neighbours_are_stored(
    sent: list[Outgoing], poisoned: int
) -> None:
    batch = turns(7)
    inserts = await inserted(batch, poison=f"turn-{poisoned}-".encode())
    assert len(inserts.stored) == 6
    (letter,) = [msgspec.json.decode(record.value or b"", type=DeadLetter) for record in sent]
    assert (letter.reason, letter.source_offset, letter.value) == ("row_rejected", poisoned, batch[poisoned].value)


def test_row_does_not_depend_on_where_its_record_lay() -> None:
    record = outputs()[0]
    assert _row(record).line == _row(record._replace(partition=7, offset=99)).line
    assert msgspec.json.decode(_row(record).line)["version"] == Position(1, 1).version()
