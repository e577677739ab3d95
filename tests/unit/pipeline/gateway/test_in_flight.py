"""Requests in flight: memory is bounded, and a stop ends them all with an answer."""

from __future__ import annotations

import asyncio

import pytest

from pipeline.gateway.in_flight import REQUEST_BYTES, InFlight
from schemas.errors import Unavailable

DRAIN_S = 0.01


def in_flight(limit: int = 3 * REQUEST_BYTES) -> InFlight:
    return InFlight(limit, drain_s=DRAIN_S)


async def test_bytes_are_held_while_a_request_is_answered_and_given_back_however_it_ends() -> None:
    requests = in_flight()
    for error in (None, Unavailable("away"), ValueError("a bug")):
        try:
            async with requests.request() as hold:
                hold(2 * REQUEST_BYTES)
                with pytest.raises(Unavailable, match=f"{3 * REQUEST_BYTES} bytes of requests are in flight, at most"):
                    requests.check()
                with pytest.raises(Unavailable, match="send it again"):
                    async with requests.request():
                        raise AssertionError("there is no room")
                if error:
                    raise error
        except (Unavailable, ValueError) as raised:
            assert raised is error  # noqa: PT017 - whichever it is
        requests.check()


async def test_body_that_grows_beyond_the_room_is_refused_as_it_comes() -> None:
    requests = in_flight()

    async def request(*chunks: int) -> None:
        async with requests.request() as hold:
            for chunk in chunks:
                hold(chunk)

    with pytest.raises(Unavailable):
        await request(2 * REQUEST_BYTES, 1)
    async with requests.request() as hold:
        hold(2 * REQUEST_BYTES)


async def test_stop_ends_what_waits_and_lets_end_what_does_in_time() -> None:
    requests = in_flight()
    begun = asyncio.Event()
    stored = asyncio.Event()

    async def request(until: asyncio.Event) -> str:
        async with requests.request():
            begun.set()
            await until.wait()
            return "202"

    slow = asyncio.create_task(request(asyncio.Event()))
    quick = asyncio.create_task(request(stored))
    await begun.wait()
    requests.drain()
    stored.set()
    assert await quick == "202"
    with pytest.raises(Unavailable, match="does not know whether it was stored"):
        await slow
    with pytest.raises(Unavailable, match="the gateway stops"):
        requests.check()
    with pytest.raises(Unavailable):  # what still comes has no longer
        await request(asyncio.Event())


async def test_timeout_of_the_requests_own_is_its_own() -> None:
    async def request() -> None:
        async with in_flight().request(), asyncio.timeout(0):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await request()
