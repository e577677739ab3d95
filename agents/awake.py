"""Whether this process has been suspended for so long that its partitions may be another's.

A process that is stopped (SIGSTOP, a frozen container, a machine that sleeps) goes on in the middle of a step when it
comes back, long before it hears that its group gave its partitions away. What it would write then is of the past.
"""

from __future__ import annotations

import time
from typing import Final

SUSPENDED_S: Final = 7.0
"""A session is 10 s, and its last heartbeat may have been 3 s before."""


class Suspended(Exception):
    """The process was away; it has to begin anew."""


class Awake:
    """Looks at the clocks: what passed since the event loop was seen, and was not used, was spent suspended.

    A step that keeps the loop busy uses its time.
    """

    def __init__(self) -> None:
        self._seen: tuple[float, float] | None = None
        self._away_s = 0.0
        """The longest that it was away; it does not come back from that."""

    def see(self) -> None:
        """The event loop runs. To be called every second or so."""
        self._look()
        self._seen = time.monotonic(), time.process_time()

    def forget(self) -> None:
        """Nobody calls `see` any more."""
        self._seen, self._away_s = None, 0.0

    def check(self) -> None:
        """Raise Suspended when the process was away, at any time since `see` was called first."""
        self._look()
        if self._away_s > SUSPENDED_S:
            raise Suspended(
                f"the process was suspended for {self._away_s:.1f} s, and its partitions may be another's: nothing "
                f"more is written; it ends to be started again"
            )

    def _look(self) -> None:
        if self._seen is not None:
            seen, used = self._seen
            away_s = time.monotonic() - seen - (time.process_time() - used)
            self._away_s = max(self._away_s, away_s)


AWAKE: Final = Awake()
"""Of this process."""
