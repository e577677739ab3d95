"""Speech segments, on tone bursts whose edges are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.activity import speech_segments
from pipeline.audio.decode import Floats, Sound

WITHIN_MS = 20

Bursts = list[tuple[int, int]]


def sound(bursts: Bursts, length_ms: int, *, rate: int = 16_000, peak: float = 0.3, noise: float = 0.0) -> Sound:
    """Tones of 200 Hz in [start, end) ms, in silence or noise."""
    at = np.arange(rate * length_ms // 1000) / rate
    samples: Floats = np.zeros(len(at), dtype=np.float32)
    for start, end in bursts:
        inside = (at >= start / 1000) & (at < end / 1000)
        samples[inside] = peak * np.sin(2 * np.pi * 200 * at[inside])
    samples += (noise * np.random.default_rng(0).standard_normal(len(at))).astype(np.float32)
    return Sound(samples, rate)


def segments(heard: Sound) -> Bursts:
    return [(segment.start_ms, segment.end_ms) for segment in speech_segments(heard)]


def assert_near(found: Bursts, expected: Bursts) -> None:
    assert len(found) == len(expected), (found, expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one[0] - other[0]) <= WITHIN_MS, (found, expected)
        assert abs(one[1] - other[1]) <= WITHIN_MS, (found, expected)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 48_000])
def test_bursts_are_found_where_they_are(rate: int) -> None:
    """At 11,025 and 22,050 Hz 10 ms are no whole number of samples: 0.23 % off would be 45 ms here, at the end."""
    bursts = [(500, 900), (1_500, 3_000), (18_000, 19_500)]
    assert_near(segments(sound(bursts, 20_000, rate=rate)), bursts)


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(260, 900), st.integers(120, 900)), min_size=1, max_size=6))
def test_bursts_anywhere_are_found(steps: list[tuple[int, int]]) -> None:
    bursts, at = [], 0
    for pause, length in steps:
        bursts.append((at + pause, at + pause + length))
        at += pause + length
    assert_near(segments(sound(bursts, at + 300, rate=8_000)), bursts)


@settings(max_examples=50)
@given(st.integers(0, 2_000), st.floats(0, 1), st.integers(0, 10_000))
def test_segments_are_sorted_disjoint_and_inside_the_sound(length_ms: int, level: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    gate = np.repeat(random.random(length_ms // 50 + 1) > 0.5, 50 * 8)[: 8 * length_ms]
    samples = (level * gate * random.standard_normal(8 * length_ms)).astype(np.float32)
    edges = [edge for segment in segments(Sound(samples, 8_000)) for edge in segment]
    assert edges == sorted(set(edges))
    assert all(0 <= edge <= length_ms for edge in edges)


def test_own_silence_shorter_than_200_ms_is_speech() -> None:
    assert_near(segments(sound([(300, 600), (760, 1_000)], 1_500)), [(300, 1_000)])
    assert_near(segments(sound([(300, 600), (840, 1_100)], 1_500)), [(300, 600), (840, 1_100)])


def test_click_is_no_speech() -> None:
    assert_near(segments(sound([(300, 320), (800, 1_200)], 1_500)), [(800, 1_200)])


def test_sound_without_pause_is_one_segment() -> None:
    assert_near(segments(sound([(0, 2_000)], 2_000)), [(0, 2_000)])


def test_silence_and_its_noise_are_no_speech() -> None:
    assert segments(sound([], 1_000)) == []
    assert segments(sound([], 1_000, noise=1e-4)) == []


def test_noise_30_db_below_speech_is_no_speech() -> None:
    bursts = [(500, 1_500), (2_000, 3_500)]
    assert_near(segments(sound(bursts, 4_000, noise=0.003)), bursts)


@pytest.mark.parametrize("gain_db", [-30, -12, 6])
def test_gain_moves_no_edge(gain_db: float) -> None:
    bursts = [(500, 900), (1_500, 2_300)]
    gain = 10 ** (gain_db / 20)
    assert segments(sound(bursts, 3_000, peak=0.3 * gain)) == segments(sound(bursts, 3_000))


def test_sound_shorter_than_a_frame_has_none() -> None:
    for length in (1, 319):
        assert speech_segments(Sound(np.full(length, 0.5, dtype=np.float32), 16_000)) == []


def test_samples_far_beyond_full_scale_are_taken() -> None:
    """A float file may hold them; their squares do not fit float32."""
    heard = sound([(300, 900)], 1_200, peak=1e30)
    assert_near(segments(heard), [(300, 900)])
