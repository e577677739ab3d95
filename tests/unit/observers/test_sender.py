"""The sender against a gateway that answers badly."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mise_observer import CallEvent, Left, Limits, Sender, Stats, ThreadedSender
from mise_observer.backoff import Backoff
from mise_observer.sender import CRASHES
from tests.unit.observers.records import event, turn
from tests.unit.observers.scripted import (
    Reaction,
    ScriptedGateway,
    answer,
    crash_on,
    hang,
    items,
    reset,
    scripted,
    taken_but_reset,
    too_large,
)

KEY = "mv_key"
LONG_S = 20.0
"""A deadline that is not meant to be reached."""


class Pauses:
    """Waits of a sender: noted, and over at once."""

    def __init__(self) -> None:
        self.asked: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.asked.append(seconds)
        await asyncio.sleep(0)


class ForEver:
    """A wait that nothing but the closing ends."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def __call__(self, _seconds: float) -> None:
        self.begun.set()
        await asyncio.Event().wait()


def files(folder: Path, pattern: str = "*") -> list[Path]:
    """What is in a folder."""
    return list(folder.glob(pattern))


@pytest.fixture
async def gateway() -> AsyncIterator[ScriptedGateway]:
    async with scripted() as gateway:
        yield gateway


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def backoff() -> Backoff:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    return Backoff(random=random.Random(seed))


def texts(gateway: ScriptedGateway) -> list[str]:
    return [row["text"] for row in gateway.turns]


async def test_turns_go_in_one_request_and_events_in_their_own(gateway: ScriptedGateway) -> None:
    sender = Sender(gateway.url + "/", KEY)
    sent = [turn(str(number), audio_bytes=1_000) for number in range(3)]
    for one in sent:
        sender.send(one)
    sender.send(event("call/with a slash"))
    async with sender:
        pass
    assert [row["turn_id"] for row in gateway.turns] == [one.turn_id for one in sent]
    assert [request.path for request in gateway.requests] == [
        "/v1/turns:batch",
        "/v1/calls/call%2Fwith%20a%20slash/events",
    ]
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert sender.stats == Stats(sent=4)


async def test_a_batch_has_at_most_so_many_turns_and_bytes(gateway: ScriptedGateway) -> None:
    sender = Sender(gateway.url, KEY, limits=Limits(batch_turns=3))
    for _ in range(7):
        sender.send(turn())
    async with sender:
        pass
    assert [len(request.turns) for request in gateway.requests] == [3, 3, 1]
    gateway.requests.clear()
    sender = Sender(gateway.url, KEY, limits=Limits(batch_bytes=100_000))
    for _ in range(4):
        sender.send(turn(audio_bytes=30_000))
    async with sender:
        pass
    assert [len(request.turns) for request in gateway.requests] == [2, 2]


async def test_no_event_goes_ahead_of_an_earlier_turn(gateway: ScriptedGateway) -> None:
    sender = Sender(gateway.url, KEY)
    for item in (
        turn(),
        CallEvent(call_id="c", type="transfer", at=1.0),
        turn(),
        CallEvent(call_id="c", type="call_ended", at=2.0),
    ):
        sender.send(item)
    async with sender:
        pass
    assert [len(request.turns) for request in gateway.requests] == [2, 0, 0]
    assert {row["type"] for row in gateway.events} == {"transfer", "call_ended"}


@pytest.mark.parametrize(
    "failure",
    [
        answer(429, retry_after="3"),
        answer(500, reason="bug"),
        answer(503, reason="unavailable", retry_after="2"),
        answer(403, content_type="text/html", body="<html>"),
        answer(404, content_type="text/html", body="<html>"),
        answer(200, content_type="text/html", body="<html>log in"),
        answer(207, content_type="application/json", body='{"results": []}'),
        reset,
        taken_but_reset,
    ],
    ids=["429", "500", "503", "403", "404", "200", "207", "reset", "taken_but_reset"],
)
async def test_what_may_go_away_is_waited_for(
    failure: Reaction, gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff
) -> None:
    gateway.script.extend([failure] * 4)
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff) as sender:
        sender.send(turn("a", audio_bytes=100))
        await gateway.until(lambda: len(gateway.requests) == 5)
        assert await sender.aclose(LONG_S) == Left()
    assert len(pauses.asked) == 4
    assert sender.stats == Stats(sent=1, retries=4)
    # The same request, so that the gateway can tell that it is.
    assert len({request.headers["Idempotency-Key"] for request in gateway.requests}) == 1
    assert all(request.body == gateway.requests[0].body for request in gateway.requests)


async def test_retry_after_is_obeyed(gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff) -> None:
    gateway.script.append(answer(429, retry_after="40"))
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff) as sender:
        sender.send(turn())
        await gateway.until(lambda: len(gateway.turns) == 1)
    assert 40 <= pauses.asked[0] <= 60


async def test_waits_grow_and_start_anew_after_a_success(
    gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff
) -> None:
    gateway.script.extend([answer(500)] * 12)
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff) as sender:
        sender.send(turn())
        await gateway.until(lambda: len(gateway.turns) == 1)
        gateway.script.append(answer(500))
        sender.send(turn())
        await gateway.until(lambda: len(gateway.turns) == 2)
    assert pauses.asked[11] >= 30
    assert pauses.asked[12] <= 0.5


async def test_nobody_listens() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        sender = Sender(f"http://127.0.0.1:{nobody.getsockname()[1]}", KEY, pause=ForEver())
        sender.start()
        sender.send(turn())
        sender.send(event())
        assert await sender.aclose(0.05) == Left(turns=1, events=1)
    assert (sender.stats.dropped_turns, sender.stats.dropped_events, sender.stats.queued) == (1, 1, 0)


async def test_one_bad_turn_costs_no_other(
    gateway: ScriptedGateway, pauses: Pauses, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.script.append(items({1: 422, 2: 503, 4: 413}))
    sender = Sender(gateway.url, KEY, pause=pauses)
    sent = [turn(str(number)) for number in range(5)]
    for one in sent:
        sender.send(one)
    async with sender:
        pass
    assert texts(gateway) == ["0", "3", "2"]
    assert [len(request.turns) for request in gateway.requests] == [5, 1]
    assert sender.stats == Stats(sent=3, refused=2, retries=1)
    (refused,) = [message for message in caplog.messages if message.startswith("refused")]
    assert f"id='{sent[1].turn_id}'" in refused
    assert "reason='scripted' field='text' detail='no good'" in refused


@pytest.mark.parametrize("status", [401, 403])
async def test_key_not_accepted_is_said_once_and_nothing_more_is_sent(
    status: int, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.always = answer(status, reason="unauthenticated")
    async with Sender(gateway.url, KEY) as sender:
        sender.send(turn(audio_bytes=100))
        sender.send(event())
        await gateway.until(lambda: len(gateway.requests) == 1)
        for _ in range(3):
            sender.send(turn(audio_bytes=100))
        assert await sender.aclose(LONG_S) == Left()
    assert len(gateway.requests) == 1
    (line,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert line.getMessage().startswith(f"key_not_accepted url={gateway.url} detail='detail of unauthenticated'")
    assert KEY not in caplog.text
    assert (sender.stats.sent, sender.stats.queued, sender.stats.dropped_turns, sender.stats.dropped_events) == (
        0,
        0,
        4,
        1,
    )


async def test_too_large_is_split_then_loses_audio_then_is_given_up(gateway: ScriptedGateway, pauses: Pauses) -> None:
    gateway.always = too_large(3_000)
    sender = Sender(gateway.url, KEY, pause=pauses)
    for one in (turn("a"), turn("b", audio_bytes=1_500), turn("c", audio_bytes=9_000), turn("d" * 9_000), turn("e")):
        sender.send(one)
    async with sender:
        pass
    assert texts(gateway) == ["a", "b", "c", "e"]
    assert ["audio_b64" in row for row in gateway.turns] == [False, True, False, False]
    assert sender.stats == Stats(sent=4, refused=1, dropped_audio=1)
    assert pauses.asked == []


async def test_a_turn_that_the_gateway_crashes_on_does_not_hold_up_others(
    gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff
) -> None:
    gateway.always = crash_on("poison")
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff) as sender:
        for text in ("a", "b", "poison", "c", "d"):
            sender.send(turn(text))
        await gateway.until(lambda: len(gateway.turns) == 4)
        sender.send(turn("e"))
        await gateway.until(lambda: len(gateway.turns) == 5)
        assert texts(gateway) == ["a", "b", "c", "d", "e"]
        # And it is not lost either.
        gateway.always = None
        assert await sender.aclose(LONG_S) == Left()
    assert texts(gateway)[-1] == "poison"
    assert (sender.stats.sent, sender.stats.queued) == (6, 0)


async def test_a_turn_that_the_gateway_crashed_on_does_not_replace_what_has_replaced_it(
    gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff
) -> None:
    gateway.always = crash_on("old")
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff) as sender:
        sender.send(turn("old", turn_id="t"))
        await gateway.until(lambda: len(gateway.requests) > CRASHES)
        sender.send(turn("new", turn_id="t"))
        await gateway.until(lambda: len(gateway.turns) == 1)
        gateway.always = None
        assert await sender.aclose(LONG_S) == Left()
    assert texts(gateway) == ["new"]
    assert (sender.stats.sent, sender.stats.dropped_turns, sender.stats.queued) == (1, 1, 0)


async def test_a_turn_that_is_to_wait_does_not_replace_what_has_replaced_it(
    gateway: ScriptedGateway, pauses: Pauses
) -> None:
    gateway.script.append(items({0: 503, 1: 503, 3: 503}))
    sender = Sender(gateway.url, KEY, pause=pauses)
    for text, turn_id in (("old", "t"), ("other", "o"), ("new", "t"), ("newest", "t")):
        sender.send(turn(text, turn_id=turn_id))
    async with sender:
        pass
    assert texts(gateway) == ["new", "other", "newest"]
    assert sender.stats == Stats(sent=3, dropped_turns=1, retries=1)


async def test_what_is_set_aside_is_bounded_and_nothing_of_it_is_lost(
    gateway: ScriptedGateway, pauses: Pauses, backoff: Backoff
) -> None:
    gateway.always = answer(500)
    limits = Limits(batch_bytes=100_000)
    async with Sender(gateway.url, KEY, pause=pauses, backoff=backoff, limits=limits) as sender:
        for number in range(10):
            sender.send(turn(str(number), audio_bytes=30_000))
        await gateway.until(lambda: len(gateway.requests) > 60)
        assert 0 < sum(batch.size for batch in sender._aside) <= limits.batch_bytes
        gateway.always = None
        assert await sender.aclose(LONG_S) == Left()
    assert sorted(texts(gateway)) == [str(number) for number in range(10)]
    assert all("audio_b64" in row for row in gateway.turns)


async def test_audio_too_large_for_the_gateway_is_not_even_tried(gateway: ScriptedGateway) -> None:
    async with Sender(gateway.url, KEY, limits=Limits(turn_bytes=10_000)) as sender:
        sender.send(turn("a", audio_bytes=10_000))
        sender.send(turn("b", audio_bytes=1_000))
    assert [("audio_b64" in row) for row in gateway.turns] == [False, True]
    assert sender.stats == Stats(sent=2, dropped_audio=1)


async def test_what_is_no_json_costs_no_other(gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture) -> None:
    async with Sender(gateway.url, KEY) as sender:
        sender.send(turn("a"))
        sender.send(turn(b"no text"))  # type: ignore[arg-type]
        sender.send(CallEvent(call_id="c", type="metrics", at=1.0, data={"delay_s": float("nan")}))
        sender.send(turn("b"))
    assert texts(gateway) == ["a", "b"]
    assert sender.stats == Stats(sent=2, refused=2)
    assert "TypeError: Object of type bytes is not JSON serializable" in caplog.text


@pytest.mark.parametrize("call_id", [None, 7, "", ".", "..", "a\nb", "x" * 4_001])
async def test_event_that_no_path_can_hold_costs_no_other(call_id: object, gateway: ScriptedGateway) -> None:
    async with Sender(gateway.url, KEY) as sender:
        sender.send(CallEvent(call_id=call_id, type="system", at=1.0))  # type: ignore[arg-type]
        sender.send(turn())
    assert sender.stats == Stats(sent=1, refused=1)


async def test_a_host_whose_name_is_none_is_an_outage(pauses: Pauses) -> None:
    async with Sender("http://a..b", KEY, pause=pauses) as sender:
        sender.send(turn())
        async with asyncio.timeout(LONG_S):
            while sender.stats.retries < 2:
                await asyncio.sleep(0)
        assert await sender.aclose(0) == Left(turns=1)


async def test_send_raises_nothing(gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture) -> None:
    async with Sender(gateway.url, KEY) as sender:
        sender.send("a turn")  # type: ignore[arg-type]
    sender.send(turn())
    assert "TypeError('str: send takes a Turn or a CallEvent')" in caplog.text
    assert sender.stats == Stats(dropped_turns=1)


async def test_memory_is_bounded_and_text_outlives_audio(gateway: ScriptedGateway) -> None:
    held = asyncio.Event()
    gateway.script.append(hang(held))
    async with Sender(gateway.url, KEY, limits=Limits(queue_bytes=100_000)) as sender:
        sender.send(turn("first"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        for number in range(20):
            sender.send(turn(str(number), audio_bytes=20_000))
        assert sender.stats.queued == 21
        held.set()
    assert texts(gateway) == ["first", *map(str, range(20))]
    # 20 texts of 2.1 kB leave room for two recordings, the newest.
    assert [row["text"] for row in gateway.turns if "audio_b64" in row] == ["18", "19"]
    assert sender.stats == Stats(sent=21, dropped_audio=18)


async def test_too_many_turns_cost_the_oldest(gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture) -> None:
    sender = Sender(gateway.url, KEY, limits=Limits(queue_turns=3))
    for number in range(5):
        sender.send(turn(str(number)))
    async with sender:
        pass
    assert texts(gateway) == ["2", "3", "4"]
    assert sender.stats == Stats(sent=3, dropped_turns=2)
    assert "turns_given_up count=2" in caplog.messages


async def test_closing_tries_at_once_whatever_the_wait(gateway: ScriptedGateway) -> None:
    gateway.script.append(answer(503, retry_after="600"))
    pause = ForEver()
    async with Sender(gateway.url, KEY, pause=pause) as sender:
        sender.send(turn())
        await pause.begun.wait()
        assert await sender.aclose(LONG_S) == Left()
        assert await sender.aclose() == Left()
    assert len(gateway.turns) == 1


async def test_closing_waits_no_longer_than_it_may(gateway: ScriptedGateway) -> None:
    gateway.always = hang(asyncio.Event())
    async with Sender(gateway.url, KEY) as sender:
        sender.send(turn())
        await gateway.until(lambda: len(gateway.requests) == 1)
        sender.send(event())
        started = asyncio.get_running_loop().time()
        assert await sender.aclose(0.05) == Left(turns=1, events=1)
        assert asyncio.get_running_loop().time() - started < 5


async def test_a_second_start_is_none(gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture) -> None:
    held = asyncio.Event()
    gateway.script.append(hang(held))
    async with Sender(gateway.url, KEY) as sender:
        sender.start()
        sender.send(turn("first"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        sender.send(turn("second"))
        held.set()
    assert texts(gateway) == ["first", "second"]
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mise-observer")]
    assert "start_ignored count=1 why='started already'" in caplog.messages


@pytest.mark.parametrize("started", [True, False])
async def test_a_start_after_the_end_is_none(
    started: bool, gateway: ScriptedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(gateway.url, KEY)
    if started:
        sender.start()
    await sender.aclose()
    sender.start()
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mise-observer")]
    assert "start_ignored count=1 why='closed'" in caplog.messages


async def test_closing_without_a_start(gateway: ScriptedGateway) -> None:
    sender = Sender(gateway.url, KEY)
    sender.send(turn())
    assert await sender.aclose() == Left(turns=1)


async def test_closing_that_is_cancelled_leaves_no_task(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.always = hang(asyncio.Event())
    sender = Sender(gateway.url, KEY, spool=tmp_path)
    sender.start()
    sender.send(turn())
    await gateway.until(lambda: len(gateway.requests) == 1)
    closing = asyncio.create_task(sender.aclose(LONG_S))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("mise-observer")]
    assert len(files(tmp_path, "*/*.turn")) == 1


async def test_closing_that_is_cancelled_while_it_writes_loses_nothing(
    gateway: ScriptedGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway.always = hang(asyncio.Event())
    sender = Sender(gateway.url, KEY, spool=tmp_path)
    sender.start()
    sender.send(turn())
    await gateway.until(lambda: len(gateway.requests) == 1)
    busy, open_spool = threading.Event(), sender._open_spool

    def open_and_be_busy() -> None:
        open_spool()
        sender._thread.submit(busy.wait)

    monkeypatch.setattr(sender, "_open_spool", open_and_be_busy)
    closing = asyncio.create_task(sender.aclose(0))
    async with asyncio.timeout(LONG_S):
        while sender.stats.queued:
            await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    busy.set()
    assert await sender.aclose(LONG_S) == Left(turns=1, spooled=1)
    assert sender.stats == Stats(spooled=1)
    assert len(files(tmp_path, "*/*.turn")) == 1


async def test_closing_twice_at_once_is_closing_once(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.always = hang(asyncio.Event())
    sender = Sender(gateway.url, KEY, spool=tmp_path)
    sender.start()
    sender.send(turn())
    await gateway.until(lambda: len(gateway.requests) == 1)
    for left in await asyncio.gather(sender.aclose(0.05), sender.aclose(0.05)):
        assert left == Left(turns=1, spooled=1)
    assert len(files(tmp_path, "*/*.turn")) == 1


CLOSED_EARLY = """
import asyncio, sys
from pathlib import Path
from mise_observer import CallEvent, Sender

sender = Sender("http://127.0.0.1:9", "key", spool=Path(sys.argv[1]))

async def begin():
    sender.start()
    sender.send(CallEvent(call_id="c", type="system", at=1.0))
    while not sender.stats.retries:
        await asyncio.sleep(0)
    sender.send(CallEvent(call_id="c", type="system", at=2.0))

if sys.argv[2] == "cancelled":
    asyncio.run(begin())
else:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    loop.close()
sender.send(CallEvent(call_id="c", type="system", at=3.0))
print(asyncio.run(sender.aclose(20.0)))
"""
"""A program of its own, for Python complains of tasks whose loop is gone."""


@pytest.mark.parametrize("tasks", ["cancelled", "left"])
def test_a_loop_that_was_closed_early_costs_nothing_with_a_spool(tmp_path: Path, tasks: str) -> None:
    ended = subprocess.run([sys.executable, "-c", CLOSED_EARLY, tmp_path, tasks], stdout=subprocess.PIPE, check=True)
    assert ended.stdout.decode().strip() == str(Left(events=3, spooled=3))
    assert len(files(tmp_path, "*/*.event")) == 3


# --- the spool


async def test_what_was_left_is_sent_by_the_next(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.always = answer(503)
    async with Sender(gateway.url, KEY, spool=tmp_path, pause=ForEver()) as sender:
        sender.send(turn("in a request", audio_bytes=500))
        await gateway.until(lambda: len(gateway.requests) == 1)
        sender.send(event())
        sender.send(turn("behind it"))
        assert await sender.aclose(0) == Left(turns=2, events=1, spooled=3)
    gateway.always = None
    async with Sender(gateway.url, KEY, spool=tmp_path) as sender:
        sender.send(turn("new"))
    assert texts(gateway) == ["in a request", "behind it", "new"]
    assert "audio_b64" in gateway.turns[0]
    assert len(gateway.events) == 1
    assert files(tmp_path) == []


async def test_what_is_sent_as_the_sender_closes_is_not_sent_by_the_next(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    sender = Sender(gateway.url, KEY, spool=tmp_path)
    sender.send(turn())
    await sender.aclose()
    held, busy = asyncio.Event(), threading.Event()
    gateway.script.append(hang(held))
    async with Sender(gateway.url, KEY, spool=tmp_path) as sender:
        await gateway.until(lambda: len(gateway.requests) == 1)
        sender._thread.submit(busy.wait)
        held.set()
        async with asyncio.timeout(LONG_S):
            while not sender.stats.sent:
                await asyncio.sleep(0)
        closing = asyncio.create_task(sender.aclose(0))
        assert sender._posting is not None
        await asyncio.wait({sender._posting})  # the closing has cut it off
        busy.set()
        assert await closing == Left()
    assert files(tmp_path) == []


async def test_what_does_not_fit_in_memory_goes_to_disk_and_keeps_its_order(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    held = asyncio.Event()
    gateway.script.append(hang(held))
    limits = Limits(queue_bytes=100_000, batch_turns=2)
    async with Sender(gateway.url, KEY, spool=tmp_path, limits=limits) as sender:
        sender.send(turn("first"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        for number in range(30):
            sender.send(turn(str(number), audio_bytes=20_000))
            await spilled(sender)
        assert sender.stats.spooled > 25
        held.set()
        await gateway.until(lambda: len(gateway.turns) == 31)
        assert await sender.aclose(LONG_S) == Left()
    assert texts(gateway) == ["first", *map(str, range(30))]
    assert all("audio_b64" in row for row in gateway.turns[1:])
    assert sender.stats == Stats(sent=31)
    assert files(tmp_path) == []


async def test_what_was_in_a_request_is_sent_by_the_next_before_what_was_on_disk(
    gateway: ScriptedGateway, tmp_path: Path
) -> None:
    gateway.always = hang(asyncio.Event())
    limits = Limits(queue_bytes=100_000, batch_turns=2)
    async with Sender(gateway.url, KEY, spool=tmp_path, limits=limits) as sender:
        sender.send(turn("0"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        for number in range(1, 8):
            sender.send(turn(str(number), audio_bytes=20_000))
            await spilled(sender)
        assert sender.stats.spooled > 0
        assert (await sender.aclose(0)).spooled == 8
    async with Sender(gateway.url, KEY, spool=tmp_path) as sender:
        await gateway.until(lambda: len(gateway.requests) == 2)
        assert (await sender.aclose(0)).spooled == 8
    assert sender.stats == Stats(spooled=8)  # what was in the request among them
    gateway.always = None
    async with Sender(gateway.url, KEY, spool=tmp_path):
        pass
    assert texts(gateway) == [str(number) for number in range(8)]


async def test_a_disk_that_takes_nothing_changes_no_order(
    gateway: ScriptedGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    held = asyncio.Event()
    gateway.script.append(hang(held))
    limits = Limits(queue_bytes=100_000, batch_turns=2)
    async with Sender(gateway.url, KEY, spool=tmp_path, limits=limits, pause=ForEver()) as sender:
        sender.send(turn("0"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        break_spool(tmp_path)
        for number in range(1, 12):
            sender.send(turn(str(number), audio_bytes=10_000))
        async with asyncio.timeout(LONG_S):
            while "spool_failed" not in caplog.text:
                await asyncio.sleep(0)
        assert sender.stats.queued == 12
        held.set()
        assert await sender.aclose(LONG_S) == Left()
    assert texts(gateway) == [str(number) for number in range(12)]


async def spilled(sender: Sender) -> None:
    """Return once memory is no more than half full again."""
    async with asyncio.timeout(20):
        while sender._intake.half_full or sender._spilling:
            await asyncio.sleep(0)


async def test_with_a_spool_a_key_that_is_not_accepted_costs_nothing(gateway: ScriptedGateway, tmp_path: Path) -> None:
    gateway.always = answer(401, reason="unauthenticated")
    async with Sender(gateway.url, KEY, spool=tmp_path) as sender:
        sender.send(turn("a"))
        await gateway.until(lambda: len(gateway.requests) == 1)
        sender.send(turn("b"))
        assert await sender.aclose(LONG_S) == Left(turns=2, spooled=2)
    gateway.always = None
    async with Sender(gateway.url, KEY, spool=tmp_path):
        pass
    assert texts(gateway) == ["a", "b"]


async def test_a_spool_that_can_not_be_is_none(
    gateway: ScriptedGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    async with Sender(gateway.url, KEY, spool=tmp_path / "file") as sender:
        sender.send(turn())
    assert len(gateway.turns) == 1
    assert "spool_unusable" in caplog.text


def break_spool(folder: Path) -> None:
    """Put a file in the place of the one process's folder."""
    (own,) = (path for path in folder.iterdir() if path.is_dir())
    shutil.rmtree(own)
    own.write_text("")


async def test_a_disk_that_fails_later_costs_only_what_is_there(
    gateway: ScriptedGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sender = Sender(gateway.url, KEY, spool=tmp_path)
    sender.send(turn("a"))
    assert (await sender.aclose()).spooled == 1
    held = asyncio.Event()
    gateway.script.append(hang(held))
    async with Sender(gateway.url, KEY, spool=tmp_path) as sender:
        await gateway.until(lambda: len(gateway.requests) == 1)
        break_spool(tmp_path)
        held.set()
        sender.send(turn("b"))
        await gateway.until(lambda: len(gateway.turns) == 2)
        assert await sender.aclose(LONG_S) == Left()
    assert texts(gateway) == ["a", "b"]
    assert "spool_failed" in caplog.text


# --- threads


def test_many_threads_may_send() -> None:
    async def receive(stop: asyncio.Event, ready: threading.Event, found: list[ScriptedGateway]) -> None:
        async with scripted() as gateway:
            found.append(gateway)
            ready.set()
            await stop.wait()

    loop, stop, ready, found = asyncio.new_event_loop(), asyncio.Event(), threading.Event(), list[ScriptedGateway]()
    serving = threading.Thread(target=lambda: loop.run_until_complete(receive(stop, ready, found)))
    serving.start()
    try:
        assert ready.wait(20)
        (gateway,) = found
        with ThreadedSender(gateway.url, KEY) as sender:

            def send_many() -> None:
                for _ in range(50):
                    sender.send(turn(audio_bytes=10))

            threads = [threading.Thread(target=send_many) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sender.close(LONG_S) == Left()
            assert sender.close() == Left()
        assert sender.stats == Stats(sent=400)
        assert len({row["turn_id"] for row in gateway.turns}) == 400
    finally:
        loop.call_soon_threadsafe(stop.set)
        serving.join()
        loop.close()


async def test_threaded_sender_may_be_closed_again_where_a_loop_runs() -> None:
    sender = ThreadedSender("http://127.0.0.1:9", KEY)
    sender.send(turn())
    assert sender.close(0) == Left(turns=1)
    assert sender.close(0) == Left(turns=1)


FORKED = """
import os, sys
from mise_observer import CallEvent, ThreadedSender

with ThreadedSender("http://127.0.0.1:9", "key") as sender:
    child = os.fork()
    sender.send(CallEvent(call_id="c", type="system", at=1.0))
    if not child:
        assert sender.stats.queued == 0
        sys.exit()  # which closes the sender
    assert os.waitpid(child, 0) == (child, 0)
    print(sender.close(0))
"""


def test_a_fork_neither_sends_nor_waits() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, timeout=LONG_S, check=True)
    assert ended.stdout.decode().strip() == str(Left(events=1))
    assert ended.stderr.decode().count("sent_in_a_fork count=1") == 1


STARTED_IN_A_FORK = """
import asyncio, os
from mise_observer import CallEvent, Left, Sender

sender = Sender("http://127.0.0.1:9", "key")

async def send():
    async with sender:
        sender.send(CallEvent(call_id="c", type="system", at=1.0))
        assert await sender.aclose(0) == Left(events=1)

if not os.fork():
    asyncio.run(send())
    os._exit(0)
assert os.wait()[1] == 0
"""


def test_a_sender_that_is_made_before_a_fork_may_be_started_in_it() -> None:
    subprocess.run([sys.executable, "-c", STARTED_IN_A_FORK], timeout=LONG_S, check=True)


@pytest.mark.parametrize("url", ["voice.example.com", "ftp://x", "", "http://"])
def test_a_url_that_is_none_is_said_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="is no address of a gateway"):
        Sender(url, KEY)


@pytest.mark.parametrize("key", ["", "a\nb", "ä"])
def test_a_key_that_is_none_is_said_at_once(key: str) -> None:
    with pytest.raises(ValueError, match="key: empty, or has characters"):
        Sender("http://x", key)
