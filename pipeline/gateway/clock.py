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

    def now_us(self) -> int:
        """Epoch µs."""
        return max(time.time_ns() // 1000, self._acknowledged_us + 1)

    def acknowledged(self, received_at: int) -> None:
        """A record of that moment [epoch µs] is durable."""
        self._acknowledged_us = max(self._acknowledged_us, received_at)
