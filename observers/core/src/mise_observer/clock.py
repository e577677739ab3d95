"""One clock for a call: monotonic inside, the time of day at its two doors."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_S = 0.1
"""A clock that is off by more is set (NTP steps from 128 ms on); one that is off by less runs faster or slower."""


class Clock:
    """Seconds that no adjustment of the wall clock can move; an observer's times are all its.

    monotonic, wall : seconds; `wall` since the epoch. It is looked at once for what is sent, so that an NTP step in
    mid-call moves no turn, and to convert what a platform stamps, at the moment it is reported.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._ahead = self._ahead_now = self._ahead_before = wall() - monotonic()
        self._set_at = float("-inf")

    def now(self) -> float:
        return self._monotonic()

    def of_wall(self, stamp: float) -> float:
        """When that was. stamp : epoch seconds, taken a short time ago by the wall clock; it may have been set since.

        The latest moment at which the clock may have said so: where it was set by less than the stamp is old, that may
        be wrong by as much.
        """
        now = self._monotonic()
        ahead = self._wall() - now
        if abs(ahead - self._ahead_now) >= STEP_S:
            self._ahead_before, self._set_at = self._ahead_now, now
        self._ahead_now = ahead
        as_it_is, as_it_was = stamp - ahead, stamp - self._ahead_before
        possible = [at for at, until in ((as_it_is, now + STEP_S), (as_it_was, self._set_at)) if at <= until]
        return max(possible, default=as_it_is)

    def epoch(self, at: float) -> float:
        """Epoch seconds, by the wall clock of when the call began."""
        return at + self._ahead
