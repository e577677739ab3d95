"""What an observer costs its host: the call of `send`, how long the host's loop is held, and memory.

A gateway stands in a process of its own, so that its work holds another loop; it reads every body and accepts it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import multiprocessing
import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from aiohttp import web

from bench.measurements import Measurement
from bench.processes import in_process
from mise_observer import Audio, Limits, Sender, SpokenWord, Turn
from pipeline.settings import Settings

CALLS = 20
TURN_S = 4.0
RATE = 16_000
TURNS_A_CALL = 10
TICK_S = 0.001
"""How often the host's loop is looked at."""

QUEUE_BYTES = 64 * 2**20
SEED = 7


async def measure_observer(count: int) -> list[Measurement]:
    """`count` calls of send of each kind; then 20 calls, each with a turn of 4 s every 4 s, ten times as fast."""
    settings = Settings()
    audio_less, with_words, with_audio = await in_process(_send, settings, count)
    found = [
        Measurement(name="send, a turn of 8 words", value=audio_less, unit="µs", how=f"median of {count:,}"),
        Measurement(name="send, and with word times", value=with_words, unit="µs", how=f"median of {count:,}"),
        Measurement(
            name="send, and with 4 s of audio",
            value=with_audio,
            unit="µs",
            how=f"median of {count:,}; 128 kB of 16 kHz samples; the queue is full, each gives up an older audio",
        ),
    ]
    with _gateway() as url:
        idle = await in_process(_idle, settings, count)
        held = await in_process(_Calls(url), settings, count)
    how = f"{CALLS} calls, each {TURNS_A_CALL} turns of {TURN_S:g} s with audio, ten times as fast as people speak"
    found += [
        Measurement(name="loop delay, no observer", value=idle[0], unit="ms", how=f"p99; longest {idle[1]:.1f} ms"),
        Measurement(
            name="loop delay, observer",
            value=held[0],
            unit="ms",
            how=f"p99; longest {held[1]:.1f} ms; {how}",
            limit="5",
        ),
        Measurement(name="CPU of an observed call", value=held[2], unit="ms/s", how=f"of audio; {how}"),
        Measurement(
            name="memory, gateway away",
            value=await in_process(_away, settings, count),
            unit="MiB",
            how=f"RSS grown by 2 GB of turns sent, queue_bytes {QUEUE_BYTES // 2**20} MiB",
        ),
    ]
    return found


class _Calls:
    """Sends the calls' turns while the loop is looked at; (p99 ms, longest ms, CPU ms a second of audio)."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, _settings: Settings, _count: int) -> tuple[float, float, float]:
        chance = random.Random(SEED)
        async with Sender(self._url, "key") as sender:
            watching = asyncio.create_task(_delays_ms())
            began = time.process_time()
            for _ in range(TURNS_A_CALL):
                for call in range(CALLS):
                    sender.send(_turn(f"call-{call}", _speech(chance)))
                    await asyncio.sleep(TURN_S / 10 / CALLS)
            cpu_s = time.process_time() - began
            watching.cancel()
            delays = await watching
            await sender.aclose(30)
            assert sender.stats.sent == CALLS * TURNS_A_CALL, sender.stats
        return *_summary(delays), cpu_s * 1000 / (CALLS * TURNS_A_CALL * TURN_S)


async def _idle(_settings: Settings, _count: int) -> tuple[float, float]:
    chance = random.Random(SEED)
    watching = asyncio.create_task(_delays_ms())
    for _ in range(TURNS_A_CALL):
        for call in range(CALLS):
            _turn(f"call-{call}", _speech(chance))
            await asyncio.sleep(TURN_S / 10 / CALLS)
    watching.cancel()
    return _summary(await watching)


async def _send(_settings: Settings, count: int) -> tuple[float, float, float]:
    """Median µs of a call of send: text alone, with words, with audio."""
    audio = bytes(int(TURN_S * RATE) * 2)
    medians = []
    for words, data in ((0, b""), (8, b""), (8, audio)):
        sender = Sender("http://127.0.0.1:9", "key", limits=Limits(queue_turns=10**6, queue_bytes=QUEUE_BYTES))
        turns = [_turn("call", data, words) for _ in range(count)]
        took = []
        for turn in turns:
            began = time.perf_counter_ns()
            sender.send(turn)
            took.append(time.perf_counter_ns() - began)
        medians.append(median(took) / 1000)
        await sender.aclose()
    return medians[0], medians[1], medians[2]


async def _away(_settings: Settings, _count: int) -> float:
    """MiB by which the process has grown while nobody listens."""
    chance = random.Random(SEED)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        before = _rss_mib()
        async with Sender(url, "key", limits=Limits(queue_bytes=QUEUE_BYTES)) as sender:
            for _ in range(16_000):
                sender.send(_turn("call", _speech(chance)))
                await asyncio.sleep(0)
            grown = _rss_mib() - before
            await sender.aclose(0)
    return grown


async def _delays_ms() -> list[float]:
    """How much later than asked the loop came back, until cancelled."""
    delays = []
    try:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(TICK_S)
            delays.append((time.perf_counter() - began - TICK_S) * 1000)
    except asyncio.CancelledError:
        return delays


def _summary(delays: list[float]) -> tuple[float, float]:
    return quantiles(delays, n=100)[98], max(delays)


def _speech(chance: random.Random) -> bytes:
    """Samples that compress no better than speech."""
    return chance.randbytes(int(TURN_S * RATE) * 2)


def _turn(call_id: str, data: bytes, words: int = 0) -> Turn:
    return Turn(
        call_id=call_id,
        participant="caller",
        role="user",
        text="I would like to order number one hundred",
        started_at=1_764_000_000.0,
        ended_at=1_764_000_000.0 + TURN_S,
        words=[SpokenWord("order", 1_764_000_000.0, 1_764_000_000.5)] * words,
        audio=Audio(data=data, format="pcm_s16le", sample_rate=RATE) if data else None,
    )


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@contextmanager
def _gateway() -> Iterator[str]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()


def _serve(pipe: Any) -> None:
    async def batch(request: web.Request) -> web.Response:
        turns = json.loads(gzip.decompress(await request.read()))["turns"]
        return web.json_response({"results": [{"status": 202}] * len(turns)}, status=207)

    async def serve() -> None:
        app = web.Application(client_max_size=2**30)
        app.router.add_post("/v1/turns:batch", batch)
        runner = web.AppRunner(app, auto_decompress=False)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        pipe.send(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await asyncio.Event().wait()

    asyncio.run(serve())
