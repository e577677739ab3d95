"""When a turn was received: what its revisions are ordered by."""

from __future__ import annotations

import time


class Clock:
    """The wall clock, but never behind what was acknowledged: a clock that is set back would let a correction lose
    against the turn that it corrects.

    It only counts what was acknowledged, so that a clock that was wrong by hours, and had everything refused by Kafka,
    is right as soon as it is set.
    """

    def __init__(self) -> None:
        self._acknowledged_us = 0
        self._given_us = 0
        """The latest that was given while the wall clock was behind: two at once are not to be the same."""

    def now_us(self) -> int:
        """Epoch µs."""
        wall_us = time.time_ns() // 1000
        if wall_us > self._acknowledged_us:
            return wall_us
        self._given_us = max(self._given_us, self._acknowledged_us) + 1
        return self._given_us

    def acknowledged(self, received_at: int) -> None:
        """A record of that moment [epoch µs] is durable."""
        self._acknowledged_us = max(self._acknowledged_us, received_at)
