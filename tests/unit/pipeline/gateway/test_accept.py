"""From what a client sent to the record: what is refused names its field, what is accepted says the same thing."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.accept import AcceptedEvent, AcceptedTurn, Limits, accept_event, accept_turn, blob_key
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.event import CallEvent
from schemas.identity import default_event_id, default_turn_id, with_content_hash
from schemas.records import RECEIVED_DECODER
from schemas.turn import Audio, ReceivedRoom, Turn, Word
from tests.records import DAY, T0

TURN = msgspec.json.Decoder(Turn)
EVENT = msgspec.json.Decoder(CallEvent)
LIMITS = Limits(text_bytes=100_000, id_bytes=256, words=20_000, record_bytes=900_000)
NOW_US = 1000 * (T0 + 5_000)
S0 = T0 / 1000

GOOD: dict[str, Any] = {
    "call_id": "call-1",
    "participant": "caller-1",
    "role": "user",
    "text": "hello",
    "started_at": S0,
    "ended_at": S0 + 1.001,
}
WAV = b"RIFF\x24\0\0\0WAVEfmt "


def accept(change: dict[str, Any] | None = None, *, limits: Limits = LIMITS, **changes: Any) -> AcceptedTurn:
    body = encode({**GOOD, **(change or {}), **changes})
    return accept_turn(decode(TURN, body), workspace="default", received_at=NOW_US, limits=limits)


def accept_call_event(**changes: Any) -> AcceptedEvent:
    body = {"type": "system", "at": S0, **changes}
    call_id = body.pop("call_id", "call-1")
    event = decode(EVENT, encode(body))
    return accept_event(event, call_id=call_id, workspace="default", received_at=NOW_US, limits=LIMITS)


def refusal(**changes: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        accept(**changes)
    field = caught.value.field
    assert field is not None
    assert str(caught.value).startswith(f"{field}: "), "the message names the field first"
    return caught.value


# ----------------------------------------------------------------------------------------------------------------------
# What is accepted


def test_record_says_what_the_turn_said() -> None:
    record = accept(
        turn_id="t-1",
        ended_at="2026-01-01T00:00:01.0005Z",
        language="de-CH",
        interrupted=True,
        words=[{"w": "hello", "start": S0 + 0.1, "end": "2026-01-01 01:00:00.2+01:00"}],
        room={"name": "r", "sid": "RM_1", "participant_sid": "PA_1", "connected_at": S0 - 3},
        metadata={"campaign": "x"},
    ).record
    assert (record.workspace, record.call_id, record.turn_id) == ("default", "call-1", "t-1")
    assert (record.started_at, record.ended_at, record.received_at) == (T0, T0 + 1001, NOW_US)
    assert record.words == [Word("hello", T0 + 100, T0 + 200)]
    assert record.room == ReceivedRoom("r", "RM_1", "PA_1", T0 - 3000)
    assert (record.language, record.interrupted, record.metadata) == ("de-CH", True, {"campaign": "x"})
    assert record.audio is None


def test_encoded_record_reads_back_as_the_record() -> None:
    accepted = accept(words=[], room={}, metadata={})
    assert decode(RECEIVED_DECODER, accepted.encoded) == accepted.record
    event = accept_call_event(data={"a": 1, "b": None})
    assert decode(RECEIVED_DECODER, event.encoded) == event.record


def test_content_hash_is_over_the_finished_record() -> None:
    turn, event = accept().record, accept_call_event().record
    assert turn == with_content_hash(turn)
    assert event == with_content_hash(event)


def test_turn_without_id_gets_one_of_participant_role_and_start() -> None:
    record = accept(started_at=S0 + 0.0004).record
    assert record.turn_id == default_turn_id("caller-1", "user", T0)
    assert accept(text="corrected", ended_at=S0 + 9).record.turn_id == record.turn_id
    assert accept(started_at=S0 + 0.0006).record.turn_id != record.turn_id


def test_event_without_id_gets_one_of_all_it_says() -> None:
    record = accept_call_event(data={"a": 1}).record
    assert record.event_id == default_event_id(record)
    assert accept_call_event(data={"a": 2}).record.event_id != record.event_id
    assert accept_call_event(event_id="e-1").record.event_id == "e-1"


@given(st.integers(0, 3_600_000), st.integers(0, 600_000))
def test_times_are_whole_milliseconds_of_what_was_sent(start: int, length: int) -> None:
    record = accept(started_at=(T0 + start) / 1000, ended_at=(T0 + start + length) / 1000).record
    assert (record.started_at, record.ended_at) == (T0 + start, T0 + start + length)


def test_turn_may_have_no_length_and_no_text() -> None:
    record = accept(ended_at=S0, text="").record
    assert record.ended_at == record.started_at


# ----------------------------------------------------------------------------------------------------------------------
# Times


@pytest.mark.parametrize("field", ["started_at", "ended_at"])
@pytest.mark.parametrize(
    "value", [0, 946_684_799.999, T0, (T0 + 5_001 + DAY) / 1000, "1999-12-31T23:59:59.999Z", "2126-01-01T00:00:00Z"]
)
def test_time_out_of_range_is_refused(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert (error.field, error.reason) == (field, "time_out_of_range")


def test_range_is_from_2000_to_a_day_ahead() -> None:
    assert accept(started_at=946_684_800, ended_at=946_684_801).record.started_at == 946_684_800_000
    ahead = (T0 + 5_000 + DAY) / 1000
    assert accept(started_at=ahead - 1, ended_at=ahead).record.ended_at == T0 + 5_000 + DAY


def test_turn_lasts_a_day_at_most() -> None:
    begin = S0 - 2 * 86_400
    assert accept(started_at=begin, ended_at=begin + 86_400).record.ended_at == round(1000 * begin) + DAY
    error = refusal(started_at=begin, ended_at=begin + 86_400.001)
    assert (error.field, error.reason) == ("ended_at", "time_out_of_range")


def test_time_without_zone_is_refused() -> None:
    error = refusal(started_at="2026-01-01T00:00:00")
    assert (error.field, error.reason) == ("started_at", "time_without_zone")


def test_end_before_start_is_refused_with_both_and_the_way_out() -> None:
    error = refusal(ended_at=S0 - 0.9)
    assert (error.field, error.reason) == ("ended_at", "ended_before_started")
    assert "0.9 s before started_at" in str(error)
    assert "ISO 8601" in str(error)


def test_end_that_rounds_to_the_start_is_accepted() -> None:
    # 0.4 ms before it, in the sender's clock: the same millisecond.
    assert accept(started_at=S0 + 0.0004, ended_at=S0).record.started_at == T0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"words": [{"w": "a", "start": S0, "end": S0 + 1}, {"w": "b", "start": 5, "end": S0}]}, "words[1].start"),
        ({"words": [{"w": "a", "start": S0, "end": "soon"}]}, "words[0].end"),
        ({"words": [{"w": "a", "start": S0 + 1, "end": S0}]}, "words[0].end"),
        ({"room": {"connected_at": "2026-01-01T00:00:00"}}, "room.connected_at"),
    ],
)
def test_nested_time_is_named(change: dict[str, Any], field: str) -> None:
    assert refusal(**change).field == field


def test_events_time_is_checked() -> None:
    with pytest.raises(Refused, match=r"^at: ") as caught:
        accept_call_event(at=5)
    assert caught.value.reason == "time_out_of_range"


# ----------------------------------------------------------------------------------------------------------------------
# Limits


@pytest.mark.parametrize("field", ["call_id", "participant", "turn_id"])
def test_id_has_1_to_256_bytes(field: str) -> None:
    accept({field: "ü" * 128})
    assert refusal(**{field: "ü" * 128 + "x"}).reason == "too_large"
    assert refusal(**{field: ""}).field == field
    assert refusal(**{field: " \t"}).field == field


@pytest.mark.parametrize("field", ["call_id", "participant", "turn_id"])
@pytest.mark.parametrize("character", ["\x00", "\x1f", "\n", "\x7f"])
def test_id_with_control_characters_is_refused(field: str, character: str) -> None:
    error = refusal(**{field: f"a{character}b"})
    assert error.field == field
    assert "control characters" in str(error)


@pytest.mark.parametrize("field", ["call_id", "participant", "event_id"])
def test_events_ids_are_checked_as_well(field: str) -> None:
    for value in ("", "a\x1fb", "x" * 257):
        with pytest.raises(Refused) as caught:
            accept_call_event(**{field: value})
        assert caught.value.field == field


def test_text_has_100_kb() -> None:
    accept(text="ä" * 50_000)
    error = refusal(text="ä" * 50_000 + "x")
    assert (error.field, error.reason) == ("text", "too_large")
    assert "100001 bytes, at most 100000" in str(error)


def test_words_are_20_000() -> None:
    word = {"w": "a", "start": S0, "end": S0}
    accept(words=[word] * 20_000)
    error = refusal(words=[word] * 20_001)
    assert (error.field, error.reason) == ("words", "too_large")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("words", [{"w": "x" * 50, "start": S0, "end": S0}] * 12_000),
        ("metadata", {"k": "x" * 900_000}),
        ("room", {"name": "x" * 900_000}),
        ("language", "x" * 900_000),
    ],
)
def test_record_has_900_kb_and_what_fills_it_is_named(field: str, value: Any) -> None:
    error = refusal(**{field: value})
    assert (error.field, error.reason) == (field, "too_large")


def test_event_has_900_kb() -> None:
    accept_call_event(data={"k": "x" * 890_000})
    with pytest.raises(Refused, match=r"^data: ") as caught:
        accept_call_event(data={"k": "x" * 900_000})
    assert caught.value.reason == "too_large"


def test_limits_are_those_given() -> None:
    small = Limits(text_bytes=4, id_bytes=6, words=0, record_bytes=2_000)
    assert accept(limits=small, participant="a", text="1234").record.text == "1234"
    for change, field in (
        ({"text": "12345"}, "text"),
        ({"participant": "1234567"}, "participant"),
        ({"words": [{"w": "a", "start": S0, "end": S0}]}, "words"),
        ({"metadata": {"a": "x" * 2_000}}, "metadata"),
    ):
        with pytest.raises(Refused) as caught:
            accept({"participant": "a", "text": "", **change}, limits=small)
        assert caught.value.field == field


# ----------------------------------------------------------------------------------------------------------------------
# Personal data


@pytest.mark.parametrize(
    "participant",
    [
        "+41791234567",
        "+1 (202) 555-0123",
        "0041791234567",
        "079 123 45 67",
        " 0791234567",
        "0791234567 ",
        "(202) 555-0123",
        "202.555.0123",
        "030/1234567",
        "2025550123",
        "caller +41791234567",
        "user_+41 79 123 45 67",
        "sip_+41791234567",
        "sip:+41791234567@pbx",
        "sips:41791234567@pbx.example.com",
        "SIP:0791234567@10.0.0.1",
        "tel:+41791234567",
        "tel:0791234567",
        "tel:079-12-34-567",
        "anna@example.com",
        "Anna Example <anna.example@mail.example.org>",
        "sip:anna@example.com",
        "٠٧٩١٢٣٤٥٦٧",  # digits are digits
    ],
)
def test_participant_that_is_personal_data_is_refused_and_not_repeated(participant: str) -> None:
    error = refusal(participant=participant)
    assert (error.field, error.reason) == ("participant", "personal_data")
    assert participant.strip() not in str(error)
    with pytest.raises(Refused, match="participant"):
        accept_call_event(participant=participant)


@pytest.mark.parametrize(
    "participant",
    [
        "caller",
        "caller-1",
        "agent-7",
        "caller-20260131",
        "PA_abcdEFGH1234",
        "user_1234567",
        "123456",
        "1234567890123456",  # 16 digits: longer than any number
        "550e8400-e29b-41d4-a716-446655440000",
        "sip:1234@pbx",
        "a+b",
        "room 12 seat 3",
        "Ünïcode",
        "x@y",
    ],
)
def test_participant_that_is_an_anonymous_id_is_accepted(participant: str) -> None:
    assert accept(participant=participant).record.participant == participant


def test_looking_for_personal_data_takes_no_time() -> None:
    """Ids have 256 bytes: no pattern may go back and forth in them for long."""
    import time  # noqa: PLC0415

    started = time.process_time()
    for hard in ("+" + "1 " * 127, "(" * 256, "1-" * 128, "a@" * 128, "+" * 256, "sip:" + "a" * 252, "0" * 256):
        for _ in range(20):
            with suppress(Refused):
                accept(participant=hard)
    assert time.process_time() - started < 1


# ----------------------------------------------------------------------------------------------------------------------
# Audio


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_audio_is_named_by_call_and_content() -> None:
    accepted = accept(audio_b64=b64(WAV))
    assert accepted.audio == WAV
    audio = accepted.record.audio
    assert audio is not None
    assert audio == Audio(blob_key("default", "call-1", WAV, "wav"), "wav", len(WAV))
    workspace, call, content = audio.blob.split("/")
    assert (workspace, len(call), len(content)) == ("default", 64, 64 + len(".wav"))


def test_same_audio_has_the_same_name_in_its_call_only() -> None:
    names = [accept(audio_b64=b64(WAV), call_id=call_id).record.audio for call_id in ("a", "a", "b", "../b")]
    keys = [audio.blob for audio in names if audio is not None]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert not any(".." in key for key in keys)


def test_raw_audio_keeps_its_declaration() -> None:
    audio = accept(
        audio_b64=b64(b"\0" * 8), audio_format="pcm_s16le", sample_rate=8000, channels=2, audio_channel=1
    ).record.audio
    assert audio is not None
    assert (audio.format, audio.sample_rate, audio.channels, audio.channel) == ("pcm_s16le", 8000, 2, 1)
    assert audio.blob.endswith(".pcm")


def test_declaration_of_a_format_that_has_a_header_is_the_headers_business() -> None:
    audio = accept(audio_b64=b64(WAV), sample_rate=8000, channels=2).record.audio
    assert audio is not None
    assert (audio.sample_rate, audio.channels) == (None, None)


def test_audio_refused_refuses_the_turn() -> None:
    assert refusal(audio_b64="!").field == "audio_b64"
