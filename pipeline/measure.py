"""The measuring of one turn: decoding, tracks, voice activity and features put together. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec
import numpy as np

from pipeline.audio.activity import speech_segments
from pipeline.audio.decode import NotMeasured, Sound, decode
from pipeline.audio.resample import resample
from pipeline.dialogue.lexicon import without_tags
from pipeline.dsp.contour import contour
from pipeline.dsp.features import features
from pipeline.dsp.frames import analysis_rate
from pipeline.dsp.tracks import Tracks, measure_tracks
from pipeline.not_measured import not_measured
from pipeline.version import VERSION
from schemas.features import F0Estimator, Features
from schemas.measured import MeasuredTurn, SpeechSegment
from schemas.turn import ReceivedTurn

LENGTH_DIFFERS_MS = 200
"""Audio whose length differs by more from the turn's is flagged."""

_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uff66-\uff9f]")
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese are written without spaces between words."""

LOUDEST = np.float32(1e6)
"""A float file may hold samples whose squares no float32 holds; full scale is 1."""


class Measurement(NamedTuple):
    """All that is measured of a sound."""

    features: Features
    segments: list[SpeechSegment]
    tracks: Tracks


def measure(
    turn: ReceivedTurn, data: bytes, *, longest_s: float, estimator: F0Estimator = "autocorrelation"
) -> MeasuredTurn:
    """The turn with what its audio says.

    data : the audio's bytes, `turn.audio` says how to read them. What can't be measured gives a turn with its
    `not_measured_reason`, never an exception.
    """
    if turn.audio is None:
        return not_measured(turn, "no_audio")
    try:
        sound = decode(data, turn.audio, longest_s=longest_s)
    except NotMeasured as error:
        return not_measured(turn, error.not_measured_reason)
    turn_ms = turn.ended_at - turn.started_at
    differs = abs(sound.duration_ms - turn_ms) > LENGTH_DIFFERS_MS
    # Sample 0 is at started_at; what speaks after ended_at belongs to no turn.
    inside = Sound(sound.samples[: round(turn_ms * sound.rate / 1000)], sound.rate)
    if not len(inside.samples):
        return msgspec.structs.replace(not_measured(turn, "empty"), audio_length_differs=differs)
    # Of a sound that lacks a part of the turn nobody can say which of the words are in it.
    whole = turn_ms - sound.duration_ms <= LENGTH_DIFFERS_MS
    found = measure_sound(inside, words=_words(turn) if whole else None, estimator=estimator)
    return MeasuredTurn(
        turn=turn,
        features=found.features,
        segments=found.segments,
        contour=contour(found.tracks.f0_hz, found.tracks.level_dbfs),
        audio_length_differs=differs,
        features_version=VERSION if estimator == "autocorrelation" else f"{VERSION}+{estimator}",
    )


def measure_sound(sound: Sound, *, words: int | None = None, estimator: F0Estimator = "autocorrelation") -> Measurement:
    """Features, speech and tracks of a sound. words : spoken in it, None when not known."""
    if max(sound.samples.max(), -sound.samples.min()) > LOUDEST:
        sound = Sound(np.clip(sound.samples, -LOUDEST, LOUDEST), sound.rate)
    analysed = resample(_without_offset(sound), analysis_rate(sound.rate))
    tracks = measure_tracks(analysed, estimator)
    segments = speech_segments(tracks)
    return Measurement(features(tracks, analysed, sound, segments, words), segments, tracks)


def _without_offset(sound: Sound) -> Sound:
    """A constant offset is no sound: alone it is digital silence."""
    return Sound(sound.samples - np.float32(sound.samples.mean(dtype=np.float64)), sound.rate)


def _words(turn: ReceivedTurn) -> int | None:
    """How many words the turn has; None when neither its words nor its text say."""
    if turn.words:
        return sum(1 for word in turn.words if without_tags(word.w).strip()) or None
    if _UNSPACED.search(turn.text):
        return None
    return len(without_tags(turn.text).split()) or None
