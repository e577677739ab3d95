"""Cross-talk on real turns: echoes are found, and nobody's own speech is taken for one. Figures: docs/accuracy.md."""

from __future__ import annotations

import pytest

from tests.evaluation.crosstalk import echoes, strangers


@pytest.mark.parametrize(("down_db", "late_ms", "least"), [(10.0, 60, 0.9), (20.0, 250, 0.85), (30.0, 250, 0.75)])
def test_echo_is_found(down_db: float, late_ms: int, least: float) -> None:
    found = echoes(down_db, late_ms, seed=1)
    assert found.crosstalk_ms >= least * found.speech_ms
    assert found.original_ms == 0


def test_other_people_are_no_echo() -> None:
    beside = list(strangers(every=3))
    assert sum(stretches for *_, stretches, _ in beside) > 3_000
    assert [one for one in beside if one[3]] == []
