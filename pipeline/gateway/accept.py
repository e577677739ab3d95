"""From what a client sent to the record on `turns.received`: checks, identity, times. Pure.

Errors are Refused with the field as the sender wrote it; reason `too_large` becomes a 413, anything else a 422.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

import msgspec

from pipeline.gateway.audio import EXTENSIONS, audio_of
from pipeline.gateway.personal_data import personal_data_in
from schemas.codec import encode
from schemas.errors import Refused
from schemas.event import CallEvent, ReceivedEvent
from schemas.identity import default_event_id, default_turn_id, with_content_hash
from schemas.instants import to_iso, to_ms
from schemas.turn import RAW_FORMATS, Audio, Instant, ReceivedRoom, ReceivedTurn, Turn, Word

EARLIEST_MS = 946_684_800_000
"""2000-01-01: before it, a clock that was never set."""

AHEAD_MS = 24 * 60 * 60 * 1000
"""Times up to a day ahead are taken: clocks differ, and so do opinions on zones."""

LONGEST_TURN_MS = 24 * 60 * 60 * 1000
"""Nobody speaks longer; a turn that seems to has times of two clocks or units."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Limits:
    """What is too much, in bytes (UTF-8) or items."""

    text_bytes: int
    id_bytes: int
    words: int
    record_bytes: int


@dataclass(frozen=True)
class AcceptedTurn:
    """A turn to publish. audio : to be stored under `record.audio.blob` first, None without."""

    record: ReceivedTurn
    encoded: bytes
    audio: bytes | None


@dataclass(frozen=True)
class AcceptedEvent:
    """A call event to publish."""

    record: ReceivedEvent
    encoded: bytes


def accept_turn(turn: Turn, *, workspace: str, received_at: int, limits: Limits) -> AcceptedTurn:
    """The turn as a record. received_at : epoch µs. Raises Refused."""
    _check_id(turn.call_id, "call_id", limits)
    _check_participant(turn.participant, limits)
    if turn.turn_id is not None:
        _check_id(turn.turn_id, "turn_id", limits)
    _check_size(turn.text, "text", limits.text_bytes)
    started_at = _instant(turn.started_at, "started_at", received_at)
    ended_at = _instant(turn.ended_at, "ended_at", received_at)
    if ended_at < started_at:
        raise Refused(
            f"ended_at: {str(turn.ended_at)[:64]} is {(started_at - ended_at) / 1000:g} s before started_at "
            f"{str(turn.started_at)[:64]}; send both as epoch seconds or ISO 8601 with a zone",
            field="ended_at",
            reason="ended_before_started",
        )
    if ended_at - started_at > LONGEST_TURN_MS:
        raise Refused(
            f"ended_at: the turn lasts {(ended_at - started_at) / 3_600_000:.1f} h, at most 24 h; send both times "
            f"in one unit and on one clock",
            field="ended_at",
            reason="time_out_of_range",
        )
    found = audio_of(turn)
    audio = None
    if found is not None:
        data, audio_format = found
        audio = Audio(
            blob=blob_key(workspace, turn.call_id, data, EXTENSIONS[audio_format]),
            format=audio_format,
            size=len(data),
            # Any other format has them in its header.
            sample_rate=turn.sample_rate if audio_format in RAW_FORMATS else None,
            channels=turn.channels if audio_format in RAW_FORMATS else None,
            channel=turn.audio_channel,
        )
    record = with_content_hash(
        ReceivedTurn(
            workspace=workspace,
            call_id=turn.call_id,
            turn_id=turn.turn_id or default_turn_id(turn.participant, turn.role, started_at),
            participant=turn.participant,
            role=turn.role,
            text=turn.text,
            started_at=started_at,
            ended_at=ended_at,
            received_at=received_at,
            content_hash="",
            audio=audio,
            language=turn.language,
            interrupted=turn.interrupted,
            words=_words(turn, received_at, limits),
            room=_room(turn, received_at),
            metadata=turn.metadata,
        )
    )
    return AcceptedTurn(record, _encode(record, limits), found[0] if found else None)


def accept_event(event: CallEvent, *, call_id: str, workspace: str, received_at: int, limits: Limits) -> AcceptedEvent:
    """The call event as a record. received_at : epoch µs. Raises Refused."""
    _check_id(call_id, "call_id", limits)
    if event.participant is not None:
        _check_participant(event.participant, limits)
    if event.event_id is not None:
        _check_id(event.event_id, "event_id", limits)
    record = ReceivedEvent(
        workspace=workspace,
        call_id=call_id,
        event_id=event.event_id or "",
        type=event.type,
        at=_instant(event.at, "at", received_at),
        received_at=received_at,
        content_hash="",
        participant=event.participant,
        data=event.data or {},
    )
    if not record.event_id:
        record = msgspec.structs.replace(record, event_id=default_event_id(record))
    record = with_content_hash(record)
    return AcceptedEvent(record, _encode(record, limits))


def blob_key(workspace: str, call_id: str, audio: bytes, extension: str) -> str:
    """Key of a turn's audio in the blob store: the same audio of the same call is stored once."""
    call, content = (hashlib.sha256(part).hexdigest() for part in (call_id.encode(), audio))
    return f"{workspace}/{call}/{content}.{extension}"


def _instant(value: Instant, field: str, received_at: int) -> int:
    ms = to_ms(value, field=field)
    latest = received_at // 1000 + AHEAD_MS
    if not EARLIEST_MS <= ms <= latest:
        raise Refused(
            f"{field}: {to_iso(ms)} is outside 2000-01-01 .. {to_iso(latest)} (now + 1 day); "
            f"send epoch seconds, not milliseconds, or ISO 8601",
            field=field,
            reason="time_out_of_range",
        )
    return ms


def _words(turn: Turn, received_at: int, limits: Limits) -> list[Word] | None:
    if turn.words is None:
        return None
    if len(turn.words) > limits.words:
        raise Refused(f"words: {len(turn.words)} words, at most {limits.words}", field="words", reason="too_large")
    words = []
    for index, word in enumerate(turn.words):
        started_at = _instant(word.start, f"words[{index}].start", received_at)
        ended_at = _instant(word.end, f"words[{index}].end", received_at)
        if ended_at < started_at:
            field = f"words[{index}].end"
            raise Refused(
                f"{field}: {word.end} is before start {word.start}", field=field, reason="ended_before_started"
            )
        words.append(Word(word.w, started_at, ended_at))
    return words


def _room(turn: Turn, received_at: int) -> ReceivedRoom | None:
    room = turn.room
    if room is None:
        return None
    return ReceivedRoom(
        name=room.name,
        sid=room.sid,
        participant_sid=room.participant_sid,
        connected_at=None
        if room.connected_at is None
        else _instant(room.connected_at, "room.connected_at", received_at),
    )


def _check_participant(participant: str, limits: Limits) -> None:
    _check_id(participant, "participant", limits)
    kind = personal_data_in(participant)
    if kind is not None:
        # The value is not repeated: problems are logged by clients.
        raise Refused(
            f"participant: looks like {kind}; send an anonymous id such as caller-1, the same one through the call",
            field="participant",
            reason="personal_data",
        )


def _check_id(value: str, field: str, limits: Limits) -> None:
    if not value.strip():
        raise Refused(f"{field}: empty; send 1 to {limits.id_bytes} bytes", field=field)
    _check_size(value, field, limits.id_bytes)
    if _CONTROL.search(value):
        raise Refused(f"{field}: has control characters; leave them out", field=field)
    if "\ufffd" in value:  # what a decoder puts for bytes that are no UTF-8: several ids would become one
        raise Refused(f"{field}: is not UTF-8, percent-encoded in a path; send its UTF-8 bytes", field=field)


def _check_size(value: str, field: str, limit: int) -> None:
    size = len(value.encode())
    if size > limit:
        raise Refused(f"{field}: {size} bytes, at most {limit}", field=field, reason="too_large")


def _encode(record: ReceivedTurn | ReceivedEvent, limits: Limits) -> bytes:
    encoded = encode(record)
    if len(encoded) > limits.record_bytes:
        sizes = {
            name: len(encode(getattr(record, name)))
            for name in ("text", "language", "words", "room", "metadata", "data")
            if hasattr(record, name)
        }
        field = max(sizes, key=lambda name: sizes[name])
        raise Refused(
            f"{field}: the record has {len(encoded)} bytes, at most {limits.record_bytes}, most of them here",
            field=field,
            reason="too_large",
        )
    return encoded
