"""Local files, measured as the features stage measures the audio of a turn: the same decoder, limits and features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
from msgspec import Struct

from pipeline.audio.decode import Floats, NotMeasured, Sound, decode
from pipeline.dsp.frames import HOP_S
from pipeline.gateway.audio import sniff
from pipeline.measure import Measurement, measure_sound
from schemas.errors import Refused
from schemas.features import F0Estimator
from schemas.turn import Audio, AudioChannel

TRACK_DECIMALS = 2
"""0.01 Hz and 0.01 dB: far less than can be heard, and half the bytes of all digits."""

Value: TypeAlias = float | int | str | None
"""Of a feature; None is not measured."""


class Raw(NamedTuple):
    """What files without a header hold. sample_rate : Hz."""

    format: Literal["pcm_s16le", "mulaw"]
    sample_rate: int
    channels: int


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How files are read and measured.

    longest_s : longer audio is `too_long`. raw : None where the files' first bytes say what they are.
    """

    longest_s: float
    estimator: F0Estimator = "autocorrelation"
    channel: AudioChannel = "mix"
    raw: Raw | None = None


class MeasuredFile(NamedTuple):
    """name : as `shown_name` gives it. sound : as decoded."""

    name: str
    sound: Sound
    found: Measurement


class Span(Struct, frozen=True):
    """A segment of speech, half open, in seconds from the file's start."""

    start_s: float
    end_s: float


class TrackLists(Struct, frozen=True):
    """Value i stands for the time from i to i + 1 times `hop_s`. f0_hz : None where unvoiced."""

    hop_s: float
    f0_hz: list[float | None]
    level_dbfs: list[float]


class FeaturesOfFile(Struct, frozen=True):
    """What `mise-voice features --json` prints of a file; each feature is there, None where it is not measured."""

    file: str
    features: dict[str, Value]
    segments: list[Span]
    tracks: TrackLists


def measure_file(path: Path, reading: Reading) -> MeasuredFile:
    """The file, measured whole.

    Raises Refused, naming the file, with the reason: `unreadable`, `not_audio` (no format of ours, or no whole number
    of raw frames), or that of NotMeasured.
    """
    name = shown_name(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"{name}: can't be read: {error.strerror or error}", reason="unreadable") from None
    try:
        sound = decode(data, _audio(data, reading), longest_s=reading.longest_s)
    except Refused as error:
        raise Refused(f"{name}: not measured, {error.reason}: {error}", reason=error.reason) from None
    return MeasuredFile(name, sound, measure_sound(sound, estimator=reading.estimator))


def features_of(measured: MeasuredFile) -> FeaturesOfFile:
    """The measured file in the shape of the contract."""
    found = measured.found
    f0_hz, level_dbfs = _rounded(found.tracks.f0_hz), _rounded(found.tracks.level_dbfs)
    return FeaturesOfFile(
        measured.name,
        msgspec.structs.asdict(found.features),
        [Span(segment.start_ms / 1000, segment.end_ms / 1000) for segment in found.segments],
        TrackLists(HOP_S, [None if np.isnan(value) else value for value in f0_hz], level_dbfs),
    )


def shown_name(path: Path) -> str:
    """The path as it was given, as text; what is no UTF-8 in it (file names are bytes) as the replacement character."""
    return os.fsencode(path).decode(errors="replace")


def _audio(data: bytes, reading: Reading) -> Audio:
    """How to decode the bytes, by the rules of the gateway. Raises Refused."""
    if not data:
        raise NotMeasured("empty", "there are no bytes")
    if reading.raw is None:
        found = sniff(data)
        if found is None:
            raise Refused(
                "the first bytes are those of no wav, flac, ogg or mp3; "
                "for raw samples pass --format pcm_s16le or mulaw with --sample-rate",
                reason="not_audio",
            )
        return Audio("", found, len(data), channel=reading.channel)
    raw = reading.raw
    width = (2 if raw.format == "pcm_s16le" else 1) * raw.channels
    if len(data) % width:
        raise Refused(
            f"{len(data)} bytes are no whole number of {raw.format} frames of {width} bytes", reason="not_audio"
        )
    return Audio("", raw.format, len(data), raw.sample_rate, raw.channels, reading.channel)


def _rounded(track: Floats) -> list[float]:
    """float32 [frames] as numbers of few digits; cast only, a float32 is printed with 17."""
    # Adding 0 makes -0.0 a 0.0.
    values: list[float] = (np.round(track.astype(np.float64), TRACK_DECIMALS) + 0.0).tolist()
    return values
