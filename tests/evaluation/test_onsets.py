"""Onsets of overlaps, from audio to events; the figures are in docs/accuracy.md, and where they fall short."""

from __future__ import annotations

import numpy as np
import pytest

from tests.evaluation.accuracy import CLEAN, TELEPHONE, Condition
from tests.evaluation.onsets import onsets

COUNT = 120
NOISY = Condition(True, "white", 20.0)


@pytest.mark.parametrize(("condition", "p95_ms"), [(CLEAN, 250), (TELEPHONE, 250), (NOISY, 150)], ids=str)
def test_overlap_begins_where_the_second_speaks(condition: Condition, p95_ms: float) -> None:
    found = onsets(condition, COUNT, seed=1)
    errors_ms = np.abs([onset.error_ms for onset in found if onset.error_ms is not None])
    assert len(errors_ms) >= 0.95 * len(found)
    assert np.median(errors_ms) <= 60
    assert np.quantile(errors_ms, 0.95) <= p95_ms
