"""From a LiveKit webhook to a call event. Pure.

What goes into the event is named here field by field, ids, constants and times alone. Rooms' names and metadata,
participants' identities, names and attributes tell who somebody is (with SIP even the phone number is in them), and
`room.turnPassword` and `ingressInfo.streamKey` are secrets: they are not even decoded.

This is the one body of which unknown fields are no error: it is LiveKit's, and every version of it adds some.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from schemas.codec import decode
from schemas.errors import Refused
from schemas.event import CallEvent, EventType, Value

Integer = str | int | None
"""As proto3 has it in JSON: 64 bits are a string."""

Constant = str | int | None
"""Of an enumeration: its name, or the number where LiveKit itself knows no name."""


class _Room(Struct, frozen=True, rename="camel"):
    sid: str | None = None
    creation_time: Integer = None
    creation_time_ms: Integer = None


class _Participant(Struct, frozen=True, rename="camel"):
    sid: str | None = None
    kind: Constant = None
    state: Constant = None
    joined_at: Integer = None
    joined_at_ms: Integer = None
    disconnect_reason: Constant = None


class _Track(Struct, frozen=True, rename="camel"):
    sid: str | None = None
    type: Constant = None
    source: Constant = None


class _Egress(Struct, frozen=True, rename="camel"):
    egress_id: str | None = None
    room_id: str | None = None
    status: Constant = None
    error_code: Integer = None


class _IngressState(Struct, frozen=True, rename="camel"):
    room_id: str | None = None
    status: Constant = None


class _Ingress(Struct, frozen=True, rename="camel"):
    ingress_id: str | None = None
    state: _IngressState | None = None


class _JobState(Struct, frozen=True, rename="camel"):
    status: Constant = None


class _Job(Struct, frozen=True, rename="camel"):
    id: str | None = None
    room: _Room | None = None
    participant: _Participant | None = None
    state: _JobState | None = None


class Hook(Struct, frozen=True, rename="camel"):
    """`livekit.WebhookEvent` in proto3 JSON, as far as it is used."""

    event: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}\Z")]
    id: Annotated[str, Meta(min_length=1)]
    created_at: Annotated[str, Meta(pattern=r"^[0-9]{1,12}\Z")] | Annotated[int, Meta(ge=0)]
    room: _Room | None = None
    participant: _Participant | None = None
    track: _Track | None = None
    egress_info: _Egress | None = None
    ingress_info: _Ingress | None = None
    job: _Job | None = None
    room_end_reason: Constant = None


TYPES: dict[str, EventType] = {
    "room_started": "room_started",
    "room_finished": "call_ended",
    "participant_joined": "participant_joined",
    "participant_left": "participant_left",
}
"""Any other, those of later versions included, is a `system` event."""

WHOLE_PARTICIPANT = ("participant_joined", "participant_left", "participant_connection_aborted")
"""Others have no more of a participant than its ids."""

_DECODER: msgspec.json.Decoder[Hook] = msgspec.json.Decoder(Hook)

_CONSTANT = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ID = re.compile(r"[A-Z]{2}_[A-Za-z0-9_-]{1,64}")


def hook_of(body: bytes) -> Hook:
    """The webhook in the body. Raises Refused; no message repeats a value of the body."""
    return decode(_DECODER, body)


def call_of(hook: Hook) -> str | None:
    """The SID of the room that it is about, which is the call's id; None for those that name none."""
    candidates = (
        hook.room and hook.room.sid,
        hook.egress_info and hook.egress_info.room_id,
        hook.ingress_info and hook.ingress_info.state and hook.ingress_info.state.room_id,
        hook.job and hook.job.room and hook.job.room.sid,
    )
    found = next((candidate for candidate in candidates if candidate), None)
    if found is not None and not _ID.fullmatch(found):
        raise Refused("room.sid: is not of the form RM_…; webhooks of LiveKit servers have one", field="room.sid")
    return found


def event_of(hook: Hook) -> CallEvent:
    """What it tells, as a call event; the same webhook gives the same event, however often it is delivered."""
    participant = hook.participant or (hook.job.participant if hook.job else None)
    return CallEvent(
        type=TYPES.get(hook.event, "system"),
        at=int(hook.created_at),
        participant=_id(participant.sid) if participant else None,
        data={name: value for name, value in _data(hook).items() if value is not None},
        event_id=hook.id,
    )


def _data(hook: Hook) -> dict[str, Value]:
    data: dict[str, Value] = {"source": "livekit", "event": hook.event, "reason": _constant(hook.room_end_reason)}
    if room := hook.room:
        data["room_created_at_ms"] = _ms(room.creation_time_ms, room.creation_time)
    if participant := hook.participant:
        # proto3 leaves out what is 0.
        kind = participant.kind or ("STANDARD" if hook.event in WHOLE_PARTICIPANT else None)
        data["kind"] = _constant(kind)
        data["state"] = _constant(participant.state)
        data["joined_at_ms"] = _ms(participant.joined_at_ms, participant.joined_at)
        data["disconnect_reason"] = _constant(participant.disconnect_reason)
    if track := hook.track:
        data["track_sid"] = _id(track.sid)
        data["track_type"] = _constant(track.type or "AUDIO")
        data["track_source"] = _constant(track.source)
    if egress := hook.egress_info:
        data["egress_id"] = _id(egress.egress_id)
        data["status"] = _constant(egress.status or "EGRESS_STARTING")
        data["error_code"] = _integer(egress.error_code)
    if ingress := hook.ingress_info:
        data["ingress_id"] = _id(ingress.ingress_id)
        data["status"] = _constant(ingress.state.status if ingress.state else None)
    if job := hook.job:
        data["job_id"] = _id(job.id)
        data["status"] = _constant((job.state.status if job.state else None) or "JS_PENDING")
    return data


def _id(value: str | None) -> str | None:
    """An id that LiveKit made, which says nothing of anybody."""
    return value if value and _ID.fullmatch(value) else None


def _constant(value: Constant) -> str | None:
    if isinstance(value, str):
        return value if _CONSTANT.fullmatch(value) else None
    return None if value is None else str(value)


def _integer(value: Integer) -> int | None:
    try:
        number = int(value or 0)
    except ValueError:
        return None
    return number if 0 < number < 2**53 else None  # what every reader of JSON can hold


def _ms(ms: Integer, seconds: Integer) -> int | None:
    """Epoch ms. Older servers tell seconds only."""
    whole = _integer(seconds)
    return _integer(ms) or (whole * 1000 if whole else None)
