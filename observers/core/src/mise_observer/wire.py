"""From turns and call events to the bodies of requests.

All of it runs in the sender's thread, beside the host's event loop, and in pieces: what holds the interpreter's lock
(JSON, base64) does so for less than a millisecond at a time, and a body exists only compressed.
"""

from __future__ import annotations

import binascii
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from mise_observer.event import CallEvent
from mise_observer.turn import Instant, Turn

BASE64_PIECE = 48 * 1024
"""Bytes of audio encoded at once, 30 µs; a multiple of 3, so that the pieces join without padding."""

GZIP = 16 + zlib.MAX_WBITS
GZIP_LEVEL = 1
"""Base64 of samples shrinks to three quarters at any level; level 1 is the fastest."""

ENVELOPE_BYTES = 64
"""Of a body around its turns."""

PATH_CHARACTERS = 4_000
"""Of an event's call_id, which stands in the path of its request; the gateway takes 256 bytes."""


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """fields : the audio's other fields, as JSON without braces. data : the audio itself."""

    fields: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Encoded:
    """A turn or a call event as JSON. json : the whole object but for what belongs to the audio."""

    is_turn: bool
    call_id: str
    id: str
    json: bytes
    audio: EncodedAudio | None = None

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.json) + (0 if self.audio is None else len(self.audio.data))

    def without_audio(self) -> Encoded:
        return replace(self, audio=None)


def encode(item: Turn | CallEvent) -> Encoded:
    """The item as JSON.

    Times are sent as they came, numbers or ISO 8601. Halves of surrogate pairs, which are no text, become `?`.
    Raises TypeError or ValueError for what JSON can't say (NaN, bytes in metadata), and for an event whose call_id no
    path can hold.
    """
    return _turn(item) if isinstance(item, Turn) else _event(item)


def turns_body(turns: Iterable[Encoded]) -> bytes:
    """Body of `POST /v1/turns:batch`, gzip."""
    return _gzip(_batch(turns))


def event_body(event: Encoded) -> bytes:
    """Body of `POST /v1/calls/{call_id}/events`, gzip."""
    return _gzip([event.json])


def wire_bytes(json_bytes: int, audio_bytes: int) -> int:
    """Bytes of a turn in a body before compression."""
    return json_bytes + (audio_bytes + 2) // 3 * 4 + ENVELOPE_BYTES


def _turn(turn: Turn) -> Encoded:
    fields: dict[str, object] = {
        "call_id": turn.call_id,
        "participant": turn.participant,
        "role": turn.role,
        "text": turn.text,
        "started_at": _instant(turn.started_at),
        "ended_at": _instant(turn.ended_at),
        "turn_id": turn.turn_id,
        "language": turn.language,
        "interrupted": turn.interrupted,
        "metadata": turn.metadata,
    }
    if turn.room is not None:
        connected_at = turn.room.connected_at
        fields["room"] = _given(
            {
                "name": turn.room.name,
                "sid": turn.room.sid,
                "participant_sid": turn.room.participant_sid,
                "connected_at": None if connected_at is None else _instant(connected_at),
            }
        )
    encoded = _json(_given(fields))
    if turn.words is not None:
        # One by one: 20,000 words at once would hold the interpreter's lock for 20 ms.
        words = b",".join(
            _json({"w": word.w, "start": _instant(word.start), "end": _instant(word.end)}) for word in turn.words
        )
        encoded = b'%b,"words":[%b]}' % (encoded[:-1], words)
    audio = None
    if turn.audio is not None:
        described = _json(
            _given(
                {
                    "audio_format": turn.audio.format,
                    "sample_rate": turn.audio.sample_rate,
                    "channels": turn.audio.channels,
                    "audio_channel": turn.audio.channel,
                }
            )
        )
        audio = EncodedAudio(described[1:-1], turn.audio.data)
    return Encoded(True, turn.call_id, turn.turn_id, encoded, audio)


def _event(event: CallEvent) -> Encoded:
    _check_path(event.call_id)
    fields = {
        "type": event.type,
        "at": _instant(event.at),
        "participant": event.participant,
        "data": event.data,
        "event_id": event.event_id,
    }
    return Encoded(False, event.call_id, event.event_id, _json(_given(fields)))


def _check_path(call_id: str) -> None:
    """Raise what says that the path of a request can't hold it.

    The answer would be another route's or a proxy's, which says nothing of the event: it would be sent again for ever.
    """
    if not isinstance(call_id, str):
        raise TypeError(f"call_id: {type(call_id).__name__}, expected a string")
    if call_id in ("", ".", "..") or "\n" in call_id or len(call_id) > PATH_CHARACTERS:
        raise ValueError(
            f"call_id: expected 1 to {PATH_CHARACTERS} characters, no line's end, and neither `.` nor `..`"
        )


def _batch(turns: Iterable[Encoded]) -> Iterator[bytes]:
    before = b'{"turns":['
    for turn in turns:
        yield before
        if turn.audio is None:
            yield turn.json
        else:
            yield b'%b,%b,"audio_b64":"' % (turn.json[:-1], turn.audio.fields)
            data = memoryview(turn.audio.data)
            for start in range(0, len(data), BASE64_PIECE):
                yield binascii.b2a_base64(data[start : start + BASE64_PIECE], newline=False)
            yield b'"}'
        before = b","
    yield b"]}"


def _gzip(pieces: Iterable[bytes]) -> bytes:
    deflate = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, GZIP)
    return b"".join([*map(deflate.compress, pieces), deflate.flush()])


def _given(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _instant(value: Instant) -> float | str:
    return value.isoformat() if isinstance(value, datetime) else value


def _json(fields: Mapping[str, object]) -> bytes:
    return json.dumps(fields, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
