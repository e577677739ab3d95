"""What is acknowledged, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from agents.delivery import Record, _deliver


class Event:
    def __init__(self, offset: int, generation: int, acked: list[int]) -> None:
        self._acked = acked
        self.message = SimpleNamespace(
            topic="t", partition=0, offset=offset, timestamp=1.0, key=b"k", value=b"v", generation_id=generation
        )

    def ack(self) -> None:
        self._acked.append(self.message.offset)


class Stage:
    """Remembers what it is given; `during` happens while it is at it."""

    name = "stage"

    def __init__(self, during: Any = lambda: None) -> None:
        self.given: list[int] = []
        self._during = during

    async def process(self, batch: Sequence[Record]) -> None:
        self.given += [record.offset for record in batch]
        self._during()


async def deliver(stage: Stage, app: Any, events: list[Event]) -> None:
    await _deliver(app, stage, events)  # type: ignore[arg-type]


async def test_batch_is_acknowledged_in_order_after_it_is_processed() -> None:
    acked: list[int] = []
    stage = Stage(lambda: acked.append(-1))
    await deliver(stage, SimpleNamespace(consumer_generation_id=3), [Event(offset, 3, acked) for offset in range(4)])
    assert (stage.given, acked) == ([0, 1, 2, 3], [-1, 0, 1, 2, 3])


async def test_event_of_before_a_rebalance_is_neither_processed_nor_acknowledged() -> None:
    acked: list[int] = []
    stage = Stage()
    await deliver(stage, SimpleNamespace(consumer_generation_id=3), [Event(0, 2, acked), Event(1, 3, acked)])
    assert (stage.given, acked) == ([1], [1])


async def test_batch_during_which_the_partitions_moved_is_not_acknowledged() -> None:
    acked: list[int] = []
    app = SimpleNamespace(consumer_generation_id=3)
    stage = Stage(lambda: setattr(app, "consumer_generation_id", 4))
    await deliver(stage, app, [Event(0, 3, acked)])
    assert (stage.given, acked) == ([0], [])


async def test_batch_that_fails_is_not_acknowledged() -> None:
    acked: list[int] = []

    def fail() -> None:
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await deliver(Stage(fail), SimpleNamespace(consumer_generation_id=3), [Event(0, 3, acked)])
    assert acked == []
