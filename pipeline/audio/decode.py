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


RATES_HZ = range(1_000, 384_001)
"""Rates at which anything is recorded; below 100 Hz a frame of 10 ms would have no sample."""

BLOCK_FRAMES = 65_536
"""Decoded at once: of the channels of a long recording only their mix is kept."""

UNKNOWN_FRAMES = 2**62
"""libsndfile says 2^63 - 1 where the header leaves the length open, as when it was written to a pipe."""

UNKNOWN_WAV_BYTES = 0x7FFF_0000
"""Sizes from here on are no sizes: ffmpeg, sox and arecord write such ones to a pipe."""


def decode(data: bytes, audio: Audio, *, longest_s: float) -> Sound:
    """The sound of a turn's audio.

    audio : the format and, for raw formats, rate and channels. longest_s : what is longer, or declares to be, is not
        decoded any further, so that a few bytes can't become gigabytes.
    Raises NotMeasured: `undecodable`, `truncated` (less than the header declares), `empty`, `too_long`, `not_finite`.
    """
    if audio.format == "wav" and _is_cut_wav(data):
        raise NotMeasured("truncated", "the data chunk declares more bytes than are there")
    raw = _RAW.get(audio.format)
    layout = (
        {"samplerate": audio.sample_rate, "channels": audio.channels or 1, "format": "RAW", "subtype": raw}
        if raw
        else {}
    )
    try:
        with _Forward(io.BytesIO(data), **layout) as file:
            rate: int = file.samplerate
            if rate not in RATES_HZ:
                raise NotMeasured("undecodable", f"a sample rate of {rate} Hz is none of a recording")
            declared = file.frames if file.frames < UNKNOWN_FRAMES else 0
            samples = _samples(file, audio.channel, declared=declared, longest=int(longest_s * rate))
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        raise NotMeasured("undecodable", f"{audio.format} can't be decoded: {error}") from None
    if len(samples) < declared:
        raise NotMeasured("truncated", f"{len(samples)} of the {declared} frames that the header declares are there")
    if not len(samples):
        raise NotMeasured("empty", "the audio has no samples")
    if not np.isfinite(samples).all():
        raise NotMeasured("not_finite", "the audio has samples that are no numbers")
    return Sound(samples, rate)


class _Forward(soundfile.SoundFile):  # type: ignore[misc] # has no types
    """A file read from its beginning to its end.

    soundfile seeks after each read, which fails where the length is unknown or a lie; so it is told that it can't.
    """

    def seekable(self) -> bool:
        return False


def _samples(file: _Forward, channel: AudioChannel, *, declared: int, longest: int) -> Floats:
    """The channel's samples, float32 [n]. Raises NotMeasured (`too_long`) beyond `longest` frames."""
    blocks: list[Floats] = []
    read = 0
    while max(declared, read) <= longest:
        block: Floats = file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        if not len(block):
            return np.concatenate(blocks) if blocks else np.empty(0, dtype=np.float32)
        blocks.append(_channel(block, channel))
        read += len(block)
    raise NotMeasured("too_long", f"more than the {longest / file.samplerate:g} s of audio that are measured")


def _is_cut_wav(data: bytes) -> bool:
    """Whether a WAV's data chunk declares more bytes than are there; libsndfile takes what there is for all."""
    at = len(b"RIFF....WAVE")
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if data[at : at + 4] == b"data":
            return end > len(data) and size < UNKNOWN_WAV_BYTES
        at = end + size % 2  # chunks start at even places
    return False


_RAW = {"pcm_s16le": "PCM_16", "mulaw": "ULAW"}


def _channel(frames: Floats, channel: AudioChannel) -> Floats:
    """float32 [n, channels] -> [n]: the mean of all channels, or one of them; the last one when there are fewer."""
    if frames.shape[1] == 1 or channel != "mix":
        only: Floats = np.ascontiguousarray(frames[:, 0 if channel == "mix" else min(channel, frames.shape[1] - 1)])
        return only
    mean: Floats = frames.mean(axis=1, dtype=np.float32)
    return mean
