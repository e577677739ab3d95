"""The measuring of one turn: what is inside the turn counts, what can't be measured says why, no input is too bad."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.audio.decode import Floats, Sound
from pipeline.measure import Measurement, measure, measure_sound
from pipeline.not_measured import not_measured
from pipeline.version import VERSION
from schemas.features import F0Estimator, Features
from schemas.measured import MeasuredTurn
from schemas.turn import Audio, ReceivedTurn, Word
from tests.records import T0, received_turn

RATE = 16_000


def tone(seconds: float, *, rate: int = RATE, peak: float = 0.5) -> bytes:
    file = io.BytesIO()
    samples = peak * np.sin(2 * np.pi * 200 * np.arange(round(rate * seconds)) / rate)
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def wav(samples: NDArray[Any], rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="FLOAT")
    return file.getvalue()


def voice(rate: int, seconds: float) -> Floats:
    """Syllables of a voice that falls from 160 to 120 Hz, five a second, with half a second of silence in the middle
    and 0.3 s at the end."""
    at = np.arange(round(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(160 - 40 * at / seconds) / rate
    source = sum(np.sin(k * phase) / k for k in range(1, int(0.45 * rate / 160)))
    on = (np.abs(at - seconds / 2) > 0.25) & (at < seconds - 0.3)
    found: Floats = (0.1 * source * np.sin(np.pi * 5 * at) ** 2 * on).astype(np.float32)
    return found


def turn_of(length_ms: int, *, audio: Audio | None = None, **more: Any) -> ReceivedTurn:
    return received_turn(0, length_ms, audio=audio or Audio("key", "wav", 0), **more)


def measured(data: bytes, length_ms: int = 1000) -> MeasuredTurn:
    return measure(turn_of(length_ms), data, longest_s=60)


def test_turn_is_passed_on_as_it_came() -> None:
    assert measured(tone(1)).turn == turn_of(1000)


def numbers(features: Features) -> dict[str, Any]:
    return {name: value for name, value in msgspec.structs.asdict(features).items() if value is not None}


SHARES = ("speech_ratio", "clipped_ratio", "voiced_fraction")
SIGNED = {"level_slope_db_per_s", "snr_db", "f0_slope_st_per_s", "f0_final_st", "hnr_db", "cpp_db"}
"""Numbers that may be negative, and no levels."""


def assert_sane(features: Features, duration_s: float) -> None:
    """What holds of the features of any sound."""
    found = numbers(features)
    for name, value in found.items():
        if name == "final_contour":
            assert value in ("rise", "fall", "level")
            continue
        assert np.isfinite(value), (name, value)
        assert value == float(f"{value:.7g}"), (name, value)
        if not name.endswith(("_dbfs", "_lufs", "_ratio_db", "_octave", "hammarberg_db")) and name not in SIGNED:
            assert value >= 0, (name, value)
    for name in SHARES:
        assert 0 <= found.get(name, 0) <= 1, (name, found[name])
    assert found["duration_s"] == pytest.approx(duration_s, rel=1e-6)
    assert found["speech_s"] + found.get("leading_silence_s", 0) <= duration_s + 0.001
    if "f0_median_hz" in found:
        assert 75 <= found["f0_p5_hz"] <= found["f0_median_hz"] <= found["f0_p95_hz"] <= 500
    if not found["speech_s"]:
        told = {"duration_s", "speech_s", "speech_ratio", "level_dbfs", "active_level_dbfs", "loudness_lufs"}
        told |= {"peak_dbfs", "clipped_ratio", "noise_floor_dbfs"}
        assert found.keys() <= told


def assert_sane_turn(found: MeasuredTurn) -> None:
    assert (found.contour is None) == (found.not_measured_reason is not None)
    assert found.measured == [name for name in numbers(found.features) if name != "final_contour"]  # it is a word
    if found.not_measured_reason is not None:
        assert (found.measured, found.segments) == ([], [])
        return
    duration_s = found.features.duration_s
    assert duration_s is not None
    assert_sane(found.features, duration_s)
    in_segments_s = sum(s.end_ms - s.start_ms for s in found.segments) / 1000
    assert found.features.speech_s == pytest.approx(min(duration_s, in_segments_s))


def test_tone_has_its_length_its_speech_its_level_and_its_pitch() -> None:
    found = measured(tone(1))
    assert found.features.duration_s == 1.0
    assert found.features.speech_s == pytest.approx(1.0, abs=0.02)
    assert found.features.level_dbfs == pytest.approx(-6.02 - 3.01, abs=0.01)
    assert found.features.f0_median_hz == pytest.approx(200, rel=0.001)
    assert found.contour is not None
    assert (found.not_measured_reason, found.audio_length_differs) == (None, False)
    assert found.features_version == VERSION


def test_digital_silence_has_a_length_and_no_level() -> None:
    found = measured(tone(1, peak=0))
    assert found.features == Features(duration_s=1.0, speech_s=0.0, speech_ratio=0.0)
    assert found.measured == ["duration_s", "speech_s", "speech_ratio"]
    assert found.segments == []
    assert found.contour is not None


@pytest.mark.parametrize(
    ("audio_ms", "turn_ms", "duration_s", "differs"),
    [
        (1000, 1000, 1.0, False),
        (1000, 800, 0.8, False),
        (1000, 799, 0.799, True),
        (1000, 1200, 1.0, False),
        (1000, 1201, 1.0, True),
        (3000, 500, 0.5, True),
    ],
)
def test_sound_is_cut_at_the_end_of_the_turn_and_a_great_difference_is_flagged(
    audio_ms: int, turn_ms: int, duration_s: float, differs: bool
) -> None:
    found = measured(tone(audio_ms / 1000), turn_ms)
    assert found.features.duration_s == pytest.approx(duration_s, abs=1e-4)
    assert found.audio_length_differs == differs
    assert all(segment.end_ms <= turn_ms for segment in found.segments)
    assert found.features.speech_s == pytest.approx(duration_s, abs=0.03)


def test_turn_without_length_has_no_acoustics_whatever_its_audio() -> None:
    found = measured(tone(1), 0)
    assert (found.not_measured_reason, found.features, found.measured) == ("empty", Features(), [])
    assert found.audio_length_differs


def test_speech_is_the_sum_of_the_segments() -> None:
    silence, loud = np.zeros(RATE // 2), 0.5 * np.sin(np.arange(RATE // 2) / 10)
    file = io.BytesIO()
    soundfile.write(file, np.concatenate([loud, silence, loud, silence]), RATE, format="WAV")
    found = measured(file.getvalue(), 2000)
    assert len(found.segments) == 2
    assert found.features.speech_s == sum(s.end_ms - s.start_ms for s in found.segments) / 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"RIFF", "truncated"),
        (b"no sound at all", "undecodable"),
        (tone(1)[:2000], "truncated"),
        (tone(0), "empty"),
        (tone(61), "too_long"),
    ],
    ids=["nothing", "beginning", "garbage", "cut", "empty", "long"],
)
def test_what_cannot_be_measured_says_why_and_has_no_number(data: bytes, reason: str) -> None:
    found = measured(data)
    assert found.not_measured_reason == reason
    assert found.features == Features()
    assert (found.measured, found.segments, found.contour, found.turn) == ([], [], None, turn_of(1000))


def test_turn_without_audio_has_no_acoustics() -> None:
    turn = received_turn()
    assert measure(turn, b"", longest_s=60) == not_measured(turn, "no_audio")
    assert not_measured(turn, "blob_missing").not_measured_reason == "blob_missing"


@given(st.sampled_from([8_000, 11_025, 16_000, 44_100]), st.integers(0, 400), st.integers(0, 400))
def test_any_lengths_of_turn_and_sound_are_measured(rate: int, audio_ms: int, turn_ms: int) -> None:
    found = measured(tone(audio_ms / 1000, rate=rate), turn_ms)
    if found.not_measured_reason is None:
        assert found.features.duration_s is not None
        assert found.features.duration_s <= min(audio_ms, turn_ms) / 1000 + 1 / rate
        assert_sane_turn(found)
    else:
        assert found.not_measured_reason == "empty"
        assert 0 in (audio_ms, turn_ms)


@given(st.binary(max_size=200))
def test_garbage_never_costs_the_turn(data: bytes) -> None:
    found: Any = measured(b"RIFF\x24\x10\0\0WAVEfmt " + data)
    assert found.turn == turn_of(1000)


def seconds(rate: int, length_s: float = 1.5) -> NDArray[np.float64]:
    return np.arange(round(length_s * rate)) / rate


def sine(rate: int, hz: float) -> NDArray[np.float64]:
    return np.sin(2 * np.pi * hz * seconds(rate))


def click(rate: int) -> NDArray[np.float64]:
    samples = np.zeros(rate)
    samples[rate // 2] = 1
    return samples


def white(rate: int) -> NDArray[np.float64]:
    return 0.2 * np.random.default_rng(0).standard_normal(2 * rate)


BAD: Mapping[str, Callable[[int], NDArray[Any]]] = {
    "5 ms": lambda rate: 0.5 * sine(rate, 200)[: rate // 200],
    "one sample": lambda _: np.array([0.5]),
    "two samples": lambda _: np.array([0.5, -0.5]),
    "digital silence": np.zeros,
    "only an offset": lambda rate: np.full(rate, 0.25),
    "hum": lambda rate: 0.1 * sine(rate, 50),
    "music": lambda rate: 0.1 * sum((sine(rate, hz) for hz in (261.63, 329.63, 392.0)), np.zeros(1)),
    "white noise": white,
    "square wave at full scale": lambda rate: np.where(sine(rate, 150) >= 0, 1.0, -1.0),
    "two equal channels": lambda rate: np.stack([0.3 * sine(rate, 150)] * 2, axis=1),
    "two opposite channels": lambda rate: np.stack([0.3 * sine(rate, 150), -0.3 * sine(rate, 150)], axis=1),
    "huge": lambda rate: 1e30 * sine(rate, 150),
    "huge noise": lambda rate: 3e38 * np.clip(white(rate), -1, 1),
    "tiny": lambda rate: 1e-38 * sine(rate, 150),
    "a click": click,
    "a click beside speech": lambda rate: np.concatenate([1e6 * click(rate), voice(rate, 2)]),
    "highest pitch": lambda rate: 0.5 * sine(rate, 0.499 * rate),
    "impulses": lambda rate: (np.arange(2 * rate) % (rate // 100) == 0).astype(float),
}


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("name", BAD)
def test_no_sound_gives_a_number_that_is_none(name: str, rate: int) -> None:
    """Warnings of numpy are errors here: nothing overflows, nothing is divided by zero."""
    samples = BAD[name](rate)
    found = measured(wav(samples, rate), max(1, 1000 * len(samples) // rate))
    assert found.not_measured_reason is None
    assert_sane_turn(found)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("declared", [8_000, 48_000])
def test_declared_rate_that_lies_is_believed_and_the_length_tells(rate: int, declared: int) -> None:
    data = (32_767 * voice(rate, 3)).astype("<i2").tobytes()
    turn = turn_of(3000, audio=Audio("key", "pcm_s16le", len(data), declared, 1))
    found = measure(turn, data, longest_s=60)
    assert_sane_turn(found)
    assert found.features.duration_s == pytest.approx(min(3.0, 3 * rate / declared), rel=1e-4)
    assert found.audio_length_differs == (rate != declared)


def test_turn_of_half_an_hour_is_measured() -> None:
    """The tenth part of it silent: what a turn has of everything is the same as of one of three minutes."""
    once = np.concatenate([voice(8_000, 18), np.zeros(16_000, np.float32)])
    found = measure_sound(Sound(np.tile(once, 90), 8_000))
    short = measure_sound(Sound(np.tile(once, 9), 8_000))
    assert_sane(found.features, 1_800)
    assert len(found.segments) == 10 * len(short.segments)
    assert found.features.f0_median_hz == pytest.approx(short.features.f0_median_hz, rel=1e-3)
    assert found.features.level_dbfs == pytest.approx(short.features.level_dbfs, abs=1e-3)


def sane(samples: Floats, rate: int) -> Measurement:
    found = measure_sound(Sound(samples, rate), words=3)
    assert_sane(found.features, len(samples) / rate)
    assert all(0 <= s.start_ms < s.end_ms <= 10 * len(found.tracks) for s in found.segments)
    return found


RATES = st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000])


@settings(max_examples=200)
@given(
    arrays(np.float32, st.integers(1, 2_000), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)),
    RATES,
)
def test_any_samples_are_measured(samples: Floats, rate: int) -> None:
    sane(samples, rate)


@settings(max_examples=100)
@given(st.integers(1, 30_000), RATES, st.floats(0, 3), st.floats(0, 1), st.floats(60, 600), st.integers(0, 1_000))
def test_any_length_of_voice_and_noise_is_measured(
    length: int, rate: int, loud: float, noisy: float, hz: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    phase = 2 * np.pi * hz * np.arange(length) / rate
    gate = np.repeat(random.random(length // 1_000 + 1) > 0.3, 1_000)[:length]
    samples = loud * (np.sin(phase) + 0.5 * np.sin(2 * phase)) * gate + noisy * random.standard_normal(length)
    sane(samples.astype(np.float32), rate)


@pytest.mark.parametrize("rate", [11_025, 12_345, 22_050, 44_100])
def test_speech_from_end_to_end_is_no_more_than_the_whole(rate: int) -> None:
    """Also where the length at the analysis rate is rounded up, to a whole frame."""
    samples = (0.3 * np.sin(2 * np.pi * 250 * np.arange(rate) / rate)).astype(np.float32)
    for hops in range(20, 60):
        length = round(hops * rate / 100 - 0.5)
        found = sane(samples[:length], rate).features
        assert found.speech_ratio is not None
        assert found.speech_ratio > 0.9


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_6_db_more_move_the_levels_by_that_and_nothing_else(rate: int) -> None:
    samples = voice(rate, 4) + (1e-3 * np.random.default_rng(0).standard_normal(4 * rate)).astype(np.float32)
    soft, loud = (numbers(measure_sound(Sound(s, rate), words=9).features) for s in (samples, samples * 2))
    assert soft.keys() == loud.keys() == set(Features.__struct_fields__)
    moved = {"level_dbfs", "active_level_dbfs", "loudness_lufs", "peak_dbfs", "noise_floor_dbfs"}
    for name in soft:
        if name in moved:
            assert loud[name] - soft[name] == pytest.approx(6.0206, abs=0.05), name
        elif name == "final_contour":
            assert loud[name] == soft[name]
        else:
            assert loud[name] == pytest.approx(soft[name], rel=1e-3, abs=1e-3), name


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_silence_at_the_end_changes_what_is_told_of_the_whole_turn_and_of_its_noise_alone(rate: int) -> None:
    samples = voice(rate, 4) + (1e-4 * np.random.default_rng(0).standard_normal(4 * rate)).astype(np.float32)
    longer = np.concatenate([samples, np.zeros(rate, np.float32)])
    before, after = (numbers(measure_sound(Sound(s, rate), words=9).features) for s in (samples, longer))
    assert before.keys() == after.keys()
    whole = {"duration_s", "trailing_silence_s", "speech_ratio", "syllable_rate", "level_dbfs"}
    for name in before.keys() - whole - {"noise_floor_dbfs", "snr_db", "final_contour"}:
        assert after[name] == pytest.approx(before[name], rel=0.005, abs=1e-3), name
    assert after["final_contour"] == before["final_contour"]
    assert after["trailing_silence_s"] - before["trailing_silence_s"] == pytest.approx(1, abs=1e-4)
    assert after["level_dbfs"] - before["level_dbfs"] == pytest.approx(10 * np.log10(4 / 5), abs=1e-3)


def test_offset_is_no_sound() -> None:
    without = voice(RATE, 3)
    found, other = (measure_sound(Sound(s, RATE)).features for s in (without, without + np.float32(0.2)))
    for name in ("level_dbfs", "f0_median_hz", "loudness_lufs", "speech_s", "syllable_count"):
        assert getattr(found, name) == pytest.approx(getattr(other, name), rel=1e-3)


@pytest.mark.parametrize(
    ("text", "words", "count"),
    [
        ("one two three", ["one", "two"], 2),
        ("one two three", None, 3),
        ("one two three", [], 3),
        ("[laughter] one [unintelligible]", None, 2),
        ("", None, None),
        ("[laughter]", None, None),
        ("[laughter] one", ["[laughter]", "one"], 1),
        ("[laughter]", ["[laughter]"], None),
        ("你好 我想取消订单", None, None),
        ("สวัสดีครับ", None, None),
        ("你好", ["你", "好"], 2),
        ("안녕하세요 여러분", None, 2),
    ],
)
def test_words_are_counted_from_the_words_else_from_the_text(
    text: str, words: list[str] | None, count: int | None
) -> None:
    spoken = None if words is None else [Word(w, T0 + 100 * k, T0 + 100 * k + 90) for k, w in enumerate(words)]
    found = measure(turn_of(4000, text=text, words=spoken), wav(voice(RATE, 4), RATE), longest_s=60)
    span_s = (found.segments[-1].end_ms - found.segments[0].start_ms) / 1000
    expected = None if count is None else pytest.approx(60 * count / span_s, rel=1e-5)
    assert found.features.words_per_minute == expected


@pytest.mark.parametrize(("turn_ms", "known"), [(4000, True), (4200, True), (4201, False), (3000, True)])
def test_words_of_a_turn_whose_audio_lacks_a_part_have_no_rate(turn_ms: int, known: bool) -> None:
    found = measure(turn_of(turn_ms, text="one two three"), wav(voice(RATE, 4), RATE), longest_s=60)
    assert (found.features.words_per_minute is not None) == known


def test_level_is_that_of_the_samples_as_they_came() -> None:
    """At 16 kHz, where the rest is measured, half of this would be gone."""
    at = np.arange(48_000) / 48_000
    low, high = (0.2 * np.sin(2 * np.pi * hz * at) for hz in (300, 12_000))
    found = measure_sound(Sound((low + high).astype(np.float32), 48_000)).features
    assert found.level_dbfs == pytest.approx(20 * np.log10(0.2), abs=0.01)
    assert found.active_level_dbfs == pytest.approx(20 * np.log10(0.2 / np.sqrt(2)), abs=0.3)


def test_words_without_speech_have_no_rate() -> None:
    assert measured(tone(1, peak=0)).features.words_per_minute is None


@pytest.mark.parametrize(
    ("estimator", "version"),
    [("autocorrelation", VERSION), ("dio", f"{VERSION}+dio"), ("harvest", f"{VERSION}+harvest")],
)
def test_version_says_which_estimator_measured(estimator: F0Estimator, version: str) -> None:
    found = measure(turn_of(3000), wav(voice(RATE, 3), RATE), longest_s=60, estimator=estimator)
    assert found.features_version == version
    assert found.features.f0_median_hz == pytest.approx(143, rel=0.05)
    assert_sane_turn(found)


@pytest.mark.parametrize("estimator", ["dio", "harvest"])
@pytest.mark.parametrize("name", ["5 ms", "one sample", "digital silence", "huge", "white noise"])
def test_no_sound_is_too_bad_for_the_other_estimators(name: str, estimator: F0Estimator) -> None:
    samples = BAD[name](RATE)
    length_ms = max(1, 1000 * len(samples) // RATE)
    assert_sane_turn(measure(turn_of(length_ms), wav(samples, RATE), longest_s=60, estimator=estimator))
