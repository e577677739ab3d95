"""A measured turn: a received turn with what its audio says (`turns.measured`)."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from schemas.features import Features, numeric_features
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
    "measuring_failed",
    "timed_out",
]


PAUSE_MS = 200
"""Shorter silences belong to speech: 180 to 200 ms is the usual threshold (Heldner & Edlund 2010)."""


class SpeechSegment(Struct, frozen=True, array_like=True, gc=False):
    """A stretch of voice activity, half open, in ms from the start of the turn; two are a pause apart at least."""

    start_ms: int
    end_ms: int


class Contour(Struct, frozen=True, gc=False):
    """F0 and level along the turn, for drawing: at most 600 points each, one byte a point.

    Point i stands for the stretch [i, i + 1) * hop_ms from the turn's start.
    """

    hop_ms: Annotated[float, Meta(ge=1, le=1_000_000, description="Length of a point's stretch [ms].")]
    f0: Annotated[
        bytes, Meta(max_length=600, description="0: unvoiced; else 50 * 2 ** ((byte - 1) / 64) Hz, 1 to 255.")
    ]
    level: Annotated[bytes, Meta(max_length=600, description="0: silent; else -102 + 0.4 * byte dBFS, 1 to 255.")]

    def __post_init__(self) -> None:
        if len(self.f0) != len(self.level):
            raise ValueError(
                f"f0 has {len(self.f0)} points and level {len(self.level)}: they are of the same stretches"
            )


class MeasuredTurn(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="turn"):
    """A turn on `turns.measured`."""

    turn: ReceivedTurn
    features: Features = Features()
    segments: list[SpeechSegment] = []
    contour: Annotated[Contour | None, Meta(description="F0 and level along the turn; None without acoustics.")] = None
    not_measured_reason: Annotated[
        NotMeasuredReason | None, Meta(description="Why there are no acoustics; None when there are.")
    ] = None
    audio_length_differs: Annotated[
        bool, Meta(description="The audio is more than 200 ms longer or shorter than the turn.")
    ] = False
    features_version: Annotated[str, Meta(description="Version of the code that measured.")]

    @property
    def measured(self) -> list[str]:
        """Names of the features that hold a number, in the table's order."""
        return [name for name in numeric_features() if getattr(self.features, name) is not None]
