"""One clock for a call: an adjustment of the wall clock moves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer.clock import STEP_S, Clock

EPOCH = 1_767_225_600.0


@dataclass
class Times:
    """A machine's two clocks."""

    monotonic: float = 100.0
    wall: float = EPOCH

    def pass_by(self, seconds: float) -> None:
        self.monotonic += seconds
        self.wall += seconds

    def clock(self) -> Clock:
        return Clock(lambda: self.monotonic, lambda: self.wall)


@given(st.floats(-86_400, 86_400))
def test_step_of_the_wall_clock_moves_no_turn(step: float) -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(10)
    times.wall += step
    times.pass_by(5)
    assert clock.epoch(clock.now()) == pytest.approx(EPOCH + 15)
    assert clock.epoch(clock.of_wall(times.wall - 2)) == pytest.approx(EPOCH + 13), (
        "a stamp of just now, after the step"
    )


@given(st.floats(-86_400, 86_400), st.floats(0, 5))
def test_stamp_of_before_a_step_is_when_it_was(step: float, age: float) -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(10)
    stamp = times.wall
    times.pass_by(age)
    times.wall += step
    at = clock.epoch(clock.of_wall(stamp))
    # Set by no more than the stamp is old, the clock said so twice.
    assert at == pytest.approx(EPOCH + 10) or (abs(step) <= age + STEP_S and at == pytest.approx(EPOCH + 10 - step))


@given(st.floats(-86_400, 86_400), st.floats(0, 5), st.floats(0, 5))
def test_stamp_of_after_a_step_that_reaches_back_is_when_it_was(step: float, later: float, back: float) -> None:
    times = Times()
    clock = times.clock()
    times.pass_by(10)
    times.wall += step
    clock.of_wall(times.wall)
    times.pass_by(later)
    at = clock.epoch(clock.of_wall(times.wall - back))
    true = EPOCH + 10 + later - back
    assert at == pytest.approx(true) or (abs(step) <= back + STEP_S and at == pytest.approx(true + step))


@given(st.lists(st.floats(-0.05, 0.05), max_size=50))
def test_clock_that_runs_faster_or_slower_is_not_taken_for_one_that_is_set(drifts: list[float]) -> None:
    times = Times()
    clock = times.clock()
    for drift in drifts:
        times.pass_by(10)
        times.wall += drift
        assert clock.of_wall(times.wall) == pytest.approx(times.monotonic)
