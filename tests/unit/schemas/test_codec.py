"""Strict decoding: every error is Refused, and names the field."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.event import CallEvent
from schemas.features import Features
from schemas.http import TurnBatch
from schemas.records import ANNOTATED_DECODER, MEASURED_DECODER, RECEIVED_DECODER, SUMMARY_DECODER
from schemas.turn import Turn
from tests.records import measured, received_event, received_turn

TURN = msgspec.json.Decoder(Turn)
EVENT = msgspec.json.Decoder(CallEvent)
BATCH = msgspec.json.Decoder(TurnBatch)
DECODERS: list[msgspec.json.Decoder[Any]] = [
    TURN,
    EVENT,
    BATCH,
    RECEIVED_DECODER,
    MEASURED_DECODER,
    ANNOTATED_DECODER,
    SUMMARY_DECODER,
]

GOOD: dict[str, Any] = {
    "call_id": "c",
    "participant": "caller",
    "role": "user",
    "text": "",
    "started_at": 1,
    "ended_at": 2,
}
WORD = {"w": "a", "start": 1, "end": 2}


def refusal(decoder: msgspec.json.Decoder[Any], data: bytes) -> Refused:
    with pytest.raises(Refused) as caught:
        decode(decoder, data)
    return caught.value


@pytest.mark.parametrize("name", list(GOOD))
def test_missing_field_is_named(name: str) -> None:
    error = refusal(TURN, encode({key: value for key, value in GOOD.items() if key != name}))
    assert (error.field, error.reason) == (name, "invalid")
    assert str(error).startswith(f"{name}: ")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"call_id": 1}, "call_id"),
        ({"role": "boss"}, "role"),
        ({"text": None}, "text"),
        ({"started_at": True}, "started_at"),
        ({"started_at": None}, "started_at"),
        ({"started_at": []}, "started_at"),
        ({"sample_rate": 7_999}, "sample_rate"),
        ({"sample_rate": 16_000.5}, "sample_rate"),
        ({"channels": 3}, "channels"),
        ({"audio_channel": 2}, "audio_channel"),
        ({"audio_format": "aiff"}, "audio_format"),
        ({"interrupted": "yes"}, "interrupted"),
        ({"words": {}}, "words"),
        ({"words": [WORD, WORD, WORD, {**WORD, "start": None}]}, "words[3].start"),
        ({"words": [{"w": "a", "start": 1}]}, "words[0].end"),
        ({"words": [{**WORD, "confidence": 1}]}, "words[0].confidence"),
        ({"words": [[1, 2, 3]]}, "words[0]"),
        ({"room": {"nam": "x"}}, "room.nam"),
        ({"room": {"connected_at": {}}}, "room.connected_at"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"speaker": "x"}, "speaker"),
    ],
)
def test_field_at_fault_is_named(change: dict[str, object], field: str) -> None:
    error = refusal(TURN, encode({**GOOD, **change}))
    assert (error.field, error.reason) == (field, "invalid")
    assert str(error).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("data", "reason", "field"),
    [
        (b"", "not_json", None),
        (b"{", "not_json", None),
        (encode(GOOD) + b"x", "not_json", None),
        (b"\xff\xfe", "not_json", None),
        (b"\x1f\x8b\x08", "not_json", None),
        (b'{"started_at": NaN}', "not_finite", "started_at"),
        (b'{"started_at": Infinity}', "not_finite", "started_at"),
        (b'{"words": [{"w": "a", "start": 1, "end": 2}, {"end": -Infinity}]}', "not_finite", "words[1].end"),
        (b'{"call_id": "\xff"}', "not_utf8", None),
        (b'{"call_id": "\xed\xa0\x80"}', "not_utf8", None),  # a surrogate in UTF-8
        (b'{"call_id": "\\ud800"}', "not_json", None),
        (b'{"started_at": 1e999}', "invalid", "started_at"),
        (b'{"started_at": ' + b"9" * 5000 + b"}", "invalid", "started_at"),
        (b"[]", "invalid", None),
        (b"null", "invalid", None),
        (b'"turn"', "invalid", None),
    ],
)
def test_what_is_no_turn_is_refused_with_its_reason(data: bytes, reason: str, field: str | None) -> None:
    error = refusal(TURN, data)
    assert (error.reason, error.field) == (reason, field)


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"turns":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"record":"turn","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' * 100_000,
    ],
    ids=["open", "in_raw", "in_unknown_field", "objects"],
)
def test_deep_nesting_is_refused(decoder: msgspec.json.Decoder[Any], data: bytes) -> None:
    refusal(decoder, data)


def test_not_json_says_so() -> None:
    assert "not JSON" in str(refusal(TURN, b"call_id=c"))


@pytest.mark.parametrize("tag", [b"", b'"record":"turns"', b'"record":1', b'"record":null'])
def test_record_of_no_known_kind_is_refused(tag: bytes) -> None:
    assert refusal(RECEIVED_DECODER, b"{" + tag + b"}").field == "record"


@pytest.mark.parametrize("decoder", DECODERS)
@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(decoder: msgspec.json.Decoder[Any], data: bytes) -> None:
    with pytest.raises(Refused):
        decode(decoder, data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([*GOOD, "words", "room", "metadata", "audio_b64", "`", "a` - at `$.x"]), JSON)
def test_any_value_in_any_field_is_a_turn_or_refused(name: str, value: object) -> None:
    # Python's json writes what JavaScript would not read back, e.g. integers of any length: as senders do.
    data = json.dumps({**GOOD, name: value}).encode()
    try:
        assert isinstance(decode(TURN, data), Turn)
    except Refused as error:
        assert str(error)  # noqa: PT017 - either outcome is fine, an escaping error is not


@given(st.data())
def test_a_damaged_record_is_a_record_or_refused(data: st.DataObject) -> None:
    encoded = bytearray(encode(measured(received_turn())))
    at = data.draw(st.integers(0, len(encoded) - 1))
    encoded[at] = data.draw(st.integers(0, 255))
    try:
        decode(MEASURED_DECODER, bytes(encoded))
    except Refused as error:
        assert str(error)  # noqa: PT017


def test_records_read_back_as_they_were() -> None:
    turn, event = received_turn(), received_event(data={"a": 1, "b": None, "c": 0.5, "d": True, "e": "x"})
    for received in (turn, event):
        assert decode(RECEIVED_DECODER, encode(received)) == received
    for passed_on in (measured(turn), event):
        assert decode(MEASURED_DECODER, encode(passed_on)) == passed_on


def test_same_record_gives_the_same_bytes() -> None:
    assert encode(received_turn()) == encode(received_turn())


@pytest.mark.parametrize(
    "contour", [{"hop_ms": 10.0, "f0": "AAA=", "level": "AA=="}, {"hop_ms": 1e308, "f0": "", "level": ""}]
)
def test_contour_that_cannot_be_one_is_refused(contour: dict[str, Any]) -> None:
    """It would raise in the middle of a stage, whose partition would not get past it."""
    record = {**json.loads(encode(measured(received_turn(), Features()))), "contour": contour}
    assert refusal(MEASURED_DECODER, encode(record)).field in ("contour", "contour.hop_ms")
