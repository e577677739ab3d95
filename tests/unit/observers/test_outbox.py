"""Between an observer and its sender: made in order, off the loop, and never for ever."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mise_observer import Sender, Turn
from mise_observer.notices import Notices
from mise_observer.outbox import PENDING, Outbox
from tests.unit.observers.records import turn
from tests.unit.observers.scripted import ScriptedGateway, scripted

KEY = "mv_key"
LONG_S = 20.0


def outbox(gateway: ScriptedGateway) -> Outbox:
    sender = Sender(gateway.url, KEY)
    sender.start()
    return Outbox(sender, Notices())


def sent(gateway: ScriptedGateway) -> list[str]:
    return [turn["turn_id"] for request in gateway.requests for turn in request.turns]


async def test_what_is_put_in_is_made_in_order_off_the_loop_and_one_that_fails_costs_no_other() -> None:
    makers: list[str] = []

    def make(number: int) -> Turn:
        makers.append(threading.current_thread().name)
        if number == 1:
            raise ZeroDivisionError
        return turn(turn_id=f"t{number}")

    async with scripted() as gateway:
        box = outbox(gateway)
        for number in range(3):
            box.put(lambda number=number: make(number))  # type: ignore[misc]
        await box.drain(LONG_S)
        assert sent(gateway) == ["t0", "t2"]
        assert box.stats.sent == 2
    assert threading.current_thread().name not in makers


async def test_redaction_that_hangs_holds_neither_the_host_nor_the_end(caplog: pytest.LogCaptureFixture) -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def make_late() -> Turn:
        hangs.set()
        go_on.wait(LONG_S)
        return turn(turn_id="late")

    async with scripted() as gateway:
        box = outbox(gateway)
        box.put(make_late)
        assert await asyncio.to_thread(hangs.wait, LONG_S)
        for _ in range(PENDING):
            box.put(turn)
        await box.drain(0.1)
        go_on.set()
        assert sent(gateway) == []
    lines = [record.getMessage() for record in caplog.records if "given_up" in record.getMessage()]
    assert lines == [
        "given_up count=1 detail='redact takes too long'",
        f"given_up count={PENDING} detail='redact takes too long'",
    ]
