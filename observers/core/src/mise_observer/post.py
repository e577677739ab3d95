"""One request to the gateway."""

from __future__ import annotations

import asyncio
import io
import time
from urllib.parse import quote

import aiohttp

from mise_observer.answer import Answer, Unavailable, judge
from mise_observer.batch import Batch

ANSWER_S = 30.0
"""For connecting and for the answer; the gateway itself gives up on Kafka sooner."""

SLOWEST_BYTES_S = 32_000
"""A line of 256 kbit/s: a large body may take so long on top."""

ANSWER_BYTES = 2 * 2**20
"""Results for 1,000 turns with the longest ids have 500 kB."""


class Poster:
    """Posts batches. http : carries the headers of every request."""

    def __init__(self, http: aiohttp.ClientSession, url: str) -> None:
        self._http = http
        self._url = url.rstrip("/")

    async def post(self, batch: Batch, body: bytes) -> Answer:
        """The gateway's answer. What goes wrong on the way is Unavailable: it may have arrived, and is sent again."""
        headers = {"Idempotency-Key": batch.key, "Content-Encoding": "gzip", "Content-Type": "application/json"}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S + len(body) / SLOWEST_BYTES_S)
        try:
            async with self._http.post(
                self._url + _path(batch),
                data=io.BytesIO(body),  # written in pieces; all at once would hold the loop
                headers=headers,
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                answer = await _read(response)
        except (
            aiohttp.ClientError,
            asyncio.TimeoutError,
            OSError,
            ValueError,
        ) as error:  # ValueError: of a host's name
            return Unavailable(f"{type(error).__name__}: {error}")
        return judge(
            response.status,
            response.content_type,
            response.headers.get("Retry-After"),
            answer,
            sent=len(batch.items),
            now=time.time(),
        )


def _path(batch: Batch) -> str:
    if batch.is_turns:
        return "/v1/turns:batch"
    return f"/v1/calls/{quote(batch.items[0].encoded.call_id, safe='', errors='replace')}/events"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_chunked(64 * 1024):
        body += piece
        if len(body) > ANSWER_BYTES:
            break
    return bytes(body)
