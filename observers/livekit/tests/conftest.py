from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web
from fakes import Inbox


@dataclass
class Gateway:
    url: str
    inbox: Inbox


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A gateway that takes everything; turns have `pcm` where they have audio."""
    inbox = Inbox()

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

    app = web.Application(client_max_size=2**25)
    app.router.add_post("/v1/turns:batch", turns)
    app.router.add_post("/v1/turns", turn)
    app.router.add_post("/v1/calls/{call_id}/events", event)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    yield Gateway(f"http://{host}:{port}", inbox)
    await runner.cleanup()
