"""A gateway that answers what a test tells it to, and notes what it was sent."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Row = dict[str, Any]
PROBLEM = "application/problem+json"
BODY_BYTES = 16 * 2**20


@dataclass
class Request:
    """A request as it came. body : inflated and parsed."""

    path: str
    headers: Mapping[str, str]
    body: Row
    raw: web.Request

    @property
    def turns(self) -> list[Row]:
        turns: list[Row] = self.body.get("turns", [])
        return turns


Reaction = Callable[["ScriptedGateway", Request], Awaitable[web.StreamResponse]]


@dataclass
class ScriptedGateway:
    """Reacts to requests by its script, one reaction a request, then accepts everything."""

    url: str = ""
    script: deque[Reaction] = field(default_factory=deque)
    always: Reaction | None = None
    """Instead of accepting, once the script is at its end."""
    requests: list[Request] = field(default_factory=list)
    turns: list[Row] = field(default_factory=list)
    """Accepted, in order."""
    events: list[Row] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return once it holds; looked at after each request. Fails after 20 s."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(holds), 20)

    async def handle(self, raw: web.Request) -> web.StreamResponse:
        assert raw.headers["Content-Encoding"] == "gzip"
        body = await raw.read()
        request = Request(raw.raw_path, dict(raw.headers), json.loads(body), raw)
        async with self.changed:
            self.requests.append(request)
            reaction = self.script.popleft() if self.script else self.always or accept
            self.changed.notify_all()
        response = await reaction(self, request)
        async with self.changed:
            self.changed.notify_all()
        return response

    def take(self, request: Request, turn: Row | None = None) -> Row:
        """Accept an event, or a turn of a batch; its result."""
        if turn is None:
            self.events.append(request.body | {"path": request.path})
            return {"call_id": "", "event_id": request.body["event_id"]}
        self.turns.append(turn)
        return {"status": 202, "call_id": turn["call_id"], "turn_id": turn["turn_id"]}


async def accept(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
    """As the gateway does."""
    if not request.turns:
        return web.json_response(gateway.take(request), status=202)
    return web.json_response({"results": [gateway.take(request, turn) for turn in request.turns]}, status=207)


def answer(
    status: int,
    *,
    reason: str = "",
    retry_after: str | None = None,
    content_type: str = PROBLEM,
    body: str | None = None,
) -> Reaction:
    """Answer with a status and a problem."""

    async def react(_gateway: ScriptedGateway, _request: Request) -> web.StreamResponse:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        text = (
            json.dumps({"status": status, "reason": reason, "detail": f"detail of {reason}"}) if body is None else body
        )
        return web.Response(status=status, text=text, content_type=content_type, headers=headers)

    return react


def items(statuses: Mapping[int, int]) -> Reaction:
    """Accept a batch but for the turns at these places, which get these statuses."""

    async def react(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
        results = [
            gateway.take(request, turn)
            if place not in statuses
            else {
                "status": statuses[place],
                "problem": {"status": statuses[place], "reason": "scripted", "field": "text", "detail": "no good"},
            }
            for place, turn in enumerate(request.turns)
        ]
        return web.json_response({"results": results}, status=207)

    return react


def too_large(limit: int) -> Reaction:
    """413 for a body of more than `limit` bytes, inflated; else accept."""

    async def react(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
        if len(json.dumps(request.body)) > limit:
            return await answer(413, reason="too_large")(gateway, request)
        return await accept(gateway, request)

    return react


def crash_on(text: str) -> Reaction:
    """500 for a batch that has a turn with this text; else accept."""

    async def react(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
        if any(turn["text"] == text for turn in request.turns):
            return await answer(500, reason="bug")(gateway, request)
        return await accept(gateway, request)

    return react


async def reset(_gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
    """Break the connection off."""
    assert request.raw.transport is not None
    request.raw.transport.abort()
    return web.Response()


def hang(until: asyncio.Event, then: Reaction = accept) -> Reaction:
    """Answer only after `until`."""

    async def react(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
        await until.wait()
        return await then(gateway, request)

    return react


async def taken_but_reset(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
    """Accept, and break off before the answer."""
    await accept(gateway, request)
    return await reset(gateway, request)


@asynccontextmanager
async def scripted() -> AsyncIterator[ScriptedGateway]:
    """A gateway on a free port."""
    gateway = ScriptedGateway()
    app = web.Application(client_max_size=2 * BODY_BYTES)
    app.router.add_post("/{path:.*}", gateway.handle)
    runner = web.AppRunner(app, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    gateway.url = f"http://{host}:{port}"
    try:
        yield gateway
    finally:
        await runner.cleanup()


def inflated(body: bytes) -> Row:
    """A request body as JSON."""
    parsed: Row = json.loads(gzip.decompress(body))
    return parsed
