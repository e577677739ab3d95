"""LiveKit's webhooks, as a server sends them: proto3 JSON, compact, signed."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from typing import Any

import jwt

PATH = "/v1/webhooks/livekit"
API_KEY = "APItest"
SECRET = "a-secret-of-a-livekit-project-for-tests-long-enough-for-hs512-also"
TURN_PASSWORD = "turn-password-of-the-room"
PERSONAL = ("+4930123456", "Ada Lovelace", "sip_+4930123456", "caller's own metadata", "call-_+4930123456_x")
"""What the webhooks of `call` hold of a caller; none of it is to be found anywhere."""

Hook = dict[str, Any]


def body_of(hook: Hook) -> bytes:
    return json.dumps(hook, separators=(",", ":"), ensure_ascii=False).encode()


def claims_of(body: bytes, **changes: object) -> dict[str, object]:
    """The claims of a body's token; None takes one out."""
    now = int(time.time())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    claims = {"iss": API_KEY, "nbf": now, "exp": now + 300, "sha256": digest, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def token_of(body: bytes, secret: str = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims_of(body, **changes), secret, algorithm)


def headers_of(body: bytes, **changes: Any) -> dict[str, str]:
    return {
        "Authorization": token_of(body, **changes),
        "Content-Type": "application/webhook+json",
        "User-Agent": "Go-http-client/1.1",
    }


def call(room_sid: str, at: int) -> list[Hook]:
    """The ten webhooks of a call of 30 s, an agent and a caller by telephone, in the order of a real server.

    at : epoch seconds at which the room starts.
    """
    # Some of them have the whole room, secret included; those about tracks its ids alone.
    brief = {"sid": room_sid, "name": PERSONAL[4]}
    room = brief | {
        "emptyTimeout": 300,
        "departureTimeout": 20,
        "creationTime": str(at),
        "creationTimeMs": str(at * 1000 + 250),
        "turnPassword": TURN_PASSWORD,
        "enabledCodecs": [{"mime": "audio/opus"}],
        "metadata": PERSONAL[3],
    }
    agent = {"sid": "PA_agent", "identity": "agent-AJ_x", "state": "ACTIVE", "kind": "AGENT", "joinedAt": str(at + 1)}
    caller = {
        "sid": "PA_caller",
        "identity": PERSONAL[2],
        "name": PERSONAL[1],
        "metadata": PERSONAL[3],
        "state": "ACTIVE",
        "kind": "SIP",
        "joinedAt": str(at + 2),
        "joinedAtMs": str(at * 1000 + 2345),
        "attributes": {"sip.phoneNumber": PERSONAL[0], "sip.callID": "SCL_x"},
    }
    of_agent, of_caller = ({"sid": one["sid"], "identity": one["identity"]} for one in (agent, caller))
    track = {"sid": "TR_AMx", "type": "AUDIO", "source": "MICROPHONE", "name": PERSONAL[3], "mimeType": "audio/red"}
    left = {"state": "DISCONNECTED", "disconnectReason": "CLIENT_INITIATED"}
    told: list[tuple[str, int, Hook]] = [
        ("room_started", 0, {"room": room}),
        ("participant_joined", 1, {"room": room, "participant": agent}),
        ("participant_joined", 2, {"room": room, "participant": caller}),
        ("track_published", 2, {"room": brief, "participant": of_agent, "track": track | {"sid": "TR_AMa"}}),
        ("track_published", 3, {"room": brief, "participant": of_caller, "track": track}),
        ("track_unpublished", 28, {"room": brief, "participant": of_caller, "track": track}),
        ("participant_left", 28, {"room": room, "participant": caller | left}),
        ("track_unpublished", 29, {"room": brief, "participant": of_agent, "track": track | {"sid": "TR_AMa"}}),
        ("participant_left", 29, {"room": room, "participant": agent | left}),
        ("room_finished", 30, {"room": room, "roomEndReason": "ROOM_END_REASON_DEPARTURE_TIMEOUT"}),
    ]
    return [
        {"event": event, **fields, "id": f"EV_{room_sid[3:]}{number}", "createdAt": str(at + after)}
        for number, (event, after, fields) in enumerate(told)
    ]
