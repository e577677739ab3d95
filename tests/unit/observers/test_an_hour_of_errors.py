"""A gateway that answers 500 for an hour, while calls go on."""

from __future__ import annotations

import asyncio
import gc
import random
from collections import Counter

import pytest
from aiohttp import web

from mise_observer import Audio, Left, Limits, Sender, Stats
from mise_observer.backoff import Backoff
from mise_observer.batch import Batch
from mise_observer.notices import EVERY_S, Notices
from mise_observer.wire import EncodedAudio
from tests.unit.observers.records import turn
from tests.unit.observers.scripted import Request, ScriptedGateway, accept, answer, scripted

HOUR_S = 3_600.0
A_TURN_EACH_S = 5.0
AUDIO_BYTES = 20_000
LIMITS = Limits(queue_bytes=2_500_000, batch_bytes=200_000)


class Hour:
    """Waits of a sender, over at once: an hour of them passes on this clock, and meanwhile people talk.

    spoken : how many turns were sent. most_held : bytes of audio and of requests in memory, at most.
    """

    def __init__(self) -> None:
        self.sender: Sender | None = None
        self.elapsed_s = 0.0
        self.spoken = 0
        self.most_held = 0
        self.over = asyncio.Event()

    def clock(self) -> float:
        return self.elapsed_s

    async def __call__(self, seconds: float) -> None:
        assert self.sender is not None
        self.elapsed_s += seconds
        while self.spoken * A_TURN_EACH_S < min(self.elapsed_s, HOUR_S):
            self.sender.send(turn(str(self.spoken), audio_bytes=AUDIO_BYTES))
            self.spoken += 1
        self.most_held = max(self.most_held, held())
        if self.elapsed_s >= HOUR_S:
            self.over.set()
        await asyncio.sleep(0)


def held() -> int:
    """Bytes of turns' audio, and of requests' bodies, that are in memory: counted, not what the sender says of it."""
    found = gc.get_objects()
    audio = {id(one.data): len(one.data) for one in found if isinstance(one, Audio | EncodedAudio)}
    return sum(audio.values()) + sum(len(one.body or b"") for one in found if isinstance(one, Batch))


async def test_memory_attempts_and_log_are_bounded_and_every_text_arrives_afterwards(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    hour = Hour()
    monkeypatch.setattr("mise_observer.sender.Notices", lambda: Notices(hour.clock))
    before = held()
    async with scripted() as gateway:

        async def fails(gateway: ScriptedGateway, request: Request) -> web.StreamResponse:
            gateway.requests.pop()  # it has thousands of turns in all
            attempts.append(len(request.turns))
            return await answer(500)(gateway, request)

        attempts: list[int] = []
        gateway.always = fails
        sender = hour.sender = Sender(
            gateway.url, "mv_key", limits=LIMITS, pause=hour, backoff=Backoff(random=random.Random(1))
        )
        async with sender:
            sender.send(turn("first", audio_bytes=AUDIO_BYTES))
            await asyncio.wait_for(hour.over.wait(), 60)
            gateway.always = accept
            assert await sender.aclose(30) == Left()
    # A minute between attempts, less the jitter; at the beginning they are closer.
    assert HOUR_S / 60 <= len(attempts) <= HOUR_S / 30 + 10
    # The queue; one request, as turns and as a body; and what the gateway seems to crash on.
    assert hour.most_held - before <= LIMITS.queue_bytes + 3 * LIMITS.batch_bytes
    lines = Counter(message.split()[0] for message in caplog.messages)
    assert set(lines) == {"gateway_unavailable", "audio_given_up"}
    assert all(count <= HOUR_S / EVERY_S + 2 for count in lines.values()), lines
    texts = [row["text"] for row in gateway.turns]
    assert sorted(texts) == sorted(["first", *map(str, range(hour.spoken))])
    with_audio = [int(row["text"]) for row in gateway.turns if "audio_b64" in row and row["text"].isdigit()]
    newest = [number for number in with_audio if number > hour.spoken / 2]
    assert newest == list(range(newest[0], hour.spoken))
    assert sender.stats == Stats(
        sent=hour.spoken + 1,
        retries=len(attempts),
        dropped_audio=hour.spoken + 1 - sum("audio_b64" in row for row in gateway.turns),
    )
