"""What a stage tells of how it keeps up, and that one that hangs ends; on a real Kafka, on both paths."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import REGISTRY

from agents import awake
from agents.awake import AWAKE, Suspended
from agents.delivery import keep_watch, until_available
from schemas.errors import Unavailable
from tests.contract.delivery.workers import Setting, Worker, holds
from tests.integration.waiting import until

STALL_S = 0.6


@asynccontextmanager
async def watched(worker: Worker, stall_s: float = STALL_S) -> AsyncIterator[None]:
    AWAKE.forget()  # a process is watched once; here one test after another is, with a pause in between
    watch = asyncio.create_task(keep_watch(worker.app, worker.stage, stall_s, worker.failures.append))
    try:
        yield
    finally:
        watch.cancel()
        AWAKE.forget()


def told(name: str, worker: Worker) -> float:
    return REGISTRY.get_sample_value(f"mise_stage_{name}", {"stage": worker.stage.name}) or 0.0


async def test_lag_and_ages_are_told_and_fall_to_nothing(setting: Setting) -> None:
    await setting.send(10)
    async with setting.worker(shut=True) as worker, watched(worker, stall_s=60):
        assert await holds(lambda: told("lag_records", worker) == 10)
        assert await holds(lambda: told("commit_age_seconds", worker) > 0)
        assert await holds(lambda: told("oldest_record_seconds", worker) > 0)
        worker.stage.open.set()
        assert await until(setting.all_committed)
        assert await holds(lambda: told("lag_records", worker) == told("commit_age_seconds", worker) == 0)
        assert told("oldest_record_seconds", worker) == 0
        assert REGISTRY.get_sample_value("mise_event_loop_delay_seconds") is not None


async def test_stage_that_hangs_ends_and_says_where(setting: Setting) -> None:
    await setting.send(1)
    await setting.send(3, partition=2)
    async with setting.worker() as worker, watched(worker):
        assert await until(setting.all_committed)
        worker.stage.open.clear()
        await setting.send(1, partition=2)
        assert await holds(lambda: bool(worker.failures))
        assert f"{setting.topic.name}/2 has records and was not committed for" in str(worker.failures[0])


async def test_stage_that_waits_for_what_is_away_does_not_end(setting: Setting) -> None:
    away = True

    async def attempt() -> None:
        if away:
            raise Unavailable("the moon")

    await setting.send(1)
    async with setting.worker(shut=True) as worker:
        waiting = asyncio.create_task(until_available("moon", attempt))
        assert await holds(lambda: REGISTRY.get_sample_value("mise_waiting", {"what": "moon"}) == 1)
        async with watched(worker):
            assert await holds(lambda: told("commit_age_seconds", worker) > 2 * STALL_S)
            assert worker.failures == []
        away = False
        await waiting
        assert REGISTRY.get_sample_value("mise_waiting", {"what": "moon"}) == 0


async def test_process_that_was_suspended_ends(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stood for by a clock that jumps on."""
    async with setting.worker() as worker, watched(worker, stall_s=60):
        assert await holds(lambda: AWAKE._seen is not None)
        monkeypatch.setattr(awake, "time", Later())
        assert await holds(lambda: bool(worker.failures))
        assert "the process was suspended for" in str(worker.failures[0])
        with pytest.raises(Suspended):  # so says whoever would go on to write
            AWAKE.check()


class Later:
    """The module time, after a while in which nothing ran."""

    def monotonic(self) -> float:
        return time.monotonic() + 60

    def process_time(self) -> float:
        return time.process_time()


async def test_topic_made_anew_is_read_from_its_beginning(setting: Setting) -> None:
    await setting.send(10)
    async with setting.worker() as worker:
        assert await until(setting.all_committed)
        await setting.make_anew()
        await setting.send(3)
        assert await until(setting.all_committed)
        assert worker.stage.offsets() == [*range(10), 0, 1, 2]
