"""Time that passes is told apart: used, waited, or spent suspended."""

from __future__ import annotations

import pytest

from agents import awake
from agents.awake import SUSPENDED_S, Awake, Suspended


class Clocks:
    """Stands for the module time."""

    def __init__(self) -> None:
        self.wall_s = self.cpu_s = 100.0

    def monotonic(self) -> float:
        return self.wall_s

    def process_time(self) -> float:
        return self.cpu_s


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    made = Clocks()
    monkeypatch.setattr(awake, "time", made)
    return made


def test_process_that_was_away_is_told_so(clocks: Clocks) -> None:
    process = Awake()
    process.see()
    clocks.wall_s += SUSPENDED_S + 0.1
    with pytest.raises(Suspended, match=r"suspended for 7\.1 s"):
        process.check()


def test_process_that_was_away_does_not_come_back_from_it(clocks: Clocks) -> None:
    """Whoever runs first, the loop's own look or the step."""
    process = Awake()
    process.see()
    clocks.wall_s += SUSPENDED_S + 0.1
    process.see()
    with pytest.raises(Suspended):
        process.check()


def test_process_that_waits_for_its_turn_is_not_away(clocks: Clocks) -> None:
    process = Awake()
    for _ in range(100):
        process.see()
        clocks.wall_s += 1
        process.check()


def test_step_that_keeps_the_loop_busy_is_not_away(clocks: Clocks) -> None:
    process = Awake()
    process.see()
    clocks.wall_s += 60
    clocks.cpu_s += 58
    process.check()


def test_nothing_is_known_before_the_loop_was_seen(clocks: Clocks) -> None:
    process = Awake()
    clocks.wall_s += 3_600
    process.check()
