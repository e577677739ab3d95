"""A measured turn: a received turn with what its audio says (`turns.measured`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.turn import ReceivedTurn

NotMeasuredReason = Literal[
    "no_audio",
    "blob_missing",
    "undecodable",
    "truncated",
    "empty",
    "not_finite",
    "too_long",
    "decoder_crashed",
]


class Features(Struct, frozen=True, omit_defaults=True):
    """The acoustic features of a turn: this struct is the feature table, its names are the columns of `mise.turns`.

    None (NULL) is "not measured", never zero.
    """

    duration_s: Annotated[
        float | None,
        Meta(description="Length of the audio inside the turn [s].", extra={"unit": "s", "source": "samples"}),
    ] = None
    speech_s: Annotated[
        float | None,
        Meta(
            description="Time in speech segments [s], by the energy rule of pipeline.audio.activity.",
            extra={"unit": "s", "source": "energy rule"},
        ),
    ] = None
    level_dbfs: Annotated[
        float | None,
        Meta(
            description="RMS level over the turn [dB re full scale; square wave at full scale 0, sine -3.01]; "
            "not measured for digital silence.",
            extra={"unit": "dBFS", "source": "RMS"},
        ),
    ] = None


class SpeechSegment(Struct, frozen=True, array_like=True):
    """A stretch of voice activity, half open, in ms from the start of the turn."""

    start_ms: int
    end_ms: int


class MeasuredTurn(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="turn"):
    """A turn on `turns.measured`."""

    turn: ReceivedTurn
    features: Features = Features()
    segments: list[SpeechSegment] = []
    measured: Annotated[list[str], Meta(description="Names of the features that hold a number.")] = []
    not_measured_reason: Annotated[
        NotMeasuredReason | None, Meta(description="Why there are no acoustics; None when there are.")
    ] = None
    audio_length_differs: Annotated[
        bool, Meta(description="The audio is more than 200 ms longer or shorter than the turn.")
    ] = False
    features_version: Annotated[str, Meta(description="Version of the code that measured.")]
