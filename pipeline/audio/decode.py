"""From the bytes of a turn's audio to samples. Pure; codecs are libsndfile's."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import soundfile
from numpy.typing import NDArray

from schemas.errors import Refused
from schemas.measured import NotMeasuredReason
from schemas.turn import Audio, AudioChannel

Floats: TypeAlias = NDArray[np.float32]


class NotMeasured(Refused):
    """Audio that can't be measured: the turn goes on without acoustics and with the reason."""

    def __init__(self, reason: NotMeasuredReason, message: str) -> None:
        super().__init__(message, field="audio_b64", reason=reason)
        self.not_measured_reason: NotMeasuredReason = reason


@dataclass(frozen=True)
class Sound:
    """samples : float32 [n], mono, full scale at ±1, n > 0, finite. rate : Hz."""

    samples: Floats
    rate: int

    @property
    def duration_ms(self) -> float:
        return 1000 * len(self.samples) / self.rate


def decode(data: bytes, audio: Audio, *, longest_s: float) -> Sound:
    """The sound of a turn's audio.

    audio : the format and, for raw formats, rate and channels. longest_s : what declares more is not decoded, so that
        a few bytes can't become gigabytes.
    Raises NotMeasured: `undecodable`, `truncated` (less than the header declares), `empty`, `too_long`, `not_finite`.
    """
    raw = _RAW.get(audio.format)
    try:
        with soundfile.SoundFile(
            io.BytesIO(data),
            **(
                {"samplerate": audio.sample_rate, "channels": audio.channels or 1, "format": "RAW", "subtype": raw}
                if raw
                else {}
            ),
        ) as file:
            rate, declared = file.samplerate, file.frames
            if declared > longest_s * rate:
                raise NotMeasured(
                    "too_long", f"{declared / rate:.0f} s of audio, at most {longest_s:.0f} s are measured"
                )
            frames: Floats = file.read(dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise NotMeasured("undecodable", f"{audio.format} can't be decoded: {error}") from None
    if len(frames) < declared:
        raise NotMeasured("truncated", f"{len(frames)} of the {declared} frames that the header declares are there")
    if not len(frames):
        raise NotMeasured("empty", "the audio has no samples")
    samples = _channel(frames, audio.channel)
    if not np.isfinite(samples).all():
        raise NotMeasured("not_finite", "the audio has samples that are no numbers")
    return Sound(samples, rate)


_RAW = {"pcm_s16le": "PCM_16", "mulaw": "ULAW"}


def _channel(frames: Floats, channel: AudioChannel) -> Floats:
    """float32 [n, channels] -> [n]: the mean of all channels, or one of them; the last one when there are fewer."""
    if frames.shape[1] == 1 or channel != "mix":
        only: Floats = np.ascontiguousarray(frames[:, 0 if channel == "mix" else min(channel, frames.shape[1] - 1)])
        return only
    mean: Floats = frames.mean(axis=1, dtype=np.float32)
    return mean
