"""Log lines that can't flood: the first of a kind at once, then one a minute with how many there were."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path

log = logging.getLogger("mise_observer")

EVERY_S = 60.0
KINDS = 1_000
"""Kinds remembered; a gateway that made up a reason for every turn must not take the memory."""


class Notices:
    """clock : seconds, monotonic. Two threads at once may miscount, no more."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}
        self._unsaid: dict[tuple[str, str], int] = {}

    def warn(self, event: str, kind: str = "", /, count: int = 1, **keys: object) -> None:
        """Log that `event` happened `count` times more. kind : what tells one kind of it from another."""
        if not count:
            return
        place = (event, kind)
        now = self._clock()
        count += self._unsaid.pop(place, 0)
        last = self._said.get(place)
        if last is not None and now - last < EVERY_S:
            self._unsaid[place] = count
            return
        if len(self._said) >= KINDS:
            self._said.clear()
            self._unsaid.clear()
        self._said[place] = now
        said = "".join(f" {name}={value!r}" for name, value in keys.items())
        log.warning("%s count=%d%s%s", event, count, said, _handled())


def _handled() -> str:
    """Where the exception that is being handled was raised; no traceback, whose last line may quote a caller."""
    trace = sys.exc_info()[2]
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" at={Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
