"""What of LiveKit's webhooks becomes call events, and what of them nobody ever sees."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.livekit import call_of, event_of, hook_of
from schemas.codec import encode
from schemas.errors import Refused
from schemas.event import CallEvent
from tests.webhooks import PERSONAL, TURN_PASSWORD, Hook, body_of, call

AT = 1_767_225_600
JOB_ROOM = {"sid": "RM_j"}


def told(hook: Hook) -> tuple[str | None, CallEvent]:
    read = hook_of(body_of(hook))
    return call_of(read), event_of(read)


def hook(event: str, **fields: Any) -> Hook:
    return {"event": event, "id": "EV_1", "createdAt": str(AT), "room": {"sid": "RM_x"}, **fields}


def test_whole_call_becomes_ten_events_of_the_room() -> None:
    events = [told(one) for one in call("RM_x", AT)]
    assert {call_id for call_id, _ in events} == {"RM_x"}
    assert [(event.type, event.participant, int(event.at) - AT) for _, event in events] == [
        ("room_started", None, 0),
        ("participant_joined", "PA_agent", 1),
        ("participant_joined", "PA_caller", 2),
        ("system", "PA_agent", 2),
        ("system", "PA_caller", 3),
        ("system", "PA_caller", 28),
        ("participant_left", "PA_caller", 28),
        ("system", "PA_agent", 29),
        ("participant_left", "PA_agent", 29),
        ("call_ended", None, 30),
    ]
    joined, left, ended = (events[number][1].data for number in (2, 6, 9))
    assert joined == {
        "source": "livekit",
        "event": "participant_joined",
        "room_created_at_ms": AT * 1000 + 250,
        "kind": "SIP",
        "state": "ACTIVE",
        "joined_at_ms": AT * 1000 + 2345,
    }
    assert left is not None
    assert (left["state"], left["disconnect_reason"]) == ("DISCONNECTED", "CLIENT_INITIATED")
    assert ended is not None
    assert (ended["event"], ended["reason"]) == ("room_finished", "ROOM_END_REASON_DEPARTURE_TIMEOUT")


def test_secrets_and_personal_data_are_in_no_event() -> None:
    ingress = {"ingressId": "IN_x", "streamKey": "stream-key", "url": "rtmps://x", "state": {"roomId": "RM_x"}}
    hooks = [*call("RM_x", AT), hook("ingress_started", ingressInfo=ingress)]
    assert all(TURN_PASSWORD.encode() in body_of(one) for one in hooks[:3])
    for one in hooks:
        seen = repr(hook_of(body_of(one))) + encode(told(one)).decode()
        assert not [secret for secret in (TURN_PASSWORD, "stream-key", *PERSONAL) if secret in seen]


@pytest.mark.parametrize(
    ("sent", "call_id", "data"),
    [
        (
            hook("participant_connection_aborted", participant={"sid": "PA_1", "disconnectReason": 77}),
            "RM_x",
            {"kind": "STANDARD", "disconnect_reason": "77"},
        ),
        (
            hook(
                "egress_ended", room=None, egressInfo={"egressId": "EG_1", "roomId": "RM_e", "status": "EGRESS_FAILED"}
            ),
            "RM_e",
            {"egress_id": "EG_1", "status": "EGRESS_FAILED"},
        ),
        (hook("egress_started", room=None, egressInfo={"egressId": "EG_1", "roomName": "r"}), None, None),
        (hook("ingress_started", room=None, ingressInfo={"ingressId": "IN_1", "name": "n"}), None, None),
        (
            hook("agent_job_ended", room=None, job={"id": "AJ_1", "room": JOB_ROOM, "state": {"status": "JS_SUCCESS"}}),
            "RM_j",
            {"job_id": "AJ_1", "status": "JS_SUCCESS"},
        ),
        (hook("agent_job_started", job={"id": "AJ_1"}), "RM_x", {"job_id": "AJ_1", "status": "JS_PENDING"}),
        (hook("whatever_comes_next", someInfo={"a": [1]}, room={"sid": "RM_x", "new": {}}), "RM_x", {}),
        (
            hook("participant_joined", participant={"sid": "sip_+4930123456", "kind": "sip_+4930123456"}),
            "RM_x",
            {},
        ),
    ],
)
def test_other_webhooks_are_told_by_ids_and_constants(
    sent: Hook, call_id: str | None, data: dict[str, object] | None
) -> None:
    found, event = told(sent)
    assert found == call_id
    assert event.participant in (None, "PA_1")
    if data is not None:
        assert event.data == {"source": "livekit", "event": sent["event"], **data}


@pytest.mark.parametrize("created_at", [AT, str(AT)])
def test_integers_may_be_strings_or_numbers(created_at: object) -> None:
    assert told(hook("room_started", createdAt=created_at))[1].at == AT


def test_participant_of_whom_only_the_seconds_are_known_joined_then() -> None:
    _, event = told(hook("participant_joined", participant={"sid": "PA_1", "joinedAt": str(AT)}))
    assert event.data is not None
    assert event.data["joined_at_ms"] == AT * 1000


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event": ""}, "event"),
        ({"event": "Room\nStarted"}, "event"),
        ({"id": ""}, "id"),
        ({"id": None}, "id"),
        ({"createdAt": "soon"}, "createdAt"),
        ({"createdAt": "9" * 5000}, "createdAt"),
        ({"createdAt": -1}, "createdAt"),
        ({"room": "RM_x"}, "room"),
        ({"room": {"sid": 7}}, "room.sid"),
        ({"room": {"sid": "+4930123456"}}, "room.sid"),
    ],
)
def test_webhook_that_cannot_be_understood_is_refused_by_field_and_its_values_are_not_repeated(
    changes: Hook, field: str
) -> None:
    sent = hook("room_started", participant={"identity": PERSONAL[2]}) | changes
    with pytest.raises(Refused) as caught:
        told(sent)
    assert caught.value.field == field
    assert not [value for value in (*PERSONAL, TURN_PASSWORD) if value in str(caught.value)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["sid", "state", "status", "roomId", "joinedAtMs", "id", "x"]), inner, max_size=4
        )
    ),
    max_leaves=6,
)
NAMES = [
    "event",
    "id",
    "createdAt",
    "room",
    "participant",
    "track",
    "egressInfo",
    "ingressInfo",
    "job",
    "roomEndReason",
]


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, JSON)), st.sampled_from(["x", "participant_joined"]))
def test_garbage_is_refused_or_told_flat(fields: Hook, event: str) -> None:
    try:
        _, found = told(hook(event) | fields)
    except Refused:
        return
    assert found.data is not None
    assert all(isinstance(value, str | int) and len(str(value)) <= 70 for value in found.data.values())


@given(st.binary(max_size=40))
def test_bytes_that_are_no_webhook_are_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        hook_of(body)
