"""A load generator: numbered turns of many calls through the gateway, and exactly what it got a 202 for."""

from __future__ import annotations

import asyncio
import random
from itertools import count
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
    """Calls of numbered turns, some at once, each in its order; one after the other until it is told to finish.

    prefix : of the call ids, so that every load has calls of its own. seed : of what the turns say. least : turns that
    are acknowledged before it finishes. length : turns of a call; ending : share of the calls that end by an event;
    corrected : share of the turns that come again with another text, when the call is over. pace_s : between the turns
    of a call. accepted : the text of each turn as it was acknowledged last. ended : calls whose end was acknowledged.
    requests : made, answered or not.
    """

    def __init__(
        self,
        url: str,
        key: str,
        prefix: str,
        seed: int,
        *,
        least: int,
        length: int = 12,
        ending: float = 1 / 3,
        corrected: float = 0.1,
        at_once: int = 12,
        pace_s: float = 0.3,
    ) -> None:
        self.prefix = prefix
        self.requests = 0
        self.accepted: dict[Identity, str] = {}
        self.ended: set[str] = set()
        self._url = url
        self._key = key
        self._seed = seed
        self._least = least
        self._length = length
        self._ending = ending
        self._corrected = corrected
        self._at_once = at_once
        self._pace_s = pace_s
        self._numbers = count()
        self._finishing = False
        self._grown = asyncio.Event()

    def finish(self) -> None:
        """Begin no more calls, once there were turns enough."""
        self._finishing = True

    async def run(self) -> None:
        """Send turns, each again until it is acknowledged; return when told to finish, and the calls are whole."""
        async with aiohttp.ClientSession(
            self._url,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=aiohttp.ClientTimeout(total=ANSWER_WITHIN_S),
        ) as client:
            await asyncio.gather(*(self._calls(client) for _ in range(self._at_once)))

    async def until_accepted(self, turns: int) -> None:
        """Return once so many are acknowledged: moments of a load are counted in turns, not seconds."""
        while len(self.accepted) < turns:
            self._grown.clear()
            await self._grown.wait()

    async def _calls(self, client: aiohttp.ClientSession) -> None:
        while not self._finishing or len(self.accepted) < self._least:
            number = next(self._numbers)
            call_id = f"{self.prefix}-{number:04}"
            chance = random.Random(f"{self._seed} {number}")
            for body in conversation(call_id, self._length, chance, ending=self._ending, corrected=self._corrected):
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


def conversation(call_id: str, length: int, chance: random.Random, *, ending: float, corrected: float) -> list[Body]:
    """A call: two people who often speak at once, and now and then are silent for long; one turn in ten has audio, some
    are corrected later; some calls end by an event.
    """
    bodies: list[Body] = []
    begin = T0
    for number in range(length):
        begin += chance.randrange(5_500, 9_000) if chance.random() < 0.1 else chance.randrange(300, 1_500)
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
    bodies += [body | {"text": f"{body['text']} corrected"} for body in bodies if chance.random() < corrected]
    if chance.random() < ending:
        bodies.append({"type": "call_ended", "at": bodies[-1]["ended_at"], "event_id": "end"})
    return bodies
