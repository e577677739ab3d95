"""The measuring of one turn: decoding, voice activity and features put together. Pure."""

from __future__ import annotations

import msgspec

from pipeline.audio.activity import speech_segments
from pipeline.audio.decode import NotMeasured, Sound, decode
from pipeline.dsp.level import level_dbfs
from pipeline.version import VERSION
from schemas.measured import Features, MeasuredTurn, NotMeasuredReason, SpeechSegment
from schemas.turn import ReceivedTurn

LENGTH_DIFFERS_MS = 200
"""Audio whose length differs by more from the turn's is flagged."""


def not_measured(turn: ReceivedTurn, reason: NotMeasuredReason) -> MeasuredTurn:
    """The turn without acoustics, and why."""
    return MeasuredTurn(turn=turn, not_measured_reason=reason, features_version=VERSION)


def measure(turn: ReceivedTurn, data: bytes, *, longest_s: float) -> MeasuredTurn:
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
    segments = speech_segments(inside)
    features = measured_features(inside, segments)
    return MeasuredTurn(
        turn=turn,
        features=features,
        segments=segments,
        measured=[name for name, value in msgspec.structs.asdict(features).items() if value is not None],
        audio_length_differs=differs,
        features_version=VERSION,
    )


def measured_features(sound: Sound, segments: list[SpeechSegment]) -> Features:
    """The feature table's values for a sound. segments : its speech."""
    return Features(
        duration_s=sound.duration_ms / 1000,
        speech_s=sum(segment.end_ms - segment.start_ms for segment in segments) / 1000,
        level_dbfs=level_dbfs(sound.samples),
    )
