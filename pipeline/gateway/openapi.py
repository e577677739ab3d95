"""The OpenAPI description, made from the same structs that decode the bodies."""

from __future__ import annotations

from typing import Any

import msgspec

from schemas.event import CallEvent
from schemas.http import BatchItem, EventAccepted, Problem, TurnAccepted
from schemas.turn import Turn

PROBLEMS = {
    "400": "The body is not JSON, not UTF-8 or not gzip, or is nested too deeply.",
    "401": "No Bearer key, or one that is not known.",
    "403": "The key does not have the scope.",
    "413": "Too large; the problem names the field.",
    "415": "A Content-Encoding other than gzip.",
    "422": "A field is missing, unknown or wrong; the problem names it.",
    "503": "Kafka or the blob store is away: nothing is known to be stored, send it again after Retry-After seconds.",
}


def document(version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the gateway."""
    _, components = msgspec.json.schema_components(
        [Turn, CallEvent, TurnAccepted, EventAccepted, BatchItem, Problem], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Mise Voice",
            "version": version,
            "description": "Takes the turns of voice calls. 202 means durable: acknowledged by Kafka, audio stored.",
        },
        "security": [{"key": []}],
        "paths": {
            "/v1/turns": {
                "post": _operation("Send a turn", _ref("Turn"), {"202": ("The turn is durable.", _ref("TurnAccepted"))})
            },
            "/v1/turns:batch": {
                "post": _operation(
                    "Send up to 1,000 turns; a bad one costs no other",
                    _object({"turns": {"type": "array", "minItems": 1, "maxItems": 1000, "items": _ref("Turn")}}),
                    {
                        "207": (
                            "A result for each turn, in the order sent.",
                            _object({"results": {"type": "array", "items": _ref("BatchItem")}}),
                        )
                    },
                )
            },
            "/v1/calls/{call_id}/events": {
                "parameters": [{"name": "call_id", "in": "path", "required": True, "schema": {"type": "string"}}],
                "post": _operation(
                    "Send a call event", _ref("CallEvent"), {"202": ("The event is durable.", _ref("EventAccepted"))}
                ),
            },
            "/v1/webhooks/livekit": {"post": _webhook()},
            "/healthz": {"get": _plain("The process lives")},
            "/readyz": {"get": _plain("Kafka and the blob store answer", unready=True)},
            "/metrics": {"get": _plain("Metrics for Prometheus")},
        },
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer"},
                "livekit": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "A JWT, HS256 by the LiveKit API secret, with the body's SHA-256; no `Bearer`.",
                },
            },
        },
    }


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _operation(summary: str, body: dict[str, Any], answers: dict[str, tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    problems = {status: (text, "application/problem+json", _ref("Problem")) for status, text in PROBLEMS.items()}
    accepted = {status: (text, "application/json", schema) for status, (text, schema) in answers.items()}
    return {
        "summary": summary,
        "parameters": [
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "maxLength": 256},
                "description": "The same request again under the same key gets the same answer.",
            }
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            status: {"description": text, "content": {media: {"schema": schema}}}
            for status, (text, media, schema) in {**accepted, **problems}.items()
        },
    }


def _webhook() -> dict[str, Any]:
    operation = _operation(
        "Take a webhook of LiveKit; fields that are not known are no error",
        {"type": "object"},
        {"202": ("Its event is durable.", _ref("EventAccepted"))},
    )
    del operation["parameters"], operation["responses"]["403"]
    operation["security"] = [{"livekit": []}]
    content = operation["requestBody"]["content"]
    content["application/webhook+json"] = content.pop("application/json")
    operation["responses"]["204"] = {"description": "It is about no room: acknowledged, not stored."}
    operation["responses"]["401"]["description"] = "The token is not LiveKit's for this body, or not known."
    return operation


def _plain(summary: str, *, unready: bool = False) -> dict[str, Any]:
    responses = {"200": {"description": summary}}
    if unready:
        responses["503"] = {"description": "Not ready; the problem says what does not answer."}
    return {"summary": summary, "security": [], "responses": responses}
