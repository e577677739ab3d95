"""A dead letter holds all that is needed to send its record again."""

from __future__ import annotations

import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.dead_letters import dead_letter
from agents.delivery import Record
from pipeline.version import VERSION
from schemas.codec import decode
from schemas.dead_letter import DeadLetter
from schemas.errors import Refused
from schemas.records import MEASURED_DECODER
from schemas.topics import DEAD_LETTERS, MAX_RECORD_BYTES

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
