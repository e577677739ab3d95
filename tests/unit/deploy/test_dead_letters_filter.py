"""Which dead letters are meant, and how they are written."""

from __future__ import annotations

import msgspec
import pytest

from deploy.dead_letters import Filter, Letter, LetterId, Status, _again
from deploy.dead_letters_command import _instant, described
from schemas.dead_letter import DeadLetter
from schemas.errors import Misconfigured, Refused
from schemas.identity import record_key
from tests.records import T0

CONTENT = DeadLetter(
    stage="sink",
    reason="row_rejected",
    error="no",
    source_topic="turns.annotated",
    source_partition=3,
    source_offset=17,
    source_timestamp=T0,
    key=record_key("default", "call-1"),
    value=b"{}",
    version="0.1.0",
    failed_at=T0 + 1_000,
)
LETTER = Letter(LetterId(0, 5), CONTENT, "open")


@pytest.mark.parametrize(
    ("chosen", "takes"),
    [
        (Filter(), True),
        (Filter(ids={LetterId(0, 5)}), True),
        (Filter(ids={LetterId(0, 6)}), False),
        (Filter(stage="sink", reason="row_rejected", source_topic="turns.annotated", call="call-1"), True),
        (Filter(stage="calls"), False),
        (Filter(reason="invalid"), False),
        (Filter(source_topic="calls.summarised"), False),
        (Filter(call="call-10"), False),
        (Filter(call="default"), False),
        (Filter(since=T0 + 1_000, until=T0 + 1_001), True),
        (Filter(since=T0 + 1_001), False),
        (Filter(until=T0 + 1_000), False),
    ],
)
def test_filter_takes_what_has_all_that_it_names(chosen: Filter, takes: bool) -> None:
    assert chosen.takes(LETTER) is takes


@pytest.mark.parametrize("status", ["retried", "dropped"])
def test_handled_letter_is_taken_only_when_asked_for(status: Status) -> None:
    handled = LETTER._replace(status=status)
    assert not Filter().takes(handled)
    assert Filter(handled=True).takes(handled)
    assert not Filter(handled=True, stage="calls").takes(handled)


@pytest.mark.parametrize("key", [None, b"", b"call-1", b"\xff\xfe"])
def test_key_that_is_no_calls_names_none(key: bytes | None) -> None:
    letter = LETTER._replace(content=msgspec.structs.replace(CONTENT, key=key))
    assert letter.call is None
    assert not Filter(call="call-1").takes(letter)
    assert (described(letter)["key"], described(letter)["call_id"]) == (key, None)


def test_id_is_read_as_it_is_written() -> None:
    assert LetterId.read(str(LetterId(0, 5))) == LetterId(0, 5)
    for text in ("5", "0:", "0:-1", "a:b", "0:5:1", "0:" + 30 * "9"):
        with pytest.raises(Refused, match="name it PARTITION:OFFSET"):
            LetterId.read(text)


def test_record_is_sent_again_byte_for_byte_where_it_was_read_under_the_time_of_now() -> None:
    again = _again(LETTER, T0 + 9)
    assert again == ("turns.annotated", 3, CONTENT.key, b"{}", T0 + 9)


def test_topic_that_is_none_of_ours_gets_nothing() -> None:
    foreign = LETTER._replace(content=msgspec.structs.replace(CONTENT, source_topic="payments"))
    with pytest.raises(Misconfigured, match="0:5: topic 'payments' is none of ours"):
        _again(foreign, T0)


@pytest.mark.parametrize("text", ["1767225600", "1767225600.0", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00"])
def test_instant_is_given_as_everywhere(text: str) -> None:
    assert _instant(text, "--since") == T0


def test_instant_without_a_zone_is_refused_by_the_name_of_its_option() -> None:
    with pytest.raises(Refused, match=r"--since: .* has no zone"):
        _instant("2026-01-01T00:00:00", "--since")
