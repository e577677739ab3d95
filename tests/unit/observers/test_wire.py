"""What goes over the wire is what the gateway's own contract reads."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import get_args, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer import Audio, CallEvent, Room, SpokenWord, Turn
from mise_observer import turn as models
from mise_observer.event import EventType
from mise_observer.wire import BASE64_PIECE, encode, event_body, turns_body, wire_bytes
from schemas import event as event_schema
from schemas import turn as turn_schema
from tests.unit.observers.scripted import Row, inflated

BERLIN = timezone(timedelta(hours=1))
instants = st.floats(1e9, 2e9) | st.datetimes(
    datetime(2001, 1, 1), datetime(2030, 1, 1), timezones=st.sampled_from([UTC, BERLIN])
)
audios = st.builds(
    Audio,
    data=st.binary(min_size=1, max_size=100),
    format=st.sampled_from(get_args(models.AudioFormat)),
    sample_rate=st.integers(8_000, 48_000),
    channels=st.none() | st.integers(1, 2),
    channel=st.sampled_from([0, 1, "mix"]),
)
turns = st.builds(
    Turn,
    call_id=st.text(),
    participant=st.text(),
    role=st.sampled_from(get_args(models.Role)),
    text=st.text(),
    started_at=instants,
    ended_at=instants,
    audio=st.none() | audios,
    language=st.none() | st.text(),
    interrupted=st.none() | st.booleans(),
    words=st.none() | st.lists(st.builds(SpokenWord, st.text(), instants, instants), max_size=3),
    room=st.none() | st.builds(Room, name=st.none() | st.text(), connected_at=st.none() | instants),
    metadata=st.none() | st.dictionaries(st.text(), st.text(), max_size=3),
)
events = st.builds(
    CallEvent,
    call_id=st.text().filter(lambda text: text not in ("", ".", "..") and "\n" not in text),  # what a path holds
    type=st.sampled_from(get_args(EventType)),
    at=instants,
    participant=st.none() | st.text(),
    data=st.none()
    | st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53), max_size=3),
)


def wire(instant: models.Instant) -> float | str:
    return instant.isoformat() if isinstance(instant, datetime) else instant


@given(st.lists(turns, min_size=1, max_size=3))
def test_turns_are_read_by_the_contract(sent: list[Turn]) -> None:
    body = inflated(turns_body(map(encode, sent)))
    for turn, row in zip(sent, body["turns"], strict=True):
        read = msgspec.convert(row, turn_schema.Turn)
        for field in ("call_id", "participant", "role", "text", "turn_id", "language", "interrupted", "metadata"):
            assert getattr(read, field) == getattr(turn, field)
        assert (read.started_at, read.ended_at) == (wire(turn.started_at), wire(turn.ended_at))
        assert [(word.w, word.start, word.end) for word in read.words or ()] == [
            (word.w, wire(word.start), wire(word.end)) for word in turn.words or ()
        ]
        assert (read.words is None) == (turn.words is None)
        assert (read.room is None) == (turn.room is None)
        if turn.audio is None:
            assert (read.audio_b64, read.audio_format, read.sample_rate) == (None, None, None)
        else:
            assert base64.b64decode(read.audio_b64 or "") == turn.audio.data
            assert (read.audio_format, read.sample_rate, read.channels, read.audio_channel) == (
                turn.audio.format,
                turn.audio.sample_rate,
                turn.audio.channels,
                turn.audio.channel,
            )


@given(events)
def test_events_are_read_by_the_contract(sent: CallEvent) -> None:
    read = msgspec.json.decode(gzip.decompress(event_body(encode(sent))), type=event_schema.CallEvent)
    assert (read.type, read.at, read.participant, read.data, read.event_id) == (
        sent.type,
        wire(sent.at),
        sent.participant,
        sent.data,
        sent.event_id,
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (models.Role, turn_schema.Role),
        (models.AudioFormat, turn_schema.AudioFormat),
        (EventType, event_schema.EventType),
    ],
)
def test_words_of_the_contract_are_ours(ours: object, theirs: object) -> None:
    assert get_args(ours) == get_args(theirs)


def test_fields_of_the_contract_are_ours() -> None:
    audio = {"audio_b64", "audio_format", "sample_rate", "channels", "audio_channel"}
    assert set(get_type_hints(Turn)) - {"audio"} == set(turn_schema.Turn.__struct_fields__) - audio
    assert set(get_type_hints(CallEvent)) - {"call_id"} == set(event_schema.CallEvent.__struct_fields__)
    assert set(get_type_hints(Room)) == set(turn_schema.Room.__struct_fields__)
    assert set(get_type_hints(SpokenWord)) == set(turn_schema.SpokenWord.__struct_fields__)


@pytest.mark.parametrize("size", [1, BASE64_PIECE - 1, BASE64_PIECE, BASE64_PIECE + 1, 3 * BASE64_PIECE + 2])
def test_pieces_of_audio_join(size: int) -> None:
    data = bytes(range(251)) * (size // 251 + 1)
    turn = Turn(
        call_id="c",
        participant="p",
        role="user",
        text="",
        started_at=1.0,
        ended_at=2.0,
        audio=Audio(data=data[:size], format="mulaw", sample_rate=8_000),
    )
    encoded = encode(turn)
    body = gzip.decompress(turns_body([encoded]))
    row: Row = json.loads(body)["turns"][0]
    assert base64.b64decode(row["audio_b64"]) == data[:size]
    assert encoded.audio is not None
    assert len(body) <= wire_bytes(len(encoded.json) + len(encoded.audio.fields), size)


def test_without_audio_nothing_of_it_is_left() -> None:
    turn = Turn(
        call_id="c",
        participant="p",
        role="user",
        text="t",
        started_at=1.0,
        ended_at=2.0,
        audio=Audio(data=b"12", format="pcm_s16le", sample_rate=8_000),
    )
    row = inflated(turns_body([encode(turn).without_audio()]))["turns"][0]
    assert set(row) == {"call_id", "participant", "role", "text", "started_at", "ended_at", "turn_id"}


def test_half_a_surrogate_pair_costs_a_character() -> None:
    turn = Turn(call_id="c", participant="p", role="user", text="a\ud800b", started_at=1.0, ended_at=2.0)
    assert inflated(turns_body([encode(turn)]))["turns"][0]["text"] == "a?b"


def test_not_a_number_is_no_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode(CallEvent(call_id="c", type="metrics", at=1.0, data={"delay_s": float("nan")}))


@pytest.mark.parametrize("field", ["started_at", "ended_at"])
def test_time_without_zone_is_no_time(field: str) -> None:
    times = {"started_at": 1.0, "ended_at": 2.0} | {field: datetime(2026, 1, 31, 9, 30)}
    with pytest.raises(ValueError, match=f"{field}: 2026-01-31T09:30:00 has no zone"):
        Turn(call_id="c", participant="p", role="user", text="", **times)  # type: ignore[arg-type]


def test_audio_says_what_it_lacks() -> None:
    with pytest.raises(ValueError, match="sample_rate: mulaw has no header"):
        Audio(data=b"1", format="mulaw")
    with pytest.raises(ValueError, match="data: empty"):
        Audio(data=b"", format="wav")
    with pytest.raises(TypeError, match="data: memoryview"):
        Audio(data=memoryview(b"12"), format="wav")  # type: ignore[arg-type]


def test_a_turn_is_sent_as_it_was_given() -> None:
    metadata = {"a": "1"}
    turn = Turn(call_id="c", participant="p", role="user", text="", started_at=1.0, ended_at=2.0, metadata=metadata)
    metadata["b"] = "2"
    assert turn.metadata == {"a": "1"}


def test_what_was_said_is_in_no_repr() -> None:
    turn = Turn(
        call_id="c",
        participant="p",
        role="user",
        text="secret",
        started_at=1.0,
        ended_at=2.0,
        words=[SpokenWord("secret", 1.0, 2.0)],
        audio=Audio(data=b"secret", format="wav"),
    )
    assert "secret" not in repr(turn)
