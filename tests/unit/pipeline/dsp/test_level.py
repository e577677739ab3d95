"""Levels: closed forms and laws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.audio.decode import Floats
from pipeline.dsp.level import FLOOR_DBFS, frame_levels_dbfs, level_dbfs

RATE = 16_000


def tone(peak: float, *, hz: float = 1_000) -> Floats:
    return (peak * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


def level(samples: Floats) -> float:
    found = level_dbfs(samples)
    assert found is not None
    return found


def test_sine_at_full_scale_is_minus_3_01() -> None:
    assert level(tone(1.0)) == pytest.approx(-3.0103, abs=1e-3)


def test_square_wave_at_full_scale_is_0() -> None:
    assert level(np.sign(tone(1.0, hz=999.5)) + np.float32(0)) == pytest.approx(0.0, abs=2e-3)
    assert level(np.array([1, -1] * 100, dtype=np.float32)) == 0.0


def test_digital_silence_has_no_level() -> None:
    assert level_dbfs(np.zeros(100, dtype=np.float32)) is None


@pytest.mark.parametrize("gain_db", [-60, -6.0206, 6.0206, 20])
def test_gain_moves_the_level_by_itself(gain_db: float) -> None:
    gain = np.float32(10 ** (gain_db / 20))
    assert level(tone(0.1) * gain) - level(tone(0.1)) == pytest.approx(gain_db, abs=1e-4)


SIGNALS = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=200).map(lambda x: np.array(x, dtype=np.float32))


@given(SIGNALS)
def test_level_is_finite_or_none_and_at_most_full_scale(samples: Floats) -> None:
    found = level_dbfs(samples)
    assert (found is None) == (not np.square(samples, dtype=np.float64).any())
    assert found is None or -np.inf < found <= 0


@given(SIGNALS, st.integers(1, 20), st.integers(0, 20))
def test_frames_are_those_of_the_definition(samples: Floats, hop: int, more: int) -> None:
    frame = hop + more
    found = frame_levels_dbfs(samples, frame=frame, hop=hop)
    assert found.dtype == np.float32
    starts = range(0, len(samples) - frame + 1, hop)
    assert len(found) == len(starts)
    for one, start in zip(found, starts, strict=True):
        expected = level_dbfs(samples[start : start + frame])
        assert one == pytest.approx(max(FLOOR_DBFS, FLOOR_DBFS if expected is None else expected), abs=1e-3)
