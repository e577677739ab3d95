"""Speech segments, on bursts of a voice whose edges are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.activity import inside, speech_segments
from pipeline.audio.decode import Floats, Sound
from pipeline.dsp.tracks import measure_tracks
from schemas.measured import SpeechSegment

WITHIN_MS = 20

Bursts = list[tuple[int, int]]

RATES = pytest.mark.parametrize("rate", [8_000, 16_000])


def white(length: int, rms: float, seed: int = 0) -> Floats:
    found: Floats = (rms * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)
    return found


def sound(bursts: Bursts, length_ms: int, *, rate: int = 16_000, peak: float = 0.3, noise: float = 0.0) -> Sound:
    """A voice of 130 Hz, its harmonics falling by 6 dB an octave, in [start, end) ms, in silence or noise."""
    at = np.arange(rate * length_ms // 1000) / rate
    voice = sum((np.sin(2 * np.pi * 130 * k * at) / k for k in range(1, int(0.45 * rate / 130))), np.zeros(len(at)))
    on = np.zeros(len(at), bool)
    for start, end in bursts:
        on[start * rate // 1000 : end * rate // 1000] = True
    return Sound((peak / 1.9 * voice * on).astype(np.float32) + white(len(at), noise), rate)


def segments(heard: Sound) -> Bursts:
    return [(segment.start_ms, segment.end_ms) for segment in speech_segments(measure_tracks(heard))]


def assert_near(found: Bursts, expected: Bursts, *, within_ms: int = WITHIN_MS) -> None:
    assert len(found) == len(expected), (found, expected)
    for one, other in zip(found, expected, strict=True):
        assert abs(one[0] - other[0]) <= within_ms, (found, expected)
        assert abs(one[1] - other[1]) <= within_ms, (found, expected)


@RATES
@pytest.mark.parametrize("noise", [0.0, 1e-4, 1e-3])
@pytest.mark.parametrize("pause_ms", [250, 300, 400, 600])
def test_pauses_are_found_where_they_are(rate: int, noise: float, pause_ms: int) -> None:
    """Also at the end of 20 s: no edge drifts."""
    bursts = [(500, 900), (900 + pause_ms, 2_400), (18_000, 18_500), (18_500 + pause_ms, 19_600)]
    assert_near(segments(sound(bursts, 20_000, rate=rate, noise=noise)), bursts)


@settings(max_examples=50)
@given(st.sampled_from([8_000, 16_000]), st.lists(st.tuples(st.integers(250, 900), st.integers(120, 900)), max_size=6))
def test_bursts_anywhere_are_found(rate: int, steps: list[tuple[int, int]]) -> None:
    bursts, at = [], 0
    for pause, length in steps:
        bursts.append((at + pause, at + pause + length))
        at += pause + length
    assert_near(segments(sound(bursts, at + 300, rate=rate)), bursts)


@settings(max_examples=100)
@given(st.sampled_from([8_000, 16_000]), st.integers(1, 16_000), st.floats(0, 1), st.integers(0, 10_000))
def test_segments_are_sorted_disjoint_on_the_grid_and_inside_the_sound(
    rate: int, length: int, level: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    gate = np.repeat(random.random(length // 400 + 1) > 0.5, 400)[:length]
    heard = Sound((level * gate * random.standard_normal(length)).astype(np.float32), rate)
    found = segments(heard)
    edges = [edge for segment in found for edge in segment]
    assert edges == sorted(set(edges))
    assert all(edge % 10 == 0 for edge in edges)
    assert all(0 <= edge <= heard.duration_ms for edge in edges)
    assert all(end - start >= 50 for start, end in found)
    assert all(start - end >= 200 for (_, end), (start, _) in pairwise(found))


@RATES
def test_own_silence_shorter_than_200_ms_is_speech(rate: int) -> None:
    assert_near(segments(sound([(300, 600), (760, 1_000)], 1_500, rate=rate)), [(300, 1_000)])
    assert_near(segments(sound([(300, 600), (840, 1_100)], 1_500, rate=rate)), [(300, 600), (840, 1_100)])


@RATES
def test_click_is_no_speech(rate: int) -> None:
    assert_near(segments(sound([(300, 320), (800, 1_200)], 1_500, rate=rate)), [(800, 1_200)])


@RATES
def test_sound_without_pause_is_one_segment(rate: int) -> None:
    """It has no noise to stand out of: that it is loud and periodic has to do."""
    assert_near(segments(sound([(0, 2_000)], 2_000, rate=rate)), [(0, 2_000)])


@RATES
@pytest.mark.parametrize(
    "samples",
    [np.zeros(16_000), np.full(16_000, 0.5), white(16_000, 1e-4), white(16_000, 0.03)],
    ids=["silence", "constant", "soft noise", "noise"],
)
def test_what_has_no_voice_and_no_change_is_no_speech(rate: int, samples: Floats) -> None:
    assert segments(Sound(samples.astype(np.float32), rate)) == []


@RATES
@pytest.mark.parametrize("seed", range(3))
def test_no_more_than_a_tenth_of_a_long_noise_is_taken_for_speech(rate: int, seed: int) -> None:
    """Somewhere in it a few frames stand out by chance, and what lies around them is taken with them: about 5 %."""
    found = segments(Sound(white(20 * rate, 0.1, seed), rate))
    assert sum(end - start for start, end in found) < 2_000


@RATES
def test_little_of_a_long_rumble_is_taken_for_speech(rate: int) -> None:
    """Low-passed noise is periodic now and then, and loud when it is. 40 % of it was speech once."""
    rumble = scipy.signal.sosfilt(
        scipy.signal.butter(2, [20, 150], "bandpass", fs=rate, output="sos"), white(20 * rate, 0.1)
    )
    found = segments(Sound(rumble.astype(np.float32), rate))
    assert sum(end - start for start, end in found) < 3_000


@RATES
def test_speech_10_db_over_white_noise_is_found(rate: int) -> None:
    """Its edges less sharply: a stretch grows while it stands a third as far out."""
    bursts = [(500, 1_500), (2_000, 3_500)]
    heard = sound(bursts, 4_000, rate=rate)
    voice = heard.samples[rate : rate * 3 // 2]
    noise = np.sqrt(np.mean(np.square(voice))) * 10 ** (-10 / 20)
    assert_near(segments(sound(bursts, 4_000, rate=rate, noise=float(noise))), bursts, within_ms=40)


@RATES
def test_ending_that_fades_into_the_noise_belongs_to_the_speech_it_touches(rate: int) -> None:
    """25 dB in its last 300 ms, to under the noise; on its own its last 50 ms would stand out too little."""
    heard = sound([(500, 1_300)], 3_000, rate=rate)
    at = np.arange(len(heard.samples)) / rate
    fading = heard.samples * 10 ** (-25 / 20 * np.clip((at - 1) / 0.3, 0, 1))
    found = segments(Sound(fading.astype(np.float32) + white(len(at), 0.01), rate))
    assert_near(found, [(500, 1_300)], within_ms=40)


def test_what_is_far_under_the_speech_is_none() -> None:
    loud, soft = sound([(300, 900)], 3_000), sound([(1_500, 2_300)], 3_000, peak=0.3 * 10 ** (-40 / 20))
    assert_near(segments(Sound(loud.samples + soft.samples, loud.rate)), [(300, 900)])


@settings(max_examples=30)
@given(st.floats(-25, 10), st.sampled_from([8_000, 16_000]))
def test_gain_moves_no_edge(gain_db: float, rate: int) -> None:
    """While the softest frame that counts stays over -65 dBFS."""
    bursts = [(500, 900), (1_500, 2_300)]
    heard = sound(bursts, 3_000, rate=rate, noise=1e-3)
    louder = Sound(heard.samples * np.float32(10 ** (gain_db / 20)), rate)
    assert segments(louder) == segments(heard)


def test_speech_under_minus_65_dbfs_is_not_heard() -> None:
    bursts = [(500, 900), (1_500, 2_300)]
    assert_near(segments(sound(bursts, 3_000, peak=0.01)), bursts)
    assert segments(sound(bursts, 3_000, peak=0.0005)) == []


@RATES
def test_sound_shorter_than_speech_has_none(rate: int) -> None:
    for length in (1, rate // 100 - 1, rate // 25):
        assert segments(Sound(np.full(length, 0.5, dtype=np.float32), rate)) == []


@given(st.lists(st.integers(0, 50), max_size=10, unique=True).map(sorted))
def test_frames_are_inside_exactly_where_their_segments_are(edges: list[int]) -> None:
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    found = inside([SpeechSegment(10 * start, 10 * end) for start, end in pairs], 50)
    assert found.tolist() == [any(start <= frame < end for start, end in pairs) for frame in range(50)]
