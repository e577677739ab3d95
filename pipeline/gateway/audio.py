"""What the gateway checks of a turn's audio without decoding it: base64, size, the container's first bytes."""

from __future__ import annotations

import binascii

from schemas.errors import Refused
from schemas.turn import RAW_FORMATS, AudioFormat, Turn

EXTENSIONS: dict[AudioFormat, str] = {
    "wav": "wav",
    "flac": "flac",
    "ogg": "ogg",
    "mp3": "mp3",
    "pcm_s16le": "pcm",
    "mulaw": "ulaw",
}


def audio_of(turn: Turn) -> tuple[bytes, AudioFormat] | None:
    """The turn's audio and its format, None without audio.

    Raises Refused (`audio_b64`, `audio_format` or `sample_rate`) for what is not base64, empty, not of the declared
    format, of no known format, or raw without a sample rate.
    """
    if turn.audio_b64 is None:
        for field in ("audio_format", "sample_rate", "channels"):
            if getattr(turn, field) is not None:
                raise Refused(f"{field}: there is no audio_b64; send both or neither", field=field)
        return None
    try:
        data = binascii.a2b_base64(turn.audio_b64.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Refused(
            f"audio_b64: not base64 ({error}); use the standard alphabet with padding and no line breaks",
            field="audio_b64",
            reason="not_base64",
        ) from None
    if not data:
        raise Refused(
            "audio_b64: empty; leave it out for a turn without audio", field="audio_b64", reason="empty_audio"
        )
    return data, _format(turn, data)


def _format(turn: Turn, data: bytes) -> AudioFormat:
    declared = turn.audio_format
    if declared in RAW_FORMATS and declared is not None:
        if turn.sample_rate is None:
            raise Refused(f"sample_rate: {declared} has no header; send its samples per second", field="sample_rate")
        width = (2 if declared == "pcm_s16le" else 1) * (turn.channels or 1)
        if len(data) % width:
            raise Refused(
                f"audio_b64: {len(data)} bytes are no whole number of {declared} frames of {width} bytes",
                field="audio_b64",
                reason="not_audio",
            )
        return declared
    found = sniff(data)
    if found is None:
        raise Refused(
            "audio_b64: the first bytes are those of no wav, flac, ogg or mp3; "
            "for raw samples declare audio_format pcm_s16le or mulaw with sample_rate",
            field="audio_b64",
            reason="not_audio",
        )
    if declared is not None and declared != found:
        raise Refused(f"audio_format: declared {declared}, but the audio is {found}", field="audio_format")
    return found


def sniff(data: bytes) -> AudioFormat | None:
    """Format by the container's first bytes; None when it is none of ours."""
    if data[:4] in (b"RIFF", b"RF64") and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[:3] == b"ID3" or _is_layer_3(data):
        return "mp3"
    return None


def _is_layer_3(data: bytes) -> bool:
    """Whether the data begins with an MPEG audio frame of layer III (ISO 11172-3, 2.4.1.3)."""
    header = int.from_bytes(data[:4])
    return (
        header & _SYNC_AND_LAYER == _SYNC_AND_LAYER_3
        and header & _BIT_RATE != _BIT_RATE
        and header & _SAMPLE_RATE != _SAMPLE_RATE
    )


_SYNC_AND_LAYER = 0xFFE6_0000
_SYNC_AND_LAYER_3 = 0xFFE2_0000
"""Eleven set bits, any version, layer bits 01."""

_BIT_RATE = 0xF000
_SAMPLE_RATE = 0x0C00
"""All bits set: forbidden or reserved."""
