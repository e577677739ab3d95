"""One clock for a call: an adjustment of the wall clock moves nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer.clock import Clock

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
