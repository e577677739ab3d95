"""Small whole files of every format, and what damages them."""

from __future__ import annotations

import io
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from schemas.turn import RAW_FORMATS, Audio, AudioChannel, AudioFormat

SECONDS = 0.25

CONTAINERS: list[tuple[AudioFormat, str, str, int, int]] = [
    ("wav", "WAV", "PCM_U8", 8_000, 1),
    ("wav", "WAV", "PCM_16", 16_000, 2),
    ("wav", "WAV", "PCM_24", 8_000, 1),
    ("wav", "WAV", "PCM_32", 8_000, 1),
    ("wav", "WAV", "FLOAT", 8_000, 2),
    ("wav", "WAV", "DOUBLE", 8_000, 1),
    ("wav", "WAV", "ULAW", 8_000, 1),
    ("wav", "WAV", "ALAW", 8_000, 1),
    ("wav", "WAV", "IMA_ADPCM", 8_000, 1),
    ("wav", "WAV", "MS_ADPCM", 8_000, 2),
    ("wav", "WAV", "GSM610", 8_000, 1),
    ("wav", "WAVEX", "PCM_16", 8_000, 2),
    ("wav", "RF64", "PCM_16", 8_000, 1),
    ("flac", "FLAC", "PCM_16", 16_000, 2),
    ("flac", "FLAC", "PCM_24", 8_000, 1),
    ("ogg", "OGG", "VORBIS", 16_000, 2),
    ("ogg", "OGG", "OPUS", 16_000, 1),
    ("mp3", "MP3", "MPEG_LAYER_III", 16_000, 1),
    ("mp3", "MP3", "MPEG_LAYER_III", 44_100, 2),
]


VOICES = [(8_000, "PCM_16"), (16_000, "ULAW")]


def files() -> list[tuple[Audio, bytes]]:
    """How to read it, and its bytes; made anew each time, so that none has to lie in the repository."""
    made = [
        (audio_of(name), written(container, subtype, rate, channels))
        for name, container, subtype, rate, channels in CONTAINERS
    ]
    # Noise has neither pitch nor syllables: a voice is there for the features.
    voices = [(audio_of("wav"), _file(_voice(rate), rate, "WAV", subtype)) for rate, subtype in VOICES]
    raw = (1000 * _noise(8_000, 1)).astype("<i2").tobytes()
    return [*made, *voices, (audio_of("pcm_s16le"), raw), (audio_of("mulaw"), raw)]


def audio_of(name: AudioFormat, channel: AudioChannel = "mix") -> Audio:
    """How a file of the format is to be read; raw samples are declared to be 8 kHz, stereo."""
    rate, channels = (8_000, 2) if name in RAW_FORMATS else (None, None)
    return Audio("key", name, 0, rate, channels, channel)


def written(container: str, subtype: str, rate: int, channels: int) -> bytes:
    return _file(_noise(rate, channels), rate, container, subtype)


def _file(samples: NDArray[Any], rate: int, container: str, subtype: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def _voice(rate: int) -> NDArray[Any]:
    """A second of five syllables that fall from 180 to 120 Hz, in noise."""
    at = np.arange(rate) / rate
    phase = 2 * np.pi * np.cumsum(180 - 60 * at) / rate
    harmonics = sum(np.sin(k * phase) / k for k in range(1, 20))
    return 0.1 * harmonics * np.sin(5 * np.pi * at) ** 2 + np.random.default_rng(rate).normal(0, 1e-3, rate)


def _noise(rate: int, channels: int) -> NDArray[Any]:
    return np.random.default_rng(rate).uniform(-0.5, 0.5, (round(rate * SECONDS), channels))


class Damage(NamedTuple):
    """What happens to `length` bytes from `at` on (where the file is shorter: from its end on)."""

    kind: Literal["put", "cut off", "take out", "double"]
    at: int
    length: int = 0
    put: bytes = b""
    """What is put there instead of as many bytes."""


def damaged(data: bytes, damage: Damage) -> bytes:
    at, end = damage.at, damage.at + damage.length
    match damage.kind:
        case "put":
            return data[:at] + damage.put + data[at + len(damage.put) :]
        case "cut off":
            return data[:at]
        case "take out":
            return data[:at] + data[end:]
        case "double":
            return data[:end] + data[at:]


def with_ogg_sums(data: bytes) -> bytes:
    """An Ogg whose pages have the checksums of what is in them (RFC 3533, 6).

    Without them damage gets no further than to the first check, which throws the page away.
    """
    mended = bytearray(data)
    at = mended.find(b"OggS")
    while at >= 0 and at + 27 <= len(mended):
        segments = mended[at + 26]
        end = at + 27 + segments + sum(mended[at + 27 : at + 27 + segments])
        mended[at + 22 : at + 26] = bytes(4)
        mended[at + 22 : at + 26] = _ogg_sum(bytes(mended[at:end])).to_bytes(4, "little")
        at = mended.find(b"OggS", end)
    return bytes(mended)


def _ogg_sum(page: bytes) -> int:
    checksum = 0
    for byte in page:
        checksum = (checksum << 8) & 0xFFFF_FFFF ^ _OGG_SUMS[checksum >> 24 ^ byte]
    return checksum


def _ogg_sum_of(byte: int) -> int:
    checksum = byte << 24
    for _ in range(8):
        checksum = checksum << 1 ^ (0x1_04C1_1DB7 if checksum & 0x8000_0000 else 0)
    return checksum


_OGG_SUMS = [_ogg_sum_of(byte) for byte in range(256)]
