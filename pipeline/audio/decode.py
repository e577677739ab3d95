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
from schemas.turn import Audio, AudioChannel, AudioFormat

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

FULL_RATE_HZ = 48_000
"""Memory is bounded by the longest audio at this rate (an hour: 660 MiB); of a higher rate less time is decoded."""

BLOCK_SAMPLES = 65_536
"""Decoded at once, in all channels together: of those only their mix is kept."""

UNKNOWN_FRAMES = 2**62
"""libsndfile says 2^63 - 1 where the header leaves the length open, as when it was written to a pipe."""

UNKNOWN_WAV_BYTES = 0x7FFF_0000
"""Sizes from here on are no sizes: ffmpeg, sox and arecord write such ones to a pipe."""


def decode(data: bytes, audio: Audio, *, longest_s: float) -> Sound:
    """The sound of a turn's audio.

    audio : the format and, for raw formats, rate and channels. longest_s : what is longer, or declares to be, is not
        decoded any further, so that a few bytes can't become gigabytes.
    Silence and a constant are sound too. Raises NotMeasured: `undecodable`; `truncated` (it ends before its header
    says; a FLAC that is damaged in its last 8 kB looks the same; a file that declares no length is what is there);
    `empty`; `too_long`; `not_finite`.
    """
    if not data:
        raise NotMeasured("empty", "there are no bytes")
    if audio.format == "mp3":
        data = _without_id3(data)
    layout: dict[str, object] = {}
    if audio.format in _RAW:
        # Raw samples have no header that could be wrong, but declared they are by somebody.
        layout = {"samplerate": audio.sample_rate, "channels": audio.channels or 1}
        layout |= {"format": "RAW", "subtype": _RAW[audio.format]}
    elif not data.startswith(_FIRST_BYTES[audio.format]):
        # libsndfile knows two dozen more containers, whose parsers nobody needs here.
        raise NotMeasured("undecodable", f"the first bytes are those of no {audio.format}")
    if (audio.format == "wav" and _is_cut_wav(data)) or (audio.format == "ogg" and _is_cut_ogg(data)):
        raise NotMeasured("truncated", f"the {audio.format} ends before what its headers declare")
    source = _Unsized(data) if audio.format == "mp3" and not _mp3_says_its_length(data) else io.BytesIO(data)
    declared = 0
    try:
        with _Forward(source, **layout) as file:
            rate: int = file.samplerate
            if rate not in RATES_HZ:
                raise NotMeasured("undecodable", f"a sample rate of {rate} Hz is none of a recording")
            declared = file.frames if file.frames < UNKNOWN_FRAMES else 0
            longest = int(longest_s * min(rate, FULL_RATE_HZ))
            samples = _samples(file, audio.channel, declared=declared, longest=longest)
    except (soundfile.SoundFileError, ValueError, TypeError) as error:
        if declared and source.tell() == len(data):
            raise NotMeasured("truncated", f"less than the {declared} frames that the header declares") from None
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


class _Unsized(io.BytesIO):
    """Bytes that don't say how many they are: their end is where they begin.

    Of an MP3 that does not say how long it is libsndfile then counts the frames. Else it takes them all to be as large
    as the first one, and reads so many: of a variable bit rate often half, or twice as many as there are.
    """

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(0) if whence == io.SEEK_END else super().seek(offset, whence)


def _samples(file: _Forward, channel: AudioChannel, *, declared: int, longest: int) -> Floats:
    """The channel's samples, float32 [n]. Raises NotMeasured (`too_long`) beyond `longest` frames."""
    frames = max(1, BLOCK_SAMPLES // file.channels)
    samples: Floats = np.empty(frames, dtype=np.float32)
    read = 0
    while max(declared, read) <= longest:
        block: Floats = file.read(frames, dtype="float32", always_2d=True)
        if not len(block):
            samples.resize(read, refcheck=False)
            return samples
        if len(samples) < read + len(block):
            # Grown in place: of an hour, blocks and what they are put together to would be twice the memory. Not made
            # as long as is declared: that may be a lie.
            samples.resize(max(read + len(block), 5 * len(samples) // 4), refcheck=False)
        samples[read : read + len(block)] = _channel(block, channel)
        read += len(block)
    raise NotMeasured("too_long", f"more than the {longest / file.samplerate:g} s of audio that are measured")


_FIRST_BYTES: dict[AudioFormat, tuple[bytes, ...]] = {
    "wav": (b"RIFF", b"RF64"),
    "flac": (b"fLaC",),
    "ogg": (b"OggS",),
    "mp3": (b"\xff",),
}


def _is_cut_wav(data: bytes) -> bool:
    """Whether a WAV ends before its data chunk does, or before it has one; libsndfile takes what there is for all."""
    data_bytes = None
    at = len(b"RIFF....WAVE")
    while at + 8 <= len(data):
        name, size = data[at : at + 4], _little(data[at + 4 : at + 8])
        if name == b"ds64":  # RF64 (EBU Tech 3306): sizes of 64 bits, of the whole and then of the data chunk
            data_bytes = _little(data[at + 16 : at + 24])
        if name == b"data" and data_bytes is not None:
            size = data_bytes
        end = at + 8 + size
        if name == b"data" or end > len(data):
            return end > len(data) and (size < UNKNOWN_WAV_BYTES or size == data_bytes)
        at = end + size % 2  # chunks start at even places
    return len(data) < 8 + _little(data[4:8]) < UNKNOWN_WAV_BYTES


def _is_cut_ogg(data: bytes) -> bool:
    """Whether an Ogg ends within a page (RFC 3533, 6); libsndfile takes the whole pages for all.

    That the last page is not flagged as the stream's end says nothing: it is left out by writers that can't go back,
    such as Pion's to a stream.
    """
    page = data[data.rfind(b"OggS") :]
    if len(page) < _OGG_SEGMENTS + 1:
        return True
    lacing = page[_OGG_SEGMENTS + 1 :][: page[_OGG_SEGMENTS]]
    return len(page) < _OGG_SEGMENTS + 1 + page[_OGG_SEGMENTS] + sum(lacing)


_OGG_SEGMENTS = 26
"""Where a page's header has the number of its segments; their lengths follow, a byte each, and then they."""


def _mp3_says_its_length(data: bytes) -> bool:
    """Whether an MP3 begins with a frame that has the number of frames in it, in the ways of Xing, LAME or Fraunhofer.

    Encoders write it when they can go back. It stands after the side information, 36 bytes into the frame at most.
    """
    return any(name in data[:40] for name in (b"Xing", b"Info", b"VBRI"))


def _without_id3(data: bytes) -> bytes:
    """An MP3 without the tags that it may begin with (ID3v2.4, 3): a length has seven bits in each of four bytes."""
    at = 0
    while data.startswith(b"ID3", at):
        length = zip(data[at + 6 : at + 10], (21, 14, 7, 0), strict=False)
        has_footer = data[at + 3 : at + 4] == b"\x04" and data[at + 5 : at + 6] >= b"\x10" and data[at + 5] & 0x10
        at += 10 + sum((byte & 0x7F) << shift for byte, shift in length) + (10 if has_footer else 0)
    # What pads a tag is zero.
    return data[at:].lstrip(b"\0") if at else data


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


_RAW: dict[AudioFormat, str] = {"pcm_s16le": "PCM_16", "mulaw": "ULAW"}


def _channel(frames: Floats, channel: AudioChannel) -> Floats:
    """float32 [n, channels] -> [n]: the mean of all channels, or one of them; the last one when there are fewer."""
    if frames.shape[1] == 1 or channel != "mix":
        only: Floats = np.ascontiguousarray(frames[:, 0 if channel == "mix" else min(channel, frames.shape[1] - 1)])
        return only
    with np.errstate(invalid="ignore"):  # infinity less infinity is looked for later, with the rest
        # Two samples near the greatest float32 have a mean, but no sum, in it.
        mean: Floats = frames.mean(axis=1, dtype=np.float64).astype(np.float32)
    return mean
