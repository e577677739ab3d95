"""Sends the example call as any client would: over HTTP, with a key, one turn after the other."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
import urllib.request
from typing import Any

import msgspec

from deploy.example import load
from deploy.run_file import RunFile
from pipeline.storage.clickhouse import ClickHouse
from schemas.errors import Unavailable

VISIBLE_WITHIN_S = 30.0


def send(run: RunFile) -> str:
    """Send the example call under a new call_id, which is returned. Blocks until the last turn is accepted."""
    call = load()
    call_id = f"example-{secrets.token_hex(4)}"
    begin = time.time() - call.turns[-1].ends_s - 5
    for turn in call.turns:
        _post(
            run,
            "/v1/turns",
            {
                "call_id": call_id,
                "participant": turn.participant,
                "role": turn.role,
                "text": turn.text,
                "started_at": round(begin + turn.starts_s, 3),
                "ended_at": round(begin + turn.ends_s, 3),
                "audio_b64": base64.b64encode(turn.audio).decode(),
                "audio_format": turn.audio_format,
            },
        )
    ended_at = round(begin + max(turn.ends_s for turn in call.turns), 3)
    _post(run, f"/v1/calls/{call_id}/events", {"type": "call_ended", "at": ended_at})
    return call_id


async def until_visible(clickhouse: ClickHouse, call_id: str) -> None:
    """Return once the call's end, which was sent last, is in ClickHouse. Raises Unavailable after a while."""
    query = "SELECT count() FROM call_events WHERE call_id = {call_id:String}"
    try:
        async with asyncio.timeout(VISIBLE_WITHIN_S):
            while True:
                _, rows = await asyncio.to_thread(clickhouse.rows, query, {"call_id": call_id})
                if rows[0][0]:
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(f"call {call_id} is not in ClickHouse after {VISIBLE_WITHIN_S:.0f} s; see the logs") from None


def _post(run: RunFile, path: str, body: dict[str, Any]) -> None:
    request = urllib.request.Request(  # noqa: S310 - the URL is the gateway's
        run.gateway_url + path,
        msgspec.json.encode(body),
        {"Authorization": f"Bearer {run.api_key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - likewise; anything but 2xx raises
            pass
    except OSError as error:  # URLError and HTTPError are such
        raise Unavailable(f"the gateway did not take the example call: {error}; see its log") from error
