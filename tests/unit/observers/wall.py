"""The wall clock of these tests: the machine's, until a test sets it.

To be imported before anything that keeps `time.time` for itself, as fields of LiveKit's events do.
"""

from __future__ import annotations

import time

_machines = time.time
_ahead_s = 0.0


def _time() -> float:
    return _machines() + _ahead_s


def set_by(seconds: float) -> None:
    """Set it forward by so much, or back; from the machine's clock."""
    global _ahead_s  # noqa: PLW0603  # a process has one wall clock
    _ahead_s = seconds


time.time = _time
