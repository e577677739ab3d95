"""F0 over a turn: its distribution, slope and final movement, against contours that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.intonation import (
    distribution,
    final_contour,
    final_movement_st,
    semitones,
    slope_st_per_s,
)
from pipeline.dsp.tracks import measure_tracks

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])

Times = NDArray[np.float64]


def of(found: float | None) -> float:
    assert found is not None
    return found


def times(frames: int) -> Times:
    return np.arange(frames, dtype=np.float64) * 0.01 + 0.005


def line(st_per_s: float, frames: int, *, base_hz: float = 150.0) -> Floats:
    found: Floats = (base_hz * 2 ** (st_per_s * times(frames) / 12)).astype(np.float32)
    return found


def sung(f0_hz: NDArray[np.float64], rate: int) -> tuple[Times, Floats]:
    """Times and F0 of the voiced frames of a voice with this F0 at each sample."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate
    harmonics = range(1, int(0.45 * rate / f0_hz.max()))
    source = sum((np.sin(k * phase) / k for k in harmonics), np.zeros(len(phase)))
    samples: Floats = (0.15 * source).astype(np.float32)
    tracks = measure_tracks(Sound(samples, rate))
    voiced = np.isfinite(tracks.f0_hz)
    return tracks.times_s[voiced], tracks.f0_hz[voiced]


@given(st.lists(st.floats(75, 500, width=32), min_size=5, max_size=300).map(lambda x: np.array(x, np.float32)))
def test_distribution_is_ordered_and_inside_what_was_heard(f0_hz: Floats) -> None:
    found = distribution(f0_hz)
    assert found is not None
    lowest, highest = float(f0_hz.min()), float(f0_hz.max())
    assert lowest <= found.p5_hz <= found.median_hz <= found.p95_hz <= highest
    assert lowest - 1e-3 <= found.mean_hz <= highest + 1e-3
    assert 0 <= found.sd_hz <= (highest - lowest) / 2 + 1e-3
    assert found.range_st == pytest.approx(12 * np.log2(found.p95_hz / found.p5_hz), abs=1e-6)


def test_distribution_needs_5_frames() -> None:
    assert distribution(np.full(4, 100, np.float32)) is None
    assert distribution(np.full(5, 100, np.float32)) == (100, 100, 0, 100, 100, 0)


@given(st.floats(75, 250, width=32))
def test_octave_has_12_semitones(hz: float) -> None:
    low, high = semitones(np.array([hz, 2 * np.float32(hz)], np.float32))
    assert high - low == pytest.approx(12)


@given(st.floats(-10, 10), st.integers(52, 400), st.floats(80, 200))
def test_slope_is_that_of_the_line(st_per_s: float, frames: int, base_hz: float) -> None:
    found = slope_st_per_s(times(frames), line(st_per_s, frames, base_hz=base_hz))
    assert of(found) == pytest.approx(st_per_s, abs=1e-3)


@given(st.floats(-6, 6), st.sampled_from([0.5, 2.0]), st.integers(0, 100))
def test_octave_errors_in_a_tenth_of_the_frames_do_not_move_the_slope(
    st_per_s: float, octave: float, seed: int
) -> None:
    """Nor a stretch of them at an end, where least squares would be moved most: by 3 semitones a second."""
    f0_hz = line(st_per_s, 200)
    scattered, at_end = f0_hz.copy(), f0_hz.copy()
    scattered[np.random.default_rng(seed).choice(200, 20, replace=False)] *= np.float32(octave)
    at_end[-20:] *= np.float32(octave)
    assert of(slope_st_per_s(times(200), scattered)) == pytest.approx(st_per_s, abs=0.3)
    assert of(slope_st_per_s(times(200), at_end)) == pytest.approx(st_per_s, abs=1.0)


def test_slope_needs_half_a_second_and_5_frames() -> None:
    assert slope_st_per_s(times(50), line(3, 50)) is None
    assert slope_st_per_s(times(52), line(3, 52)) is not None
    few = np.array([0.0, 0.3, 0.6, 0.9])
    assert slope_st_per_s(few, np.full(4, 100, np.float32)) is None


@given(st.floats(-20, 20), st.integers(0, 200))
def test_final_movement_is_that_of_the_last_300_ms_alone(st_per_s: float, before: int) -> None:
    tail = line(st_per_s, 30)
    f0_hz = np.concatenate([np.full(before, 300, np.float32), tail])
    found = final_movement_st(times(len(f0_hz)), f0_hz, end_s=len(f0_hz) / 100)
    assert of(found) == pytest.approx(st_per_s * 0.29, abs=0.01)


@pytest.mark.parametrize(("movement_st", "contour"), [(4, "rise"), (-4, "fall"), (0.5, "level"), (-1, "level")])
def test_an_octave_error_turns_no_final_movement(movement_st: float, contour: str) -> None:
    f0_hz = line(movement_st / 0.29, 30)
    f0_hz[-4:] *= np.float32(0.5)
    assert final_contour(of(final_movement_st(times(30), f0_hz, end_s=0.3))) == contour


def test_final_movement_needs_8_frames_in_the_last_half_second() -> None:
    for frames, end_s in ((7, 0.07), (30, 0.9), (3, 0.03)):
        assert final_movement_st(times(frames), line(5, frames), end_s=end_s) is None
    assert final_movement_st(times(8), line(5, 8), end_s=0.08) is not None
    assert final_movement_st(np.empty(0), np.empty(0, np.float32), end_s=1) is None


@pytest.mark.parametrize(
    ("movement_st", "contour"),
    [(1.5, "rise"), (1.49, "level"), (0.0, "level"), (-1.49, "level"), (-1.5, "fall"), (-9.0, "fall")],
)
def test_contour_is_a_movement_from_1_5_semitones_on(movement_st: float, contour: str) -> None:
    assert final_contour(movement_st) == contour


@RATES
@pytest.mark.parametrize("st_per_s", [-6.0, -2.0, 0.0, 4.0])
def test_slope_of_a_sung_line_is_heard(rate: int, st_per_s: float) -> None:
    at = np.arange(round(1.5 * rate)) / rate
    assert of(slope_st_per_s(*sung(170 * 2 ** (st_per_s * at / 12), rate))) == pytest.approx(st_per_s, abs=0.1)


@RATES
@pytest.mark.parametrize(("movement_st", "contour"), [(5, "rise"), (-5, "fall"), (0, "level")])
def test_final_movement_of_a_sung_question_is_heard(rate: int, movement_st: float, contour: str) -> None:
    """Level for a second, then the movement in 300 ms."""
    moved = np.clip((np.arange(round(1.3 * rate)) / rate - 1) / 0.3, 0, 1)
    found = final_movement_st(*sung(150 * 2 ** (movement_st * moved / 12), rate), end_s=1.3)
    assert of(found) == pytest.approx(movement_st, abs=0.6)
    assert final_contour(of(found)) == contour
