"""A load generator: numbered turns of many calls through the gateway, and exactly what it got a 202 for."""

from __future__ import annotations

import asyncio
import random
from typing import Any, NamedTuple

import aiohttp

from tests.integration.conversation import tone
from tests.records import T0

Body = dict[str, Any]

ANSWER_WITHIN_S = 10.0
"""Then the client takes the turn for unanswered, and sends it again."""

AGAIN_AFTER_S = 0.2

WORDS = "yes no please order the number again what is wrong hello I would like thank you wait sorry".split()


class Identity(NamedTuple):
    """What makes a turn one turn."""

    call_id: str
    turn_id: str


class Load:
    """Calls of numbered turns, some at once, each in its order.

    prefix : of the call ids, so that every load has calls of its own. seed : of what the turns say. pace_s : between
    the turns of a call. accepted : the text of each turn as it was acknowledged last. requests : made, answered or not.
    """

    def __init__(
        self,
        url: str,
        key: str,
        prefix: str,
        seed: int,
        *,
        calls: int,
        turns: int,
        at_once: int = 12,
        pace_s: float = 0.05,
    ) -> None:
        self.prefix = prefix
        self.requests = 0
        self.accepted: dict[Identity, str] = {}
        self.ended: set[str] = set()
        """Calls whose `call_ended` was acknowledged."""
        self.turns = calls * turns
        self._bodies = {
            call_id: conversation(call_id, turns, random.Random(f"{seed} {number}"))
            for number, call_id in enumerate(f"{prefix}-{number:03}" for number in range(calls))
        }
        self._url = url
        self._key = key
        self._pace_s = pace_s
        self._places = asyncio.Semaphore(at_once)
        self._grown = asyncio.Event()

    async def run(self) -> None:
        """Send everything, each turn again until it is acknowledged."""
        async with aiohttp.ClientSession(
            self._url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        ) as client:
            await asyncio.gather(*(self._call(client, call_id, bodies) for call_id, bodies in self._bodies.items()))

    async def until_accepted(self, share: float) -> None:
        """Return once this share of the turns is acknowledged: moments of a load are counted in turns, not seconds."""
        while len(self.accepted) < share * self.turns:
            self._grown.clear()
            await self._grown.wait()

    async def _call(self, client: aiohttp.ClientSession, call_id: str, bodies: list[Body]) -> None:
        async with self._places:
            for body in bodies:
                if "type" in body:
                    await self._until_acknowledged(client, f"/v1/calls/{call_id}/events", body)
                    self.ended.add(call_id)
                else:
                    await self._until_acknowledged(client, "/v1/turns", body)
                    self.accepted[Identity(call_id, body["turn_id"])] = body["text"]
                self._grown.set()
                await asyncio.sleep(self._pace_s)

    async def _until_acknowledged(self, client: aiohttp.ClientSession, path: str, body: Body) -> None:
        while True:
            self.requests += 1
            try:
                async with client.post(path, json=body) as answer:
                    said = await answer.text()
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass  # nobody knows whether it was taken
            else:
                if answer.status == 202:
                    return
                assert answer.status == 503, f"POST {path}: expected 202 or 503, got {answer.status}: {said}"
            await asyncio.sleep(AGAIN_AFTER_S)


def conversation(call_id: str, count: int, chance: random.Random) -> list[Body]:
    """A call: two people who often speak at once; one turn in ten has audio, one in ten is corrected later; every
    third call ends by an event.
    """
    bodies: list[Body] = []
    begin = T0
    for number in range(count):
        begin += chance.randrange(300, 1_500)
        length = chance.randrange(200, 2_500)
        body: Body = {
            "call_id": call_id,
            "turn_id": f"t{number:04}",
            "participant": "ab"[number % 2],
            "role": ("user", "agent")[number % 2],
            "text": " ".join(chance.choices(WORDS, k=chance.randrange(1, 8))),
            "started_at": begin / 1000,
            "ended_at": (begin + length) / 1000,
        }
        bodies.append(body | tone(chance.randrange(90, 250)) if chance.random() < 0.1 else body)
    bodies += [body | {"text": f"{body['text']} corrected"} for body in bodies if chance.random() < 0.1]
    if chance.random() < 1 / 3:
        bodies.append({"type": "call_ended", "at": bodies[-1]["ended_at"], "event_id": "end"})
    return bodies
