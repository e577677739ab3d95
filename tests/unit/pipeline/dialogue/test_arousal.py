"""Arousal from what is known of a voice."""

from __future__ import annotations

import pytest

from pipeline.dialogue.arousal import arousal


@pytest.mark.parametrize(
    ("z", "found"),
    [
        ({}, None),
        ({"active_level_dbfs": 4.0}, None),  # may be a step towards the telephone
        ({"active_level_dbfs": 2.0, "f0_median_hz": 2.0}, 0.5),
        ({"active_level_dbfs": 3.0, "f0_median_hz": 3.0, "articulation_rate": 0.0}, 0.5),
        ({"active_level_dbfs": 20.0, "f0_median_hz": 20.0, "articulation_rate": -1.0}, 1.0),
        ({"f0_median_hz": -20.0, "articulation_rate": -20.0}, -1.0),
        ({"f0_median_hz": 1.0, "articulation_rate": -1.0}, 0.0),
        ({"level_dbfs": 9.0, "hnr_db": 9.0}, None),
    ],
)
def test_arousal(z: dict[str, float], found: float | None) -> None:
    assert arousal(z) == found
