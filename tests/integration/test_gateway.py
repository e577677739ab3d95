"""The gateway over real HTTP: what it refuses, what it answers, and when it is ready."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
import signal
import time
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from pipeline.gateway.accept import AcceptedTurn
from pipeline.gateway.publish import Publisher
from schemas.codec import encode
from schemas.http import Problem
from schemas.topics import RECEIVED
from schemas.turn import ReceivedTurn
from tests.integration.conversation import turn
from tests.integration.live import Live
from tests.integration.waiting import until
from tests.records import HOUR, T0, received_turn

MEDIA_TYPE = "application/problem+json"


def problem(answer: httpx.Response) -> Problem:
    """The answer's problem, which is one in all its parts."""
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    found = msgspec.json.decode(answer.content, type=Problem)
    assert found.status == answer.status_code
    assert found.detail
    return found


def changed(**fields: object) -> bytes:
    """A turn that would be accepted, but for these fields."""
    return msgspec.json.encode(turn("refused", 1) | fields)


REFUSED = [
    pytest.param(b"call_id=refused", 400, None, "not_json", id="no JSON"),
    pytest.param(changed(role="robot"), 422, "role", "invalid", id="unknown role"),
    pytest.param(changed(tone="angry"), 422, "tone", "invalid", id="unknown field"),
    pytest.param(changed(text="x" * 20_000_000), 413, None, "too_large", id="20 MB"),
    pytest.param(changed(text="x" * 100_001), 413, "text", "too_large", id="long text"),
    pytest.param(changed(audio_b64="bm8gYXVkaW8="), 422, "audio_b64", "not_audio", id="no audio"),
    pytest.param(changed(audio_b64="%%%"), 422, "audio_b64", "not_base64", id="no base64"),
    pytest.param(changed(participant="+49 30 1234567"), 422, "participant", "personal_data", id="phone number"),
    pytest.param(changed(started_at="2026-01-01T00:00:00"), 422, "started_at", "time_without_zone", id="no zone"),
    pytest.param(changed(ended_at=1_767_225_600), 422, "ended_at", "ended_before_started", id="ends before it starts"),
]


@pytest.mark.parametrize(("body", "status", "field", "reason"), REFUSED)
async def test_refused_turn_is_a_problem_that_names_the_field_and_nothing_is_produced(
    live: Live, body: bytes, status: int, field: str | None, reason: str
) -> None:
    before = await live.ends(RECEIVED)
    answer = await live.http.post("/v1/turns", content=body)
    found = problem(answer)
    assert (found.status, found.field, found.reason) == (status, field, reason)
    assert await live.ends(RECEIVED) == before


@pytest.mark.parametrize("headers", [{"Authorization": ""}, {"Authorization": "Bearer mv_unknown"}])
async def test_without_a_known_key_nothing_is_taken(live: Live, headers: dict[str, str]) -> None:
    before = await live.ends(RECEIVED)
    answer = await live.http.post("/v1/turns", json=turn("refused", 1), headers=headers)
    assert (problem(answer).reason, answer.headers["WWW-Authenticate"]) == ("unauthenticated", "Bearer")
    assert await live.ends(RECEIVED) == before


async def test_bad_turn_of_a_batch_costs_no_other(live: Live, call_id: str) -> None:
    turns: list[dict[str, Any]] = [turn(call_id, number) for number in range(3)]
    turns[1]["role"] = "robot"
    answer = await live.http.post("/v1/turns:batch", json={"turns": turns})
    assert answer.status_code == 207
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [202, 422, 202]
    assert [result.get("turn_id") for result in results] == ["t000", None, "t002"]
    assert results[1]["problem"]["field"] == "role"
    rows = await until(lambda: live.turns(call_id), lambda rows: len(rows) == 2)
    assert [row["turn_id"] for row in rows] == ["t000", "t002"]


async def test_gzip_body_is_taken(live: Live, call_id: str) -> None:
    body = gzip.compress(msgspec.json.encode(turn(call_id, 0)))
    answer = await live.http.post("/v1/turns", content=body, headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()) == (202, {"call_id": call_id, "turn_id": "t000"})
    (row,) = await until(lambda: live.turns(call_id))
    assert row["text"] == turn(call_id, 0)["text"]


async def test_request_repeated_under_its_key_is_answered_and_not_produced_again(live: Live, call_id: str) -> None:
    headers = {"Idempotency-Key": call_id}
    first = await live.http.post("/v1/turns", json=turn(call_id, 1), headers=headers)
    after_first = await live.ends(RECEIVED)
    again = await live.http.post("/v1/turns", json=turn(call_id, 1), headers=headers)
    assert (again.status_code, again.content) == (202, first.content)
    other = await live.http.post("/v1/turns", json=turn(call_id, 2), headers=headers)
    assert problem(other).reason == "idempotency_key_reused"
    assert await live.ends(RECEIVED) == after_first


async def test_call_id_with_a_slash_takes_events(live: Live, call_id: str) -> None:
    room = f"{call_id}/room 1"
    answer = await live.http.post(
        f"/v1/calls/{call_id}%2Froom%201/events", json={"type": "room_started", "at": "2026-01-31T09:30:00.250+01:00"}
    )
    assert (answer.status_code, answer.json()["call_id"]) == (202, room)
    (row,) = await until(lambda: live.events(room))
    assert (row["type"], row["at"].isoformat()) == ("room_started", "2026-01-31T08:30:00.250000")


async def test_without_kafka_it_says_503_and_is_ready_again_after(live: Live, call_ids: Callable[[], str]) -> None:
    refused, accepted = call_ids(), call_ids()
    assert (await live.http.get("/readyz")).status_code == 200
    pid = live.send("kafka", signal.SIGSTOP)
    try:
        ready, answer = await asyncio.gather(
            live.http.get("/readyz"), live.http.post("/v1/turns", json=turn(refused, 1))
        )
        assert (await live.http.get("/healthz")).status_code == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    for unavailable in (ready, answer):
        assert (problem(unavailable).status, problem(unavailable).reason) == (503, "unavailable")
        assert int(unavailable.headers["Retry-After"]) > 0
    again = await until(lambda: live.http.get("/readyz"), lambda answer: answer.status_code == 200)
    assert again.status_code == 200
    await live.turn(turn(refused, 1))
    await live.turn(turn(accepted, 1))
    assert [row["turn_id"] for row in await until(lambda: live.turns(accepted))] == ["t001"]
    assert [row["turn_id"] for row in await until(lambda: live.turns(refused))] == ["t001"]


async def test_stop_answers_what_is_in_flight(live: Live, call_id: str) -> None:
    """Kafka hangs: nobody knows whether it has the turn, so the answer is no 2xx, and no closed connection either."""
    kafka = live.send("kafka", signal.SIGSTOP)
    try:
        asking = asyncio.create_task(live.http.post("/v1/turns", json=turn(call_id, 1)))
        await until(lambda: live.http.get("/metrics"), lambda answer: HOLDS_ONE.search(answer.text) is not None)
        before = live.send("gateway", signal.SIGTERM)
        answer = await asking
    finally:
        os.kill(kafka, signal.SIGCONT)
    assert (problem(answer).status, problem(answer).reason) == (503, "unavailable")
    assert "the gateway stops" in problem(answer).detail
    await live.back("gateway", before)
    await live.turn(turn(call_id, 1))
    assert [row["turn_id"] for row in await until(lambda: live.turns(call_id))] == ["t001"]


HOLDS_ONE = re.compile(r"^mise_gateway_in_flight_bytes [1-9]", re.MULTILINE)


async def test_record_that_kafka_refuses_costs_no_other(live: Live, call_id: str) -> None:
    """Of the future, by a clock that is wrong: it takes a number of its producer's batches with it."""
    wrong = received_turn(call_id=call_id, received=2 * HOUR + time.time_ns() // 1_000_000 - T0)
    right = received_turn(call_id=call_id, turn_id="t2")

    async with Publisher(live.settings) as publisher:

        async def published(record: ReceivedTurn) -> bool:
            return await publisher.publish([AcceptedTurn(record, encode(record), None)]) == [None]

        assert await published(right)
        assert not await published(wrong)
        assert await until(lambda: published(right))
        assert await published(right)
