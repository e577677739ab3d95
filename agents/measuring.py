"""What the features stage runs in the processes of its pool."""

from __future__ import annotations

import structlog

from pipeline.not_measured import not_measured
from schemas.features import F0Estimator
from schemas.measured import MeasuredTurn
from schemas.turn import ReceivedTurn

log = structlog.get_logger()


def prepare() -> None:
    """Import what measures: it takes a second, and only the processes of the pool need it."""
    import pipeline.measure  # noqa: F401, PLC0415


def measure(turn: ReceivedTurn, data: bytes, *, longest_s: float, estimator: F0Estimator) -> MeasuredTurn:
    """As `pipeline.measure.measure`, whatever goes wrong."""
    from pipeline import measure as acoustics  # noqa: PLC0415

    try:
        return acoustics.measure(turn, data, longest_s=longest_s, estimator=estimator)
    except Exception:
        # A bug of ours, but audio never costs the turn; what fails around the measuring is not caught here.
        log.exception("measuring_failed", call_id=turn.call_id, turn_id=turn.turn_id)
        return not_measured(turn, "measuring_failed")
