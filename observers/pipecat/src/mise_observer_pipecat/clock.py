"""One clock for a call: monotonic inside, set by the wall clock once."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds of a monotonic clock, and what time of day they were.

    The wall clock is read when it is made and never again: set back or forth in mid-call, it moves no turn.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time) -> None:
        self._monotonic = monotonic
        self._difference = wall() - monotonic()

    def now(self) -> float:
        return self._monotonic()

    def epoch(self, moment: float) -> float:
        """Epoch seconds of a moment."""
        return moment + self._difference
