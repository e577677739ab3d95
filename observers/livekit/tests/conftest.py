from __future__ import annotations

import wall  # isort: skip  # before whatever keeps `time.time`

import base64
import gzip
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pytest
from aiohttp import web
from fakes import Inbox


@dataclass
class Gateway:
    """refusal : answers every request with this status while it is set. refused : how many it has."""

    url: str
    inbox: Inbox
    refusal: int | None = None
    refused: int = 0


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that takes everything, unless it is told to refuse; turns have `pcm` where they have audio."""
    inbox = Inbox()
    gateway = Gateway("", inbox)

    @web.middleware
    async def refuse(request: web.Request, handler: Any) -> web.StreamResponse:
        if gateway.refusal is None:
            answer: web.StreamResponse = await handler(request)
            return answer
        await request.read()
        gateway.refused += 1
        return web.json_response(
            {"status": gateway.refusal, "reason": "refused", "detail": "as told"},
            status=gateway.refusal,
            content_type="application/problem+json",
            headers={"Retry-After": "60"} if gateway.refusal == HTTPStatus.TOO_MANY_REQUESTS else {},
        )

    async def body(request: web.Request) -> dict[str, object]:
        raw = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
        loaded = json.loads(raw)
        assert isinstance(loaded, dict)
        return loaded

    async def turns(request: web.Request) -> web.Response:
        items = (await body(request))["turns"]
        assert isinstance(items, list)
        for turn in items:
            turn["pcm"] = base64.b64decode(turn.pop("audio_b64", ""))
            inbox.turns.append(turn)
        inbox.news.set()
        results = [{"status": 202, "call_id": one["call_id"], "turn_id": one["turn_id"]} for one in items]
        return web.json_response({"results": results}, status=207)

    async def turn(request: web.Request) -> web.Response:
        one = await body(request)
        one["pcm"] = base64.b64decode(str(one.pop("audio_b64", "")))
        inbox.turns.append(one)
        inbox.news.set()
        return web.json_response({"call_id": one["call_id"], "turn_id": one["turn_id"]}, status=202)

    async def event(request: web.Request) -> web.Response:
        one = await body(request)
        inbox.events.append({"call_id": request.match_info["call_id"], **one})
        inbox.news.set()
        return web.json_response({"call_id": request.match_info["call_id"], "event_id": one["event_id"]}, status=202)

    app = web.Application(client_max_size=2**25, middlewares=[refuse])
    app.router.add_post("/v1/turns:batch", turns)
    app.router.add_post("/v1/turns", turn)
    app.router.add_post("/v1/calls/{call_id}/events", event)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    gateway.url = f"http://{host}:{port}"
    yield gateway
    await runner.cleanup()


@pytest.fixture
def set_clock() -> Iterator[Callable[[float], None]]:
    """Sets the wall clock by so many seconds, as NTP does, for the rest of the test."""
    yield wall.set_by
    wall.set_by(0.0)
