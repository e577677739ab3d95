"""The order of a call's turns: by their start, and by their id where that is the same."""

from __future__ import annotations

from typing import Final

Place = tuple[int, str]
"""(started_at, turn_id)."""

START: Final[Place] = (-1, "")
"""Before every turn."""
