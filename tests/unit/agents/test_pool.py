"""The pool of measuring processes, with processes that really end and really hang."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from agents.pool import Crashed, Pool, TimedOut

LONG_S = 60.0
"""No call here is meant to take as long, and no test waits for it."""

SHORT_S = 1.0
"""What hangs is given up after it; a call that does nothing takes some 0.1 ms."""


@asynccontextmanager
async def pool_of(
    function: Callable[[int | str], Any],
    processes: int = 2,
    *,
    timeout_s: float = LONG_S,
    prepare: Callable[[], None] | None = None,
) -> AsyncIterator[Pool[[int | str], Any]]:
    pool = Pool(function, processes, timeout_s=timeout_s, prepare=prepare)
    try:
        yield pool
    finally:
        await pool.close()


def double(what: int | str) -> int:
    """Twice a number; a word does what a codec may do."""
    match what:
        case int():
            return 2 * what
        case "segfault":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "hang":
            Event().wait()
        case "exit":
            raise SystemExit(0)
    raise ValueError(f"no number: {what}")


def take_long() -> None:
    """As an import may on a busy machine."""
    time.sleep(1.5 * SHORT_S)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def log_and_die(path: int | str) -> None:
    with Path(str(path)).open("a") as log:
        log.write("tried\n")
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(path: int | str) -> str:
    try:
        Path(str(path)).touch(exist_ok=False)
    except FileExistsError:
        return "done"
    os.kill(os.getpid(), signal.SIGKILL)
    return "not reached"


def slow(_: int | str) -> int:
    time.sleep(SHORT_S / 2)
    return os.getpid()


def note_and_hang(path: int | str) -> None:
    Path(str(path)).write_text(str(os.getpid()))
    Event().wait()


def note_and_hang_or_double(what: int | str) -> int:
    if isinstance(what, str) and what.startswith("/"):
        note_and_hang(what)
    return double(what)


async def noted_pid(path: Path) -> int:
    """Of the process that is in `note_and_hang`, once it is."""
    while not (pid := _text(path)):
        await asyncio.sleep(0.01)
    return int(pid)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_results_are_in_the_order_of_the_calls() -> None:
    async with pool_of(double, 2) as pool:
        assert await asyncio.gather(*(pool.run(number) for number in range(200))) == [2 * n for n in range(200)]


@pytest.mark.parametrize("how", ["segfault", "killed", "exit"])
async def test_crash_costs_no_call_but_its_own(how: str) -> None:
    async with pool_of(double) as pool:
        results = await asyncio.gather(*(pool.run(call) for call in (1, 2, how, 3, 4)), return_exceptions=True)
        assert isinstance(results[2], Crashed)
        assert [result for result in results if not isinstance(result, Crashed)] == [2, 4, 6, 8]
        assert await pool.run(5) == 10, "the pool serves on"


async def test_call_that_crashes_is_tried_twice(tmp_path: Path) -> None:
    async with pool_of(log_and_die, 1) as pool:
        with pytest.raises(Crashed):
            await pool.run(str(tmp_path / "log"))
    assert (tmp_path / "log").read_text() == "tried\n" * 2


async def test_call_whose_process_was_ended_by_another_is_done_again(tmp_path: Path) -> None:
    async with pool_of(die_once, 1) as pool:
        assert await pool.run(str(tmp_path / "tried")) == "done"


async def test_call_that_hangs_is_timed_out_and_costs_no_other() -> None:
    async with pool_of(double, 2, timeout_s=SHORT_S) as pool:
        calls: list[int | str] = [1, "hang", 2, 3, "hang", 4]
        results = await asyncio.gather(*(pool.run(call) for call in calls), return_exceptions=True)
        assert [type(result) for result in results] == [int, TimedOut, int, int, TimedOut, int]
        assert [result for result in results if isinstance(result, int)] == [2, 4, 6, 8]
        assert await pool.run(5) == 10, "the pool serves on"


async def test_waiting_for_a_process_is_not_running() -> None:
    """Four calls of half the limit, one after the other: the last one waits for longer than the limit."""
    async with pool_of(slow, 1, timeout_s=SHORT_S) as pool:
        pids = await asyncio.gather(*(pool.run(number) for number in range(4)))
        assert len(set(pids)) == 1


async def test_neighbour_of_a_crash_keeps_its_process(tmp_path: Path) -> None:
    async with pool_of(note_and_hang_or_double, 2) as pool:
        neighbour = asyncio.create_task(pool.run(str(tmp_path / "pid")))
        pid = await noted_pid(tmp_path / "pid")
        with pytest.raises(Crashed):
            await pool.run("segfault")
        assert not neighbour.done()
        os.kill(pid, 0)  # raises where there is no such process
        neighbour.cancel()
        await asyncio.gather(neighbour, return_exceptions=True)


async def test_crashes_and_hangs_under_load_cost_only_themselves() -> None:
    draw = random.Random(1)
    calls: list[int | str] = [
        draw.choice(["segfault", "killed", "hang"]) if draw.random() < 0.03 else number for number in range(200)
    ]
    async with pool_of(double, 3, timeout_s=SHORT_S) as pool:
        results = await asyncio.gather(*(pool.run(call) for call in calls), return_exceptions=True)
    expected = {"segfault": Crashed, "killed": Crashed, "hang": TimedOut}
    assert len(set(calls) & set(expected)) == 3
    for call, result in zip(calls, results, strict=True):
        if isinstance(call, int):
            assert result == 2 * call
        else:
            assert isinstance(result, expected[call])


async def test_what_the_function_raises_is_raised_and_says_where() -> None:
    async with pool_of(double, 1) as pool:
        with pytest.raises(ValueError, match="no number: zero") as caught:
            await pool.run("zero")
        assert "in double" in caught.value.__notes__[0]


async def test_call_that_is_cancelled_leaves_no_process_behind(tmp_path: Path) -> None:
    async with pool_of(note_and_hang, 1) as pool:
        call = asyncio.create_task(pool.run(str(tmp_path / "pid")))
        pid = await noted_pid(tmp_path / "pid")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ended(pid)


async def test_close_does_not_wait_for_a_call_that_hangs(tmp_path: Path) -> None:
    async with asyncio.timeout(LONG_S / 2):
        async with pool_of(note_and_hang, 2) as pool:
            paths = [tmp_path / name for name in "abc"]  # two run, one waits
            calls = [asyncio.create_task(pool.run(str(path))) for path in paths]
            pids = [await noted_pid(path) for path in paths[:2]]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError] * 3
    assert not {process.pid for process in multiprocessing.active_children()} & set(pids)


async def test_closed_pool_starts_nothing() -> None:
    async with pool_of(double) as pool:
        pass
    with pytest.raises(RuntimeError, match="closed"):
        await pool.run(1)


async def test_process_that_does_not_start_is_no_turns_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing module would otherwise cost every turn its acoustics, and nobody would know."""
    async with pool_of(double, 1) as pool:
        monkeypatch.setattr("agents.pool.os.getpid", lambda: 0)  # the process finds that its parent is another one
        with pytest.raises(RuntimeError, match="before it was ready"):
            await pool.run(1)


async def test_no_call_is_to_blame_for_what_comes_before() -> None:
    async with pool_of(double, 1, timeout_s=SHORT_S, prepare=take_long) as pool:
        assert await pool.run(1) == 2
    async with pool_of(double, 1, prepare=die) as pool:
        with pytest.raises(RuntimeError, match="before it was ready"):
            await pool.run(1)


async def ended(pid: int) -> None:
    while pid in {process.pid for process in multiprocessing.active_children()}:
        await asyncio.sleep(0.01)
