"""A turn without acoustics: apart from the measuring, which takes a second to import."""

from __future__ import annotations

from pipeline.version import VERSION
from schemas.measured import MeasuredTurn, NotMeasuredReason
from schemas.turn import ReceivedTurn


def not_measured(turn: ReceivedTurn, reason: NotMeasuredReason) -> MeasuredTurn:
    """The turn without acoustics, and why."""
    return MeasuredTurn(turn=turn, not_measured_reason=reason, features_version=VERSION)
