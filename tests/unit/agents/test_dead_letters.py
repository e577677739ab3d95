"""A dead letter holds all that is needed to send its record again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import msgspec
import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from agents.dead_letters import DeadLetters, RefusedRecord, dead_letter
from agents.delivery import Record
from pipeline.dead_letter_limit import IN_A_ROW, Dead, Limit
from pipeline.kafka.send import Outgoing
from pipeline.settings import Settings
from pipeline.version import VERSION
from schemas.codec import decode
from schemas.dead_letter import COUNTS_DECODER, DeadLetter, StoredDead
from schemas.errors import Refused, TooManyRefused
from schemas.records import MEASURED_DECODER
from schemas.topics import DEAD_LETTERS, DEAD_LETTERS_COUNTS, MAX_RECORD_BYTES, RECEIVED

LETTER = msgspec.json.Decoder(DeadLetter)


@given(st.none() | st.binary(max_size=50), st.none() | st.binary(max_size=200))
def test_record_is_in_its_dead_letter_byte_for_byte(key: bytes | None, value: bytes | None) -> None:
    record = Record("turns.measured", 3, 17, 1_767_225_600_000, key, value)
    before = time.time_ns() // 1_000_000
    sent = dead_letter("calls", record, Refused("text: wrong", field="text", reason="invalid"))
    assert (sent.topic, sent.partition, sent.key) == (DEAD_LETTERS.name, 0, None)
    assert sent.value is not None
    letter = decode(LETTER, sent.value)
    assert (letter.key, letter.value) == (key, value)
    assert (letter.stage, letter.reason, letter.error, letter.version) == ("calls", "invalid", "text: wrong", VERSION)
    assert (letter.source_topic, letter.source_partition, letter.source_offset) == ("turns.measured", 3, 17)
    assert letter.source_timestamp == 1_767_225_600_000
    assert before <= letter.failed_at == sent.timestamp_ms


def test_record_that_cannot_be_read_says_why() -> None:
    with pytest.raises(Refused) as caught:
        decode(MEASURED_DECODER, b'{"record":"turn","turn":{}}')
    sent = dead_letter("calls", Record("turns.measured", 0, 0, 0, b"k", b"{}"), caught.value)
    assert sent.value is not None
    assert decode(LETTER, sent.value).error.startswith("turn.workspace: ")


def test_dead_letter_of_the_greatest_accepted_record_fits_its_topic() -> None:
    record = Record("turns.received", 0, 0, 0, b"k" * 600, b"x" * 900_000)
    sent = dead_letter("features", record, Refused("x" * 500))
    assert sent.value is not None
    assert len(sent.value) < MAX_RECORD_BYTES


def test_exception_and_its_cause_are_named() -> None:
    error = Refused("ClickHouse: no", reason="row_rejected")
    error.__cause__ = ValueError("the row")
    sent = dead_letter("sink", Record("turns.annotated", 0, 0, 0, b"k", b"{}"), error)
    assert decode(LETTER, sent.value or b"").exception == "Refused < ValueError"


def refused(offsets: Sequence[int], partition: int = 0) -> list[RefusedRecord]:
    return [RefusedRecord(record, Refused("no")) for record in records(offsets, partition)]


def records(offsets: Sequence[int], partition: int = 0) -> list[Record]:
    return [Record(RECEIVED.name, partition, offset, 0, b"k", b"poison") for offset in offsets]


async def test_letters_and_the_count_of_each_partition_are_sent_together(loads: Loads) -> None:
    letters = loads.letters({0, 1})
    batch = [*records(range(5)), *records(range(7, 9), partition=1)]
    sent = await letters.of(batch, [*refused([7], partition=1), *refused([3, 1])])
    assert [outgoing.topic for outgoing in sent] == [DEAD_LETTERS.name] * 3 + [DEAD_LETTERS_COUNTS.name] * 2
    assert [decode(LETTER, outgoing.value or b"").source_offset for outgoing in sent[:3]] == [1, 3, 7]
    assert [(outgoing.key, decode(COUNTS_DECODER, outgoing.value or b"")) for outgoing in sent[3:]] == [
        (b"features/turns.received/0/dead", stored(0, [1, 3])),
        (b"features/turns.received/1/dead", stored(1, [7])),
    ]


async def test_nothing_of_a_batch_that_is_too_much_is_sent(loads: Loads) -> None:
    letters = loads.letters({0, 1})
    batch = [*records([0], partition=1), *records(range(IN_A_ROW))]
    with pytest.raises(TooManyRefused, match=r"turns.received/0 at offset 199 .* dead-letters resume features"):
        await letters.of(batch, [*refused([0], partition=1), *refused(range(IN_A_ROW))])


async def test_count_goes_with_the_partition_from_process_to_process(loads: Loads) -> None:
    first, second = loads.letters({0}), loads.letters({1})
    loads.saved(await first.of(records(range(199)), refused(range(199))))
    second.on_assigned(frozenset({0, 1}))
    with pytest.raises(TooManyRefused):
        await second.of(records([199]), refused([199]))


async def test_batch_without_a_letter_saves_nothing(loads: Loads) -> None:
    assert await loads.letters({0}).of(records(range(5)), []) == []


async def test_partition_that_went_to_another_process_is_counted_there(loads: Loads) -> None:
    sent = await loads.letters({1}).of(records([4]), refused([4]))
    assert [outgoing.topic for outgoing in sent] == [DEAD_LETTERS.name]


async def test_assignment_while_the_count_is_read_has_it_read_again(loads: Loads) -> None:
    letters = loads.letters({0})
    loads.during = lambda: letters.on_assigned(frozenset({0, 1}))
    await letters.of(records([4]), refused([4]))
    assert loads.asked == [frozenset({0}), frozenset({0, 1})]


def stored(partition: int, offsets: list[int]) -> StoredDead:
    return StoredDead(
        stage="features", topic=RECEIVED.name, partition=partition, dead=[(offset, "invalid") for offset in offsets]
    )


class Loads:
    """Stands for `dead-letters.counts`. during : happens once, while it is read."""

    def __init__(self) -> None:
        self.limits: dict[TopicPartition, Limit] = {}
        self.asked: list[frozenset[int]] = []
        self.during: Callable[[], None] = lambda: None

    def letters(self, assigned: set[int]) -> DeadLetters:
        letters = DeadLetters(Settings(), "features")
        letters.on_assigned(frozenset(assigned))
        return letters

    def saved(self, sent: Sequence[Outgoing]) -> None:
        for outgoing in sent:
            if outgoing.topic == DEAD_LETTERS_COUNTS.name:
                found = decode(COUNTS_DECODER, outgoing.value or b"")
                assert isinstance(found, StoredDead)
                place = TopicPartition(found.topic, found.partition)
                self.limits[place] = Limit(Dead(*entry) for entry in found.dead)

    async def load(self, _letters: DeadLetters, partitions: frozenset[int]) -> dict[TopicPartition, Limit]:
        self.asked.append(partitions)
        during = self.during
        self.during = lambda: None
        during()
        return {place: Limit(limit.dead) for place, limit in self.limits.items() if place.partition in partitions}


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Loads:
    loads = Loads()

    async def load(letters: DeadLetters, partitions: frozenset[int]) -> dict[TopicPartition, Limit]:
        return await loads.load(letters, partitions)

    monkeypatch.setattr(DeadLetters, "_load", load)
    return loads
