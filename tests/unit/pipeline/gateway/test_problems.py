"""Errors as problems (RFC 9457), and the OpenAPI document that announces them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
import pytest

from pipeline.gateway import openapi, problems
from schemas.errors import Refused
from schemas.event import CallEvent
from schemas.http import BatchItem, Problem, TurnAccepted
from schemas.turn import Turn

DOCUMENT = openapi.document("1.2.3")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("not_json", 400),
        ("not_utf8", 400),
        ("too_deep", 400),
        ("not_gzip", 400),
        ("unauthenticated", 401),
        ("forbidden", 403),
        ("too_large", 413),
        ("encoding", 415),
        ("invalid", 422),
        ("anything_else", 422),
    ],
)
def test_reason_gives_the_status(reason: str, status: int) -> None:
    problem = problems.refused(Refused("words[3].start: wrong", field="words[3].start", reason=reason))
    assert problem == Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        detail="words[3].start: wrong",
        field="words[3].start",
        reason=reason,
    )


@pytest.mark.parametrize(
    ("status", "header"),
    [
        (HTTPStatus.UNAUTHORIZED, ("www-authenticate", "Bearer")),
        (HTTPStatus.SERVICE_UNAVAILABLE, ("retry-after", str(problems.RETRY_AFTER_S))),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, ("connection", "close")),
    ],
)
def test_answer_has_the_header_that_its_status_calls_for(status: HTTPStatus, header: tuple[str, str]) -> None:
    response = problems.response(problems.problem(status, "why", "reason"))
    assert response.status_code == status
    assert response.headers[header[0]] == header[1]
    assert response.headers["content-type"] == "application/problem+json"
    body = json.loads(bytes(response.body))
    assert body == {"title": status.phrase, "status": status, "detail": "why", "reason": "reason"}


# ----------------------------------------------------------------------------------------------------------------------
# OpenAPI 3.1


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list):
        for child in node:
            yield from nodes(child)


def resolved(ref: str) -> Any:
    assert ref.startswith("#/")
    node: Any = DOCUMENT
    for part in ref.removeprefix("#/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    return node


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in DOCUMENT["paths"].items():
        for method, operation in item.items():
            if method != "parameters":
                yield path, method, operation


def test_document_is_json() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT


def test_document_has_what_openapi_3_1_demands() -> None:
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"] == "1.2.3"
    assert set(DOCUMENT) <= {"openapi", "info", "servers", "paths", "components", "security", "tags"}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in DOCUMENT["components"]["schemas"])


def test_every_reference_resolves() -> None:
    refs = [node["$ref"] for node in nodes(DOCUMENT) if "$ref" in node]
    assert len(refs) > 10
    for ref in refs:
        assert isinstance(resolved(ref), dict)


def test_every_component_is_used() -> None:
    used = {node["$ref"].rpartition("/")[2] for node in nodes(DOCUMENT) if "$ref" in node}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_every_operation_has_answers_that_are_described() -> None:
    for path, method, operation in operations():
        assert method in {"get", "post"}, path
        assert operation["responses"], path
        for status, response in operation["responses"].items():
            assert HTTPStatus(int(status)), path
            assert response["description"], (path, status)


def test_parameters_of_a_path_are_declared() -> None:
    for path, item in DOCUMENT["paths"].items():
        declared = [parameter["name"] for parameter in item.get("parameters", ()) if parameter["in"] == "path"]
        assert sorted(declared) == sorted(re.findall(r"{(\w+)}", path))
        assert all(parameter["required"] for parameter in item.get("parameters", ()))


def test_security_names_a_scheme_that_is_there() -> None:
    for requirement in DOCUMENT["security"]:
        assert requirement.keys() <= DOCUMENT["components"]["securitySchemes"].keys()


def test_every_status_of_a_problem_is_announced() -> None:
    announced = {
        int(status)
        for _, method, operation in operations()
        if method == "post"
        for status in operation["responses"]
        if int(status) >= 400
    }
    assert announced == {status.value for status in problems._STATUS.values()} | {422, 503}


def test_every_schema_has_only_words_of_json_schema() -> None:
    words = set(
        "type title description properties required additionalProperties items prefixItems minItems maxItems "
        "enum const anyOf oneOf allOf default minimum maximum exclusiveMinimum exclusiveMaximum pattern "
        "minLength maxLength format contentEncoding $ref".split()
    )
    types = {"object", "array", "string", "integer", "number", "boolean", "null"}
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for node in _schemas(schema):
            assert set(node) <= words, (name, set(node) - words)
            assert node.get("type", "object") in types, name


def _schemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    children = [*schema.get("properties", {}).values(), *schema.get("anyOf", ()), *schema.get("prefixItems", ())]
    children += [schema[word] for word in ("items", "additionalProperties") if isinstance(schema.get(word), dict)]
    for child in children:
        yield from _schemas(child)


@pytest.mark.parametrize("struct", [Turn, CallEvent, TurnAccepted, BatchItem, Problem])
def test_schema_has_the_fields_of_its_struct(struct: type[msgspec.Struct]) -> None:
    schema = DOCUMENT["components"]["schemas"][struct.__name__]
    assert list(schema["properties"]) == list(struct.__struct_encode_fields__)
    required = [field.encode_name for field in msgspec.structs.fields(struct) if field.required]
    assert sorted(schema.get("required", [])) == sorted(required)


def test_every_field_a_client_sends_is_described() -> None:
    for name in ("Turn", "CallEvent"):
        for field, schema in DOCUMENT["components"]["schemas"][name]["properties"].items():
            if field not in ("type", "room"):
                assert any("description" in node for node in _schemas(schema)), f"{name}.{field}"
