"""The feature table's values for a turn, put together from tracks, samples and segments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.audio.activity import inside
from pipeline.audio.decode import Floats, Sound
from pipeline.dsp import intonation, loudness, rhythm
from pipeline.dsp.periods import perturbation
from pipeline.dsp.spectrum import tilt_db_per_octave
from pipeline.dsp.timing import Timing, timing
from pipeline.dsp.tracks import Tracks
from schemas.features import Features
from schemas.measured import SpeechSegment

Value = float | int | str | None

DIGITS = 7
"""Significant ones that are kept: as many as a Float32 column holds."""


def features(
    tracks: Tracks, sound: Sound, original: Sound, segments: Sequence[SpeechSegment], words: int | None
) -> Features:
    """The features of a turn.

    tracks : of `sound`, which is at an analysis rate and without an offset. original : as decoded, for what filters
    would change. segments : its speech. words : how many were spoken, None when not known.
    """
    speech = inside(segments, len(tracks))
    voiced = speech & np.isfinite(tracks.f0_hz)
    duration_s = original.duration_ms / 1000
    spoken = timing(segments, duration_s)
    values: dict[str, Value] = {
        "duration_s": duration_s,
        **_time(spoken, duration_s),
        **_loudness(tracks, sound, original, speech),
        **_voice(tracks, speech, voiced),
    }
    if spoken is not None:
        values |= _pitch(tracks, speech, voiced, end_s=segments[-1].end_ms / 1000)
        values |= _perturbation(tracks, sound, voiced)
        values |= _rhythm(tracks, speech, spoken, duration_s, words)
    return Features(**{name: _kept(value) for name, value in values.items()})  # type: ignore[arg-type]


def _time(spoken: Timing | None, duration_s: float) -> Mapping[str, Value]:
    if spoken is None:
        return {"speech_s": 0.0, "speech_ratio": 0.0}
    count, total_s = len(spoken.pauses_s), sum(spoken.pauses_s)
    return {
        "speech_s": spoken.speech_s,
        "speech_ratio": spoken.speech_s / duration_s,
        "leading_silence_s": spoken.leading_silence_s,
        "trailing_silence_s": spoken.trailing_silence_s,
        "pause_count": count,
        "pause_total_s": total_s,
        "pause_longest_s": max(spoken.pauses_s, default=None),
        "pause_mean_s": total_s / count if count else None,
    }


def _loudness(tracks: Tracks, sound: Sound, original: Sound, speech: NDArray[np.bool_]) -> Mapping[str, Value]:
    noise_floor_dbfs, snr_db = loudness.noise_and_snr(tracks.power, speech)
    levels = tracks.level_dbfs[speech]
    return {
        "level_dbfs": loudness.level_dbfs(original.samples),
        "active_level_dbfs": loudness.active_level_dbfs(sound),
        "loudness_lufs": loudness.loudness_lufs(tracks.weighted_power),
        "level_range_db": loudness.level_range_db(levels),
        "level_slope_db_per_s": loudness.level_slope_db_per_s(tracks.times_s[speech], levels),
        "peak_dbfs": loudness.peak_dbfs(original.samples),
        "clipped_ratio": loudness.clipped_ratio(original.samples),
        "noise_floor_dbfs": noise_floor_dbfs,
        "snr_db": snr_db,
    }


def _pitch(
    tracks: Tracks, speech: NDArray[np.bool_], voiced: NDArray[np.bool_], *, end_s: float
) -> Mapping[str, Value]:
    f0_hz, times_s = tracks.f0_hz[voiced], tracks.times_s[voiced]
    values: dict[str, Value] = {"voiced_fraction": float(voiced.sum() / speech.sum())}
    found = intonation.distribution(f0_hz)
    if found is None:
        return values
    movement_st = intonation.final_movement_st(times_s, f0_hz, end_s=end_s)
    return values | {
        **{f"f0_{name}": value for name, value in found._asdict().items()},
        "f0_slope_st_per_s": intonation.slope_st_per_s(times_s, f0_hz),
        "f0_final_st": movement_st,
        "final_contour": None if movement_st is None else intonation.final_contour(movement_st),
    }


def _voice(tracks: Tracks, speech: NDArray[np.bool_], voiced: NDArray[np.bool_]) -> Mapping[str, Value]:
    values: dict[str, Value] = {}
    if speech.any():
        flux = tracks.flux[speech]
        values["spectral_centroid_hz"] = _mean(tracks.centroid_hz[speech])
        values["spectral_flux"] = _mean(flux[np.isfinite(flux)])
    if voiced.sum() >= intonation.FEWEST_FRAMES:
        strength = tracks.strength[voiced].astype(np.float64)
        values |= {
            "hnr_db": _mean(10 * np.log10(strength / (1 - strength))),
            "cpp_db": _mean(tracks.cpp_db[voiced]),
            "spectral_tilt_db_per_octave": tilt_db_per_octave(tracks.bands[voiced].mean(axis=0, dtype=np.float64)),
            "alpha_ratio_db": _mean(tracks.alpha_ratio_db[voiced]),
            "hammarberg_db": _mean(tracks.hammarberg_db[voiced]),
        }
    return values


def _perturbation(tracks: Tracks, sound: Sound, voiced: NDArray[np.bool_]) -> Mapping[str, Value]:
    found = perturbation(sound, np.where(voiced, tracks.f0_hz, np.float32(np.nan)))
    return {"jitter_local": found.jitter, "shimmer_local": found.shimmer}


def _rhythm(
    tracks: Tracks, speech: NDArray[np.bool_], spoken: Timing, duration_s: float, words: int | None
) -> Mapping[str, Value]:
    nuclei = rhythm.syllable_nuclei(tracks, speech)
    hesitations = len(spoken.pauses_s) + rhythm.held_sounds(tracks, speech)
    return {
        "hesitation_rate": 60 * hesitations / spoken.span_s,
        "syllable_count": len(nuclei),
        "syllable_rate": len(nuclei) / duration_s,
        "articulation_rate": len(nuclei) / spoken.speech_s,
        "words_per_minute": None if words is None else 60 * words / spoken.span_s,
        "rate_variation": rhythm.rate_variation(nuclei, speech),
        "emphasis_count": rhythm.emphasis_count(tracks, nuclei),
    }


def _mean(values: Floats | NDArray[np.float64]) -> float | None:
    return float(values.mean(dtype=np.float64)) if len(values) else None


def _kept(value: Value) -> Value:
    """Floats to DIGITS significant digits; what is not finite was not measured."""
    if not isinstance(value, float):
        return value
    return float(f"{value:.{DIGITS}g}") if np.isfinite(value) else None
