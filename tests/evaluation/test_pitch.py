"""F0 on real speech is Praat's, up to what is asked; figures in docs/accuracy.md."""

from __future__ import annotations

import pytest

from tests.evaluation.accuracy import CLEAN, TELEPHONE, Condition, intensity_errors, pitch_errors


@pytest.mark.parametrize(("condition", "gross", "voicing"), [(CLEAN, 0.01, 0.05), (TELEPHONE, 0.015, 0.065)])
def test_f0_is_praats(condition: Condition, gross: float, voicing: float) -> None:
    found = pitch_errors(condition)
    assert found.gross <= gross
    assert found.voicing <= voicing
    assert found.median_p50 <= 0.01
    assert found.median_p90 <= 0.03


def test_speakers_nothing_was_tuned_on_do_no_worse() -> None:
    found = pitch_errors(CLEAN, part="report")
    assert found.gross <= 0.01
    assert found.voicing <= 0.05


def test_dio_is_an_estimator_with_few_gross_errors() -> None:
    assert pitch_errors(CLEAN, estimator="dio", part="report").gross <= 0.02


@pytest.mark.parametrize("condition", [CLEAN, TELEPHONE])
def test_intensity_is_praats_within_a_fifth_of_a_decibel(condition: Condition) -> None:
    assert max(intensity_errors(condition)) <= 0.2
