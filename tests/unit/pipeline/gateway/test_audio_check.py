"""What the gateway sees of audio without decoding it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.audio import audio_of, sniff
from schemas.errors import Refused
from schemas.turn import AudioFormat, Turn

TURN: dict[str, Any] = {
    "call_id": "c",
    "participant": "p",
    "role": "user",
    "text": "",
    "started_at": 0,
    "ended_at": 0,
}


def turn(data: bytes | None = None, **changes: Any) -> Turn:
    audio = {} if data is None else {"audio_b64": base64.b64encode(data).decode()}
    return Turn(**{**TURN, **audio, **changes})


def written(container: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(8000) / 10) / 2, 16_000, format=container, subtype=subtype)
    return file.getvalue()


def refusal(turn: Turn) -> Refused:
    with pytest.raises(Refused) as caught:
        audio_of(turn)
    return caught.value


FILES: list[tuple[str, AudioFormat]] = [
    ("WAV", "wav"),
    ("RF64", "wav"),
    ("FLAC", "flac"),
    ("OGG", "ogg"),
    ("MP3", "mp3"),
]


@pytest.mark.parametrize(("container", "expected"), FILES)
def test_format_is_found_by_the_first_bytes(container: str, expected: AudioFormat) -> None:
    data = written(container)
    assert sniff(data) == expected
    assert audio_of(turn(data)) == (data, expected)
    assert audio_of(turn(data, audio_format=expected)) == (data, expected)


def test_mp3_with_tags_first_is_mp3() -> None:
    assert sniff(b"ID3\x04\0\0\0\0\0\0" + written("MP3")) == "mp3"


@pytest.mark.parametrize(
    "data",
    [
        b"\0" * 100,
        b"RIFF\0\0\0\0AVI LIST",
        b"RIFF",
        b"%PDF-1.7",
        b"<html>",
        b"\x1f\x8b\x08\0",
        b"\x1aE\xdf\xa3webm",
        b"\xff\xf1\x50\x80 AAC has layer 0",
        b"\xff\xfb",
        b"\xff\xfb\xf0\x00 no such bit rate",
        b"\xff\xfb\x9c\x00 no such sample rate",
        b"caff",
    ],
)
def test_what_is_no_known_audio_is_refused(data: bytes) -> None:
    error = refusal(turn(data))
    assert (error.field, error.reason) == ("audio_b64", "not_audio")


@given(st.binary(max_size=64))
def test_sniffing_takes_anything(data: bytes) -> None:
    assert sniff(data) in (None, "wav", "flac", "ogg", "mp3")


@pytest.mark.parametrize(
    "text",
    [
        "!",
        "AAA",
        "A===",
        "AAAA\n",
        "AA AA",
        "=AAA",
        "AA=A",
        "AA==AA==",
        "-_-_",
        "ÄÄÄÄ",
        "data:audio/wav;base64,AAAA",
    ],
)
def test_what_is_not_base64_is_refused(text: str) -> None:
    error = refusal(turn(audio_b64=text))
    assert (error.field, error.reason) == ("audio_b64", "not_base64")


@given(st.text(max_size=30))
def test_any_text_is_audio_or_refused(text: str) -> None:
    try:
        audio_of(turn(audio_b64=text))
    except Refused as error:
        assert error.field == "audio_b64"  # noqa: PT017


def test_empty_audio_is_refused() -> None:
    error = refusal(turn(audio_b64=""))
    assert (error.field, error.reason) == ("audio_b64", "empty_audio")


def test_declared_format_has_to_be_that_of_the_audio() -> None:
    error = refusal(turn(written("FLAC"), audio_format="wav"))
    assert error.field == "audio_format"
    assert "flac" in str(error)


@pytest.mark.parametrize(
    ("audio_format", "channels", "size", "whole"),
    [
        ("pcm_s16le", None, 4, True),
        ("pcm_s16le", None, 5, False),
        ("pcm_s16le", 2, 8, True),
        ("pcm_s16le", 2, 6, False),
        ("mulaw", None, 5, True),
        ("mulaw", 2, 5, False),
    ],
)
def test_raw_audio_is_whole_frames(audio_format: str, channels: int | None, size: int, whole: bool) -> None:
    sent = turn(b"\0" * size, audio_format=audio_format, sample_rate=8000, channels=channels)
    if whole:
        assert audio_of(sent) == (b"\0" * size, audio_format)
    else:
        assert refusal(sent).field == "audio_b64"


@pytest.mark.parametrize("audio_format", ["pcm_s16le", "mulaw"])
def test_raw_audio_needs_its_rate(audio_format: str) -> None:
    assert refusal(turn(b"\0\0", audio_format=audio_format)).field == "sample_rate"


def test_raw_audio_that_looks_like_a_file_is_raw() -> None:
    data = written("FLAC")[:100]
    assert audio_of(turn(data, audio_format="pcm_s16le", sample_rate=8000)) == (data, "pcm_s16le")


@pytest.mark.parametrize(("field", "value"), [("audio_format", "wav"), ("sample_rate", 8000), ("channels", 1)])
def test_declaration_without_audio_is_refused(field: str, value: Any) -> None:
    assert refusal(turn(**{field: value})).field == field


def test_turn_without_audio_has_none() -> None:
    assert audio_of(turn()) is None
