"""The contour: never more than 600 points, and what is drawn is what was measured, within half a step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.decode import Floats
from pipeline.dsp.contour import LEVEL_STEP_DB, STEPS_PER_OCTAVE, contour
from schemas.measured import Contour

POINTS = 600
"""What the schema and the store's column hold."""

HALF_STEP_ST = 12 / STEPS_PER_OCTAVE / 2


def contour_f0_hz(found: Contour) -> NDArray[np.float64]:
    """As the schema says that a point is read; NaN where unvoiced."""
    return np.array([50 * 2 ** ((byte - 1) / 64) if byte else np.nan for byte in found.f0])


def contour_level_dbfs(found: Contour) -> NDArray[np.float64]:
    """As the schema says that a point is read; NaN where silent."""
    return np.array([-102 + 0.4 * byte if byte else np.nan for byte in found.level])


def tracks(frames: int, seed: int) -> tuple[Floats, Floats]:
    random = np.random.default_rng(seed)
    f0_hz = 75 * (500 / 75) ** random.random(frames)
    f0_hz[random.random(frames) < 0.4] = np.nan
    return f0_hz.astype(np.float32), (-100 * random.random(frames)).astype(np.float32)


@given(st.integers(1, 20_000), st.integers(0, 1_000))
@example(POINTS + 1, 0)
def test_points_cover_the_turn_and_are_600_at_most(frames: int, seed: int) -> None:
    found = contour(*tracks(frames, seed))
    points = len(found.f0)
    assert points == len(found.level)
    assert 1 <= points <= POINTS
    assert found.hop_ms % 10 == 0
    assert (points - 1) * found.hop_ms < 10 * frames <= points * found.hop_ms
    assert found.hop_ms == 10 or 10 * frames > POINTS * (found.hop_ms - 10)  # no coarser than it must be


@given(st.integers(1, POINTS), st.integers(0, 1_000))
def test_short_turn_is_drawn_frame_by_frame_within_half_a_step(frames: int, seed: int) -> None:
    f0_hz, level_dbfs = tracks(frames, seed)
    found = contour(f0_hz, level_dbfs)
    heard = contour_f0_hz(found)
    assert (np.isnan(heard) == np.isnan(f0_hz)).all()
    voiced = np.isfinite(f0_hz)
    assert np.abs(12 * np.log2(heard[voiced] / f0_hz[voiced])) == pytest.approx(0, abs=HALF_STEP_ST + 1e-5)
    assert contour_level_dbfs(found) == pytest.approx(level_dbfs, abs=LEVEL_STEP_DB / 2 + 1e-4)


@given(st.integers(POINTS + 1, 5_000), st.integers(0, 1_000))
def test_point_of_a_long_turn_is_median_f0_if_half_is_voiced_and_greatest_level(frames: int, seed: int) -> None:
    f0_hz, level_dbfs = tracks(frames, seed)
    found = contour(f0_hz, level_dbfs)
    each = round(found.hop_ms / 10)
    heard, levels = contour_f0_hz(found), contour_level_dbfs(found)
    for point in range(len(found.f0)):
        here = f0_hz[point * each : (point + 1) * each]
        voiced = np.sort(here[np.isfinite(here)])
        if 2 * len(voiced) < len(here):
            assert np.isnan(heard[point])
        else:
            assert abs(12 * np.log2(heard[point] / voiced[(len(voiced) - 1) // 2])) <= HALF_STEP_ST + 1e-5
        loudest = level_dbfs[point * each : (point + 1) * each].max()
        assert abs(levels[point] - loudest) <= LEVEL_STEP_DB / 2 + 1e-4


def test_unvoiced_and_silent_are_0_and_read_as_nothing() -> None:
    found = contour(np.full(3, np.nan, np.float32), np.full(3, -120, np.float32))
    assert (found.f0, found.level) == (bytes(3), bytes(3))
    assert np.isnan(contour_f0_hz(found)).all()
    assert np.isnan(contour_level_dbfs(found)).all()


def test_what_is_over_full_scale_is_drawn_at_full_scale() -> None:
    found = contour(np.full(1, 500, np.float32), np.full(1, 120, np.float32))
    assert contour_level_dbfs(found) == pytest.approx([0.0])
