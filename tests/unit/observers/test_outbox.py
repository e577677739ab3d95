"""Between an observer and its sender: made in order, off the loop, and never for ever."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
import weakref
from functools import partial

import pytest

from mise_observer import CallEvent, Sender, Stats, Turn
from mise_observer.notices import Notices
from mise_observer.outbox import PENDING, PENDING_BYTES, Outbox
from tests.unit.observers.records import event, turn
from tests.unit.observers.scripted import ScriptedGateway, scripted

KEY = "mv_key"
LONG_S = 20.0


def outbox(gateway: ScriptedGateway, *, held: bool = False) -> Outbox:
    sender = Sender(gateway.url, KEY)
    sender.start()
    return Outbox(sender, Notices(), held=held)


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
        for _ in range(PENDING + 1):
            box.put(turn)
        assert (box.stats.queued, box.stats.dropped_turns) == (PENDING + 1, 1)
        await box.drain(0.1)
        box.put(turn)
        go_on.set()
        assert sent(gateway) == []
        assert (box.stats.queued, box.stats.dropped_turns) == (0, PENDING + 3)
    lines = [record.getMessage() for record in caplog.records if "given_up" in record.getMessage()]
    assert lines == [
        "given_up count=1 detail='redact takes too long'",
        f"given_up count={PENDING + 1} detail='redact takes too long'",
    ]


async def test_a_slow_redaction_has_the_time_that_the_sender_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mise_observer.outbox.SENDING_S", 0.2)
    never = threading.Event()

    def make_slowly() -> Turn:
        never.wait(1.2)
        return turn(turn_id="slow")

    async with scripted() as gateway:
        box = outbox(gateway)
        box.put(make_slowly)
        await box.drain(2.0)
        assert sent(gateway) == ["slow"]


async def test_call_events_behind_a_redaction_that_hangs_are_sent() -> None:
    go_on = threading.Event()

    def make_late() -> Turn:
        go_on.wait(LONG_S)
        return turn(turn_id="late")

    def make_event_late() -> CallEvent:
        go_on.wait(LONG_S)
        return event()

    async with scripted() as gateway:
        box = outbox(gateway)
        box.put(make_late)
        box.put(turn)
        for make in (event, event, make_event_late, event):
            box.put(make, is_turn=False)
        await box.drain(1.0)
        go_on.set()
        assert (len(gateway.turns), len(gateway.events)) == (0, 2)
    assert box.stats == Stats(sent=2, dropped_turns=2, dropped_events=2)


async def test_of_too_much_that_waits_the_oldest_audio_goes_and_no_text(caplog: pytest.LogCaptureFixture) -> None:
    audio_bytes = PENDING_BYTES // 4

    async with scripted() as gateway:
        box = outbox(gateway, held=True)
        for number in range(6):
            heard, unheard = turn(turn_id=f"t{number}", text="heard"), turn(turn_id=f"t{number}", text="unheard")
            box.put(lambda heard=heard: heard, audio_bytes=audio_bytes, without_audio=lambda unheard=unheard: unheard)  # type: ignore[misc]
        box.release()
        await box.drain(LONG_S)
        assert [(one["turn_id"], one["text"]) for one in gateway.turns] == [
            *((f"t{number}", "unheard") for number in range(3)),
            *((f"t{number}", "heard") for number in range(3, 6)),
        ]
    assert (box.stats.sent, box.stats.dropped_audio, box.stats.dropped_turns) == (6, 3, 0)
    assert "audio_given_up count=1 detail='the call has no id yet'" in caplog.text


async def test_too_many_that_wait_cost_the_oldest() -> None:
    async with scripted() as gateway:
        box = outbox(gateway, held=True)
        for number in range(PENDING + 2):
            box.put(lambda number=number: turn(turn_id=f"t{number}"))  # type: ignore[misc]
        box.release()
        await box.drain(LONG_S)
        assert sent(gateway) == [f"t{number}" for number in range(2, PENDING + 2)]
    assert box.stats.dropped_turns == 2


async def test_what_was_made_is_let_go_of_while_nothing_follows() -> None:
    class Audio:
        """Something large."""

    audio = Audio()
    gone = weakref.ref(audio)

    def make(_: Audio) -> Turn:
        return turn()

    async with scripted() as gateway:
        box = outbox(gateway)
        box.put(partial(make, audio))
        del audio
        await gateway.until(lambda: bool(gateway.turns))
        assert gone() is None
        await box.drain(LONG_S)


async def test_a_redaction_that_ends_the_program_ends_its_own_turn() -> None:
    async with scripted() as gateway:
        box = outbox(gateway)
        box.put(sys.exit)
        box.put(lambda: turn(turn_id="t1"))
        await box.drain(LONG_S)
        assert sent(gateway) == ["t1"]
    assert box.stats.dropped_turns == 1


def test_a_redaction_that_hangs_does_not_keep_the_process() -> None:
    program = """
        import asyncio, threading
        from mise_observer import Sender
        from mise_observer.notices import Notices
        from mise_observer.outbox import Outbox

        async def main():
            sender = Sender("http://127.0.0.1:9", "key")
            sender.start()
            box = Outbox(sender, Notices())
            box.put(threading.Event().wait)
            await box.drain(0.1)

        asyncio.run(main())
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=LONG_S)
