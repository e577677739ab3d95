"""One clock for a call: monotonic inside, wall time at its two doors."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds that no adjustment of the wall clock can move; all times inside are its.

    monotonic, wall : seconds; `wall` since the epoch. It is looked at once for what is sent, so that an NTP step in
    mid-call moves no turn, and to convert what LiveKit stamps, at the moment it is reported.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._ahead = wall() - monotonic()

    def now(self) -> float:
        return self._monotonic()

    def of_wall(self, stamp: float) -> float:
        """When that was. stamp : epoch seconds, taken a short time ago by the wall clock as it is now."""
        return self._monotonic() - (self._wall() - stamp)

    def epoch(self, at: float) -> float:
        """Epoch seconds, by the wall clock of when the call began."""
        return at + self._ahead
