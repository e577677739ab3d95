"""The gateway over HTTP (ASGI, no socket), with a publisher that remembers instead of publishing."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY

from pipeline.gateway import app as gateway_app
from pipeline.gateway import keys
from pipeline.gateway.accept import AcceptedEvent, AcceptedTurn
from pipeline.gateway.openapi import document
from pipeline.settings import Settings
from pipeline.version import VERSION
from schemas.codec import encode
from schemas.errors import Unavailable
from tests import webhooks

KEY = "mv_test"
TURN: dict[str, Any] = {
    "call_id": "call-1",
    "participant": "caller-1",
    "role": "user",
    "text": "hello",
    "started_at": "2026-01-01T00:00:00Z",
    "ended_at": "2026-01-01T00:00:01Z",
}
WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt ").decode()


class FakePublisher:
    """Stands for `pipeline.gateway.publish.Publisher`; that one meets a real Kafka in tests/integration."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.published: list[AcceptedTurn | AcceptedEvent] = []
        self.away: set[str] = set()
        """Turn ids whose records Kafka does not acknowledge; "*" is all."""
        self.release = asyncio.Event()
        self.release.set()

    async def publish(self, accepted: Sequence[AcceptedTurn | AcceptedEvent]) -> list[Unavailable | None]:
        await self.release.wait()
        results: list[Unavailable | None] = []
        for item in accepted:
            away = "*" in self.away or (isinstance(item, AcceptedTurn) and item.record.turn_id in self.away)
            if not away:
                self.published.append(item)
            results.append(Unavailable("Kafka did not acknowledge") if away else None)
        return results

    async def check(self) -> None:
        if self.away:
            raise Unavailable("Kafka: no broker answers")


class Service:
    """A gateway, its client and its publisher."""

    def __init__(
        self, client: httpx.AsyncClient, publisher: FakePublisher, keys_file: Path, gateway: gateway_app.Gateway
    ) -> None:
        self.client = client
        self.gateway = gateway
        self.publisher = publisher
        self.keys_file = keys_file
        self.livekit_key: str | None = None

    async def post(self, path: str = "/v1/turns", body: Any = None, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(TURN if body is None else body).encode()
        return await self.client.post(path, content=content, headers=headers)

    async def turn(self, **changes: Any) -> httpx.Response:
        return await self.post(body={**TURN, **changes})


@pytest.fixture
async def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Service]:
    made: list[FakePublisher] = []

    def publisher(settings: Settings) -> FakePublisher:
        made.append(FakePublisher(settings))
        return made[-1]

    monkeypatch.setattr(gateway_app, "Publisher", publisher)
    settings = Settings(
        data_dir=tmp_path, gateway_in_flight_bytes=2**20, gateway_body_bytes=2**20, gateway_drain_s=0.01
    )
    keys.add(settings.keys_file(), KEY, workspace="acme", name="")
    gateway = gateway_app.Gateway(settings)
    transport = httpx.ASGITransport(app=gateway_app.create_app(gateway), raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://gateway", headers={"Authorization": f"Bearer {KEY}"}
    ) as client:
        yield Service(client, made[0], settings.keys_file(), gateway)


def problem(response: httpx.Response, status: int, reason: str, field: str | None) -> dict[str, Any]:
    """The problem in the answer, which has to be one and to say this."""
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (response.status_code, body["status"], body["reason"], body.get("field")) == (status, status, reason, field)
    assert body["title"]
    assert body["detail"]
    if field is not None and reason not in ("unauthenticated", "forbidden"):
        assert body["detail"].startswith(f"{field}: ")
    return body


# ----------------------------------------------------------------------------------------------------------------------
# Accepted


async def test_turn_is_accepted_with_its_ids(service: Service) -> None:
    response = await service.turn(turn_id="t-1")
    assert (response.status_code, response.json()) == (202, {"call_id": "call-1", "turn_id": "t-1"})
    (published,) = service.publisher.published
    assert isinstance(published, AcceptedTurn)
    assert (published.record.workspace, published.record.turn_id) == ("acme", "t-1")


async def test_correction_is_later_than_the_turn_though_the_clock_was_set_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revisions are ordered by when they were received."""
    await service.turn(turn_id="t-1")
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 2 * 60 * 60 * 10**9)
    await service.turn(turn_id="t-1", text="corrected")
    await service.post("/v1/turns:batch", {"turns": [TURN | {"turn_id": "t-1", "text": text} for text in ("a", "b")]})
    received = [item.record.received_at for item in service.publisher.published]
    assert received == sorted(set(received))


async def test_clock_that_was_ahead_is_right_once_it_is_set(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka takes nothing that is of the future; what was never durable has no bearing on what comes."""
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + 2 * 60 * 60 * 10**9)
    service.publisher.away = {"*"}
    assert (await service.turn()).status_code == 503
    monkeypatch.setattr(time, "time_ns", lambda: now)
    service.publisher.away = set()
    await service.turn()
    (published,) = service.publisher.published
    assert published.record.received_at == now // 1000


async def test_turn_sent_twice_has_one_id(service: Service) -> None:
    first, second = await service.turn(), await service.turn()
    assert first.json()["turn_id"] == second.json()["turn_id"]
    one, other = (item.record for item in service.publisher.published)
    assert one.received_at <= other.received_at


async def test_audio_goes_with_its_turn(service: Service) -> None:
    assert (await service.turn(audio_b64=WAV)).status_code == 202
    (published,) = service.publisher.published
    assert isinstance(published, AcceptedTurn)
    assert published.audio == base64.b64decode(WAV)


async def test_event_is_accepted_with_its_ids(service: Service) -> None:
    body = {"type": "call_ended", "at": 1767225600.5, "event_id": "e-1"}
    response = await service.post("/v1/calls/call-1/events", body)
    assert (response.status_code, response.json()) == (202, {"call_id": "call-1", "event_id": "e-1"})


@pytest.mark.parametrize("call_id", ["room/7", "a b", "ü", "events", "a%2Fb", "x/events"])
async def test_call_id_in_the_path_may_be_any(service: Service, call_id: str) -> None:
    from urllib.parse import quote  # noqa: PLC0415

    response = await service.post(f"/v1/calls/{quote(call_id, safe='')}/events", {"type": "system", "at": 1767225600})
    assert (response.status_code, response.json()["call_id"]) == (202, call_id)


async def test_gzip_is_taken(service: Service) -> None:
    body = gzip.compress(json.dumps(TURN).encode())
    response = await service.post(body=body, **{"Content-Encoding": "gzip"})
    assert response.status_code == 202


# ----------------------------------------------------------------------------------------------------------------------
# Refused


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"call_id=1", b"\xff"],
)
async def test_not_json_is_400(service: Service, body: bytes) -> None:
    problem(await service.post(body=body), 400, "not_json", None)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
async def test_number_that_is_none_is_422_and_named(service: Service, number: str) -> None:
    body = b'{"call_id": "c", "words": [{"w": "a", "start": 1, "end": %s}]}' % number.encode()
    problem(await service.post(body=body), 422, "not_finite", "words[0].end")


async def test_not_utf8_is_400(service: Service) -> None:
    problem(await service.post(body=json.dumps(TURN).encode().replace(b"hello", b"\xff")), 400, "not_utf8", None)


@pytest.mark.parametrize("path", ["/v1/turns", "/v1/turns:batch", "/v1/calls/c/events"])
async def test_deep_nesting_is_400(service: Service, path: str) -> None:
    deep = b"[" * 100_000 + b"]" * 100_000
    for body in (deep, b'{"turns":[' + deep + b"]}", b'{"data":{"a":' + deep + b"}}"):
        response = await service.post(path, body)
        assert response.status_code in (400, 422)


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"participant": None}, "invalid", "participant"),
        ({"role": "manager"}, "invalid", "role"),
        ({"started_at": True}, "invalid", "started_at"),
        ({"speaker": "x"}, "invalid", "speaker"),
        ({"ended_at": "2025-12-31T23:59:59Z"}, "ended_before_started", "ended_at"),
        ({"started_at": 5}, "time_out_of_range", "started_at"),
        ({"ended_at": 1767225600000}, "time_out_of_range", "ended_at"),
        ({"started_at": "2026-01-01T00:00:00"}, "time_without_zone", "started_at"),
        ({"participant": "+41791234567"}, "personal_data", "participant"),
        ({"audio_b64": "not base64"}, "not_base64", "audio_b64"),
        ({"audio_b64": base64.b64encode(b"%PDF-1.7 no audio").decode()}, "not_audio", "audio_b64"),
        ({"audio_b64": WAV, "audio_format": "flac"}, "invalid", "audio_format"),
        ({"words": [{"w": "a", "start": 1767225600, "end": 5}]}, "time_out_of_range", "words[0].end"),
        ({"call_id": "a\x1fb"}, "invalid", "call_id"),
    ],
)
async def test_field_at_fault_is_422(service: Service, change: dict[str, Any], reason: str, field: str) -> None:
    problem(await service.turn(**change), 422, reason, field)
    assert service.publisher.published == []


@pytest.mark.parametrize("name", list(TURN))
async def test_missing_field_is_422(service: Service, name: str) -> None:
    body = {key: value for key, value in TURN.items() if key != name}
    problem(await service.post(body=body), 422, "invalid", name)


@pytest.mark.parametrize(
    ("body", "field"),
    [({"type": "hangup", "at": 1767225600}, "type"), ({"type": "system"}, "at"), ({"type": "system", "at": 5}, "at")],
)
async def test_events_field_at_fault_is_422(service: Service, body: dict[str, Any], field: str) -> None:
    response = await service.post("/v1/calls/c/events", body)
    assert (response.status_code, response.json()["field"]) == (422, field)


async def test_large_body_is_413(service: Service) -> None:
    response = await service.post(body=b"x" * 20 * 2**20)
    problem(response, 413, "too_large", None)
    assert response.headers["connection"] == "close"


async def test_large_field_is_413_and_named(service: Service) -> None:
    problem(await service.turn(text="x" * 100_001), 413, "too_large", "text")
    problem(await service.turn(metadata={"a": "x" * 900_000}), 413, "too_large", "metadata")


async def test_gzip_bomb_is_413(service: Service) -> None:
    bomb = gzip.compress(bytes(40 * 2**20))
    problem(await service.post(body=bomb, **{"Content-Encoding": "gzip"}), 413, "too_large", None)


async def test_damaged_gzip_is_400_and_other_encodings_415(service: Service) -> None:
    problem(await service.post(**{"Content-Encoding": "gzip"}), 400, "not_gzip", None)
    problem(await service.post(**{"Content-Encoding": "br"}), 415, "encoding", None)


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic bXY6", "mv_test", "Bearer mv_other"])
@pytest.mark.parametrize("path", ["/v1/turns", "/v1/turns:batch", "/v1/calls/c/events"])
async def test_without_a_known_key_401(service: Service, path: str, authorization: str) -> None:
    response = await service.post(path, Authorization=authorization)
    problem(response, 401, "unauthenticated", "Authorization")
    assert response.headers["www-authenticate"] == "Bearer"
    assert "mv_other" not in response.text
    assert service.publisher.published == []


async def test_bearer_is_read_without_case(service: Service) -> None:
    assert (await service.post(Authorization=f"bearer  {KEY}")).status_code == 202


async def test_revoked_key_ends_at_once(service: Service) -> None:
    assert (await service.turn()).status_code == 202
    keys.revoke(service.keys_file, keys.digest(KEY))
    assert (await service.turn()).status_code == 401


async def test_key_without_the_scope_is_403(service: Service) -> None:
    reader = keys.ApiKey(sha256=keys.digest("mv_reader"), workspace="acme", scopes=[], name="")
    service.keys_file.write_bytes(encode(reader))
    problem(await service.post(Authorization="Bearer mv_reader"), 403, "forbidden", "Authorization")


async def test_keys_file_that_cannot_be_read_is_503(service: Service) -> None:
    service.keys_file.write_bytes(b"{")
    response = await service.turn()
    problem(response, 503, "unavailable", None)
    assert str(service.keys_file) not in response.text


async def test_unknown_path_is_404_and_wrong_method_405(service: Service) -> None:
    problem(await service.post("/v1/turn"), 404, "http", None)
    response = await service.client.get("/v1/turns")
    problem(response, 405, "http", None)
    assert response.headers["allow"] == "POST"


# ----------------------------------------------------------------------------------------------------------------------
# Kafka away


async def test_never_2xx_when_kafka_is_away(service: Service) -> None:
    service.publisher.away = {"*"}
    for path, body in (("/v1/turns", TURN), ("/v1/calls/c/events", {"type": "system", "at": 1767225600})):
        response = await service.post(path, body)
        problem(response, 503, "unavailable", None)
        assert int(response.headers["retry-after"]) >= 1
    (item,) = (await service.post("/v1/turns:batch", {"turns": [TURN]})).json()["results"]
    assert item["status"] == 503


async def test_bug_is_500_and_says_nothing_of_its_inside(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: object) -> list[Unavailable | None]:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(service.publisher, "publish", broken)
    response = await service.turn()
    problem(response, 500, "bug", None)
    assert "secret" not in response.text


# ----------------------------------------------------------------------------------------------------------------------
# Batches


async def test_bad_turn_costs_no_other_of_its_batch(service: Service) -> None:
    turns = [{**TURN, "turn_id": "a"}, {**TURN, "role": "boss"}, 7, {**TURN, "turn_id": "b"}, {**TURN, "call_id": ""}]
    response = await service.post("/v1/turns:batch", {"turns": turns})
    assert response.status_code == 207
    results = response.json()["results"]
    assert [item["status"] for item in results] == [202, 422, 422, 202, 422]
    assert [item.get("turn_id") for item in results] == ["a", None, None, "b", None]
    assert [item.get("problem", {}).get("field") for item in results] == [None, "role", None, None, "call_id"]
    assert [item.record.call_id for item in service.publisher.published] == ["call-1", "call-1"]


async def test_batch_of_which_kafka_took_a_part_says_which(service: Service) -> None:
    service.publisher.away = {"b"}
    turns = [{**TURN, "turn_id": name} for name in "abc"]
    response = await service.post("/v1/turns:batch", {"turns": turns})
    assert [item["status"] for item in response.json()["results"]] == [202, 503, 202]
    assert [item["turn_id"] for item in response.json()["results"]] == ["a", "b", "c"]


async def test_batch_has_1_to_1_000_turns(service: Service) -> None:
    small = {**TURN, "text": ""}
    response = await service.post("/v1/turns:batch", {"turns": [small] * 1_000})
    assert response.status_code == 207
    problem(await service.post("/v1/turns:batch", {"turns": [small] * 1_001}), 413, "too_large", "turns")
    problem(await service.post("/v1/turns:batch", {"turns": []}), 422, "invalid", "turns")
    problem(await service.post("/v1/turns:batch", {}), 422, "invalid", "turns")
    problem(await service.post("/v1/turns:batch", [small]), 422, "invalid", None)
    assert len(service.publisher.published) == 1_000


# ----------------------------------------------------------------------------------------------------------------------
# Idempotency-Key


async def test_same_request_under_a_key_is_published_once(service: Service) -> None:
    key = {"Idempotency-Key": "k1"}
    first, second = await service.post(**key), await service.post(**key)
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert len(service.publisher.published) == 1
    body = {"type": "system", "at": 1767225600}
    assert (await service.post("/v1/calls/c/events", body, **key)).status_code == 202, "another path, another request"


async def test_key_used_with_another_body_is_422(service: Service) -> None:
    key = {"Idempotency-Key": "k1"}
    await service.post(**key)
    response = await service.post(body={**TURN, "text": "other"}, **key)
    problem(response, 422, "idempotency_key_reused", "Idempotency-Key")
    assert len(service.publisher.published) == 1


async def test_key_is_the_workspaces_own(service: Service) -> None:
    keys.add(service.keys_file, "mv_other", workspace="other", name="")
    await service.post(**{"Idempotency-Key": "k1"})
    await service.post(**{"Idempotency-Key": "k1", "Authorization": "Bearer mv_other"})
    assert [item.record.workspace for item in service.publisher.published] == ["acme", "other"]


async def test_key_is_free_again_after_an_error(service: Service) -> None:
    key = {"Idempotency-Key": "k1"}
    service.publisher.away = {"*"}
    assert (await service.post(**key)).status_code == 503
    service.publisher.away = set()
    assert (await service.post(**key)).status_code == 202


async def test_batch_of_which_a_part_may_be_sent_again_is_handled_again(service: Service) -> None:
    key = {"Idempotency-Key": "k1"}
    batch = {"turns": [{**TURN, "turn_id": name} for name in "ab"]}
    service.publisher.away = {"b"}
    await service.post("/v1/turns:batch", batch, **key)
    service.publisher.away = set()
    response = await service.post("/v1/turns:batch", batch, **key)
    assert [item["status"] for item in response.json()["results"]] == [202, 202]


async def test_concurrent_requests_under_a_key_are_published_once(service: Service) -> None:
    service.publisher.release.clear()
    requests = [asyncio.create_task(service.post(**{"Idempotency-Key": "k1"})) for _ in range(4)]
    for _ in range(20):
        await asyncio.sleep(0)
    service.publisher.release.set()
    responses = await asyncio.gather(*requests)
    assert {response.status_code for response in responses} == {202}
    assert len(service.publisher.published) == 1


@pytest.mark.parametrize("key", ["", "x" * 257])
async def test_key_has_1_to_256_characters(service: Service, key: str) -> None:
    problem(await service.post(**{"Idempotency-Key": key}), 422, "invalid", "Idempotency-Key")


# ----------------------------------------------------------------------------------------------------------------------
# LiveKit's webhooks


async def post_hook(service: Service, body: bytes, **headers: str) -> httpx.Response:
    if service.livekit_key is None:
        service.livekit_key = webhooks.API_KEY
        keys.add_livekit(service.keys_file, webhooks.API_KEY, webhooks.SECRET, workspace="acme", name="")
    return await service.client.post(webhooks.PATH, content=body, headers=webhooks.headers_of(body) | headers)


HOOKS = [webhooks.body_of(hook) for hook in webhooks.call("RM_x", 1_767_225_600)]


async def test_webhook_is_accepted_as_an_event_of_its_room(service: Service) -> None:
    response = await post_hook(service, HOOKS[2])
    assert response.status_code == 202
    assert response.json() == {"call_id": "RM_x", "event_id": "EV_x2"}
    (published,) = service.publisher.published
    record = published.record
    assert (record.workspace, record.call_id, record.participant) == ("acme", "RM_x", "PA_caller")
    assert not [value for value in (webhooks.TURN_PASSWORD, *webhooks.PERSONAL) if value.encode() in published.encoded]


async def test_webhook_delivered_again_is_answered_and_not_published_again(service: Service) -> None:
    first, second = await post_hook(service, HOOKS[0]), await post_hook(service, HOOKS[0])
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert len(service.publisher.published) == 1


async def test_webhook_during_an_outage_of_kafka_is_503_and_taken_when_it_comes_again(service: Service) -> None:
    service.publisher.away = {"*"}
    response = await post_hook(service, HOOKS[0])
    problem(response, 503, "unavailable", None)
    assert response.headers["Retry-After"] == "6"
    service.publisher.away = set()
    assert (await post_hook(service, HOOKS[0])).status_code == 202


async def test_webhook_about_no_room_is_acknowledged_and_not_stored(service: Service) -> None:
    hook = {"event": "egress_started", "id": "EV_1", "createdAt": "1767225600", "egressInfo": {"egressId": "EG_1"}}
    before = REGISTRY.get_sample_value("mise_gateway_hooks_left_out_total") or 0
    response = await post_hook(service, webhooks.body_of(hook))
    assert (response.status_code, response.content) == (204, b"")
    assert service.publisher.published == []
    assert REGISTRY.get_sample_value("mise_gateway_hooks_left_out_total") == before + 1


@pytest.mark.parametrize(
    ("body", "status", "reason", "field"),
    [
        (b"[]", 422, "invalid", None),
        (b"{", 400, "not_json", None),
        (b'{"a":' + b"[" * 100_000, 400, "too_deep", None),
        (b'{"event":"room_started","id":"EV_1","createdAt":"7","room":{"sid":"RM_x"}}', 422, "time_out_of_range", "at"),
        (
            b'{"event":"room_started","id":"\\u0000","createdAt":"1767225600","room":{"sid":"RM_x"}}',
            422,
            "invalid",
            None,
        ),
        (b" " * (2**20 + 1), 413, "too_large", None),
    ],
)
async def test_signed_body_that_is_no_webhook_is_a_problem(
    service: Service, body: bytes, status: int, reason: str, field: str | None
) -> None:
    response = await post_hook(service, body)
    assert (response.status_code, response.json()["reason"]) == (status, reason)
    if field is not None:
        assert response.json()["field"] == field
    assert service.publisher.published == []


async def test_webhook_that_is_not_signed_by_the_secret_is_401_and_its_body_is_not_read(service: Service) -> None:
    await post_hook(service, HOOKS[0])
    unread = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal unread
        unread += 1
        yield HOOKS[1]

    for token in (
        webhooks.token_of(HOOKS[1], webhooks.SECRET[::-1]),
        webhooks.token_of(HOOKS[1], iss="APIother"),
        f"Bearer {webhooks.token_of(HOOKS[1])}",
        f"Bearer {KEY}",
        "",
        "\xff.\xff.\xff",
    ):
        response = await service.client.post(
            webhooks.PATH,
            content=body(),
            headers=httpx.Headers({b"Authorization": token.encode("latin-1")}),
        )
        problem(response, 401, "unauthenticated", "Authorization")
    response = await service.client.post(webhooks.PATH, content=HOOKS[1] + b" ", headers=webhooks.headers_of(HOOKS[1]))
    problem(response, 401, "unauthenticated", "Authorization")
    assert unread == 0
    assert len(service.publisher.published) == 1


async def test_livekits_token_opens_nothing_else(service: Service) -> None:
    await post_hook(service, HOOKS[0])
    body = json.dumps(TURN).encode()
    response = await service.post(body=body, Authorization=f"Bearer {webhooks.token_of(body)}")
    problem(response, 401, "unauthenticated", "Authorization")


async def test_project_of_another_workspace_is_that_workspaces(service: Service) -> None:
    keys.add_livekit(service.keys_file, "APIother", webhooks.SECRET[::-1], workspace="other", name="")
    token = webhooks.token_of(HOOKS[0], webhooks.SECRET[::-1], iss="APIother")
    assert (await post_hook(service, HOOKS[0], Authorization=token)).status_code == 202
    assert (await post_hook(service, HOOKS[0])).status_code == 202
    assert [item.record.workspace for item in service.publisher.published] == ["other", "acme"]
    forged = webhooks.token_of(HOOKS[0], webhooks.SECRET[::-1])
    problem(await post_hook(service, HOOKS[0], Authorization=forged), 401, "unauthenticated", "Authorization")


async def test_webhooks_of_a_revoked_secret_are_refused_at_once(service: Service) -> None:
    assert (await post_hook(service, HOOKS[0])).status_code == 202
    keys.revoke(service.keys_file, webhooks.API_KEY)
    problem(await post_hook(service, HOOKS[0]), 401, "unauthenticated", "Authorization")


# ----------------------------------------------------------------------------------------------------------------------
# The rest


async def test_health_readiness_metrics_and_openapi_need_no_key(service: Service) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        response = await service.client.get(path, headers={"Authorization": ""})
        assert response.status_code == 200, path
    assert response.json() == document(VERSION)


async def test_not_ready_when_kafka_is_away_but_alive(service: Service) -> None:
    service.publisher.away = {"*"}
    response = await service.client.get("/readyz")
    problem(response, 503, "unavailable", None)
    assert response.headers["retry-after"]
    assert (await service.client.get("/healthz")).status_code == 200


async def test_every_announced_path_is_served(service: Service) -> None:
    for path, item in document(VERSION)["paths"].items():
        for method in item.keys() - {"parameters"}:
            response = await service.client.request(method, path.replace("{call_id}", "c"), content=b"")
            assert response.status_code not in (404, 405), path


async def test_metrics_have_no_call_in_them(service: Service) -> None:
    await service.turn(call_id="call-in-metrics", participant="someone-in-metrics")
    text = (await service.client.get("/metrics")).text
    assert "mise_gateway_requests_total" in text
    assert "in-metrics" not in text


# ----------------------------------------------------------------------------------------------------------------------
# Too much at once, and stopping


async def test_what_does_not_fit_is_told_to_come_again_while_others_wait_for_kafka(service: Service) -> None:
    service.publisher.release.clear()
    waiting = [asyncio.create_task(service.turn(turn_id=f"t{n}", text="x" * 90_000)) for n in range(9)]
    while service.gateway.in_flight._held < 9 * 90_000:
        await asyncio.sleep(0)
    body = problem(await service.turn(turn_id="late", text="x" * 90_000), 503, "unavailable", None)
    assert "bytes of requests are in flight, at most" in body["detail"]
    assert (await service.client.get("/healthz")).status_code == 200
    service.publisher.release.set()
    assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {202}
    assert len(service.publisher.published) == 9
    assert (await service.turn(turn_id="late", text="x" * 90_000)).status_code == 202


async def test_gateway_without_room_is_not_ready(service: Service) -> None:
    async with service.gateway.in_flight.request() as hold:
        hold(2**20)
        problem(await service.client.get("/readyz"), 503, "unavailable", None)
    assert (await service.client.get("/readyz")).status_code == 200


async def test_stop_answers_what_waits_for_kafka_and_never_with_2xx(service: Service) -> None:
    service.publisher.release.clear()
    waiting = asyncio.create_task(service.turn())
    while not service.gateway.in_flight._open:
        await asyncio.sleep(0)
    service.gateway.in_flight.drain()
    answer = await waiting
    assert "does not know whether it was stored" in problem(answer, 503, "unavailable", None)["detail"]
    assert int(answer.headers["Retry-After"]) > 0
    problem(await service.client.get("/readyz"), 503, "unavailable", None)
