"""From bytes to samples: what was written is heard again; what can't be is NotMeasured, with its reason."""

from __future__ import annotations

import io
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.audio.decode import Floats, NotMeasured, Sound, decode
from schemas.turn import Audio, AudioChannel, AudioFormat

RATE = 16_000
SECONDS = 1.0


def sine(*, rate: int = RATE, seconds: float = SECONDS, hz: float = 440.0, peak: float = 0.5) -> Floats:
    return (peak * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def written(samples: Floats, container: str, subtype: str | None = None, *, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=container, subtype=subtype)
    return file.getvalue()


def heard(
    data: bytes,
    audio_format: AudioFormat = "wav",
    *,
    sample_rate: int | None = None,
    channels: int | None = None,
    channel: AudioChannel = "mix",
    longest_s: float = 60.0,
) -> Sound:
    return decode(data, Audio("k", audio_format, len(data), sample_rate, channels, channel), longest_s=longest_s)


def reason(data: bytes, audio_format: AudioFormat = "wav", *, longest_s: float = 60.0) -> str:
    with pytest.raises(NotMeasured) as caught:
        heard(data, audio_format, longest_s=longest_s)
    assert caught.value.reason == caught.value.not_measured_reason
    return caught.value.reason


TONE = sine()


# ----------------------------------------------------------------------------------------------------------------------
# Every format

LOSSLESS: list[tuple[str, AudioFormat, str, float]] = [
    ("WAV", "wav", "PCM_U8", 1 / 2**7),
    ("WAV", "wav", "PCM_16", 1 / 2**15),
    ("WAV", "wav", "PCM_24", 1 / 2**23),
    ("WAV", "wav", "PCM_32", 1e-7),
    ("WAV", "wav", "FLOAT", 0.0),
    ("WAV", "wav", "DOUBLE", 0.0),
    ("WAVEX", "wav", "PCM_16", 1 / 2**15),
    ("RF64", "wav", "PCM_16", 1 / 2**15),
    ("WAV", "wav", "ULAW", 0.02),  # 8 bits, logarithmic: 2 % of the sample
    ("WAV", "wav", "ALAW", 0.02),
    ("FLAC", "flac", "PCM_16", 1 / 2**15),
    ("FLAC", "flac", "PCM_24", 1 / 2**23),
]


@pytest.mark.parametrize(("container", "audio_format", "subtype", "tolerance"), LOSSLESS)
def test_samples_are_those_written(container: str, audio_format: AudioFormat, subtype: str, tolerance: float) -> None:
    sound = heard(written(TONE, container, subtype), audio_format)
    assert (sound.rate, len(sound.samples)) == (RATE, len(TONE))
    assert sound.samples.dtype == np.float32
    assert np.abs(sound.samples - TONE).max() <= tolerance
    assert sound.duration_ms == 1000


LOSSY: list[tuple[str, AudioFormat, str, int]] = [
    ("OGG", "ogg", "VORBIS", 16_000),
    ("OGG", "ogg", "OPUS", 48_000),
    ("MP3", "mp3", "MPEG_LAYER_III", 16_000),
    ("MP3", "mp3", "MPEG_LAYER_III", 44_100),
    ("WAV", "wav", "IMA_ADPCM", 16_000),
    ("WAV", "wav", "GSM610", 8_000),
]


@pytest.mark.parametrize(("container", "audio_format", "subtype", "rate"), LOSSY)
def test_lossy_sound_has_the_length_level_and_pitch_that_was_written(
    container: str, audio_format: AudioFormat, subtype: str, rate: int
) -> None:
    sound = heard(written(sine(rate=rate), container, subtype, rate=rate), audio_format)
    assert sound.rate == rate
    assert abs(sound.duration_ms - 1000) < 60  # codecs work in blocks
    middle = sound.samples[rate // 4 : 3 * rate // 4]
    assert abs(20 * np.log10(np.sqrt(np.mean(middle**2)) / (0.5 / np.sqrt(2)))) < 1
    assert np.argmax(np.abs(np.fft.rfft(middle))) == round(440 * len(middle) / rate)


def test_raw_pcm_is_little_endian_16_bit() -> None:
    samples = np.array([0, 1, -1, 32767, -32768], dtype="<i2")
    sound = heard(samples.tobytes(), "pcm_s16le", sample_rate=8_000)
    assert sound.rate == 8_000
    assert (sound.samples * 32768).tolist() == [0, 1, -1, 32767, -32768]


def test_raw_mulaw_is_g711() -> None:
    # ITU-T G.711, table 2a: 0xFF is +0, 0x80 the greatest positive (8031 of 8159, here in 14 bits), 0x00 its negative.
    sound = heard(bytes([0xFF, 0x7F, 0x80, 0x00]), "mulaw", sample_rate=8_000)
    assert (sound.samples * 32768).tolist() == [0, 0, 32124, -32124]


def test_raw_channels_are_interleaved() -> None:
    data = np.array([[100, -100], [200, -200]], dtype="<i2").tobytes()
    for channel, expected in ((0, [100, 200]), (1, [-100, -200]), ("mix", [0, 0])):
        sound = heard(data, "pcm_s16le", sample_rate=8_000, channels=2, channel=channel)  # type: ignore[arg-type]
        assert (sound.samples * 32768).tolist() == expected


@pytest.mark.parametrize("container", ["WAV", "FLAC", "OGG"])
def test_channel_of_the_participant_is_taken(container: str) -> None:
    audio_format: AudioFormat = {"WAV": "wav", "FLAC": "flac", "OGG": "ogg"}[container]  # type: ignore[assignment]
    left, right = sine(hz=400, peak=0.4), sine(hz=1000, peak=0.2)
    data = written(np.stack([left, right], axis=1), container)
    for channel, expected in ((0, left), (1, right), ("mix", (left + right) / 2)):
        sound = heard(data, audio_format, channel=channel)  # type: ignore[arg-type]
        assert sound.samples.ndim == 1
        assert np.sqrt(np.mean((sound.samples - expected) ** 2)) < 0.01


def test_channel_that_is_not_there_is_the_last_one() -> None:
    assert np.array_equal(heard(written(TONE, "WAV"), channel=1).samples, heard(written(TONE, "WAV")).samples)


def test_sound_longer_than_a_block_is_whole() -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 3 * 65_536 + 17).astype(np.float32)
    assert np.array_equal(heard(written(noise, "WAV", "FLOAT")).samples, noise)


# ----------------------------------------------------------------------------------------------------------------------
# What can't be measured


def test_zero_samples_are_empty() -> None:
    assert reason(written(TONE[:0], "WAV")) == "empty"
    assert reason(written(TONE[:0], "OGG"), "ogg") == "empty"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_not_finite(bad: float) -> None:
    samples = TONE.copy()
    samples[100] = bad
    assert reason(written(samples, "WAV", "FLOAT")) == "not_finite"


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "ULAW", "ALAW"])
@pytest.mark.parametrize("kept", [0.5, 0.95])
def test_wav_that_ends_early_is_truncated(subtype: str, kept: float) -> None:
    data = written(TONE, "WAV", subtype)
    assert reason(data[: int(kept * len(data))]) == "truncated"


def test_mp3_that_ends_early_is_truncated(capfd: pytest.CaptureFixture[str]) -> None:
    data = written(sine(seconds=5), "MP3")
    assert reason(data[: len(data) // 2], "mp3") == "truncated"
    capfd.readouterr()  # the decoder complains on standard error


@pytest.mark.parametrize(("container", "audio_format"), [("FLAC", "flac"), ("OGG", "ogg")])
@pytest.mark.parametrize("kept", [0.1, 0.3])
def test_file_cut_in_its_beginning_is_not_measured(container: str, audio_format: AudioFormat, kept: float) -> None:
    data = written(sine(seconds=5), container)
    assert reason(data[: int(kept * len(data))], audio_format) in ("truncated", "undecodable", "empty")


def wav_with(data: bytes, at: int, replacement: bytes) -> bytes:
    changed = bytearray(data)
    changed[at : at + len(replacement)] = replacement
    return bytes(changed)


WAV = written(TONE, "WAV", "PCM_16")
DATA_SIZE = WAV.index(b"data") + 4


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_F000, 0x8000_0000])
def test_wav_written_to_a_pipe_declares_no_length_and_is_heard(size: int) -> None:
    # ffmpeg, sox and arecord write such sizes when they can't go back to the header.
    data = wav_with(WAV, DATA_SIZE, struct.pack("<I", size))
    assert len(heard(data).samples) == len(TONE)


def test_wav_that_declares_more_than_is_there_is_truncated() -> None:
    assert reason(wav_with(WAV, DATA_SIZE, struct.pack("<I", 2 * len(TONE) + 2_000))) == "truncated"


def test_wav_that_declares_less_than_is_there_is_what_it_declares() -> None:
    assert len(heard(wav_with(WAV, DATA_SIZE, struct.pack("<I", 1000))).samples) == 500


def test_wav_with_chunks_after_its_data_is_whole() -> None:
    assert len(heard(WAV + b"LIST\x04\0\0\0INFO").samples) == len(TONE)


@pytest.mark.parametrize("rate", [0, 1, 10, 49, 99, 999, 0x7FFF_FFFF, 0xFFFF_FFFF])
def test_rate_of_no_recording_is_undecodable(rate: int) -> None:
    """Found here: below 100 Hz the frames of 10 ms have no samples, and the measuring crashed."""
    assert reason(wav_with(WAV, 24, struct.pack("<I", rate))) == "undecodable"


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
def test_usual_rate_is_heard(rate: int) -> None:
    assert heard(written(sine(rate=rate), "WAV", rate=rate)).rate == rate


FLAC_TOTAL = 8 + 13
"""Where STREAMINFO has the number of samples: 36 bits, of which the first four share a byte."""


def flac_declaring(samples: int) -> bytes:
    data = bytearray(written(TONE, "FLAC"))
    data[FLAC_TOTAL] = data[FLAC_TOTAL] & 0xF0 | samples >> 32
    data[FLAC_TOTAL + 1 : FLAC_TOTAL + 5] = struct.pack(">I", samples & 0xFFFF_FFFF)
    return bytes(data)


def test_flac_written_to_a_pipe_declares_no_length_and_is_heard() -> None:
    """Found here: 0 is "unknown" (RFC 9639, 8.2), and was taken for too long."""
    assert len(heard(flac_declaring(0), "flac").samples) == len(TONE)


def test_flac_that_declares_more_than_is_there_is_truncated() -> None:
    assert reason(flac_declaring(2 * RATE), "flac") == "truncated"


def test_sound_that_is_too_long_is_not_decoded() -> None:
    assert reason(WAV, longest_s=0.999) == "too_long"
    assert len(heard(WAV, longest_s=1.0).samples) == RATE


def test_length_is_counted_and_not_only_read_from_the_header() -> None:
    assert reason(flac_declaring(0), "flac", longest_s=0.5) == "too_long"


def test_bomb_is_too_long_in_bounded_memory() -> None:
    """Silence shrinks by thousands in FLAC: what is declared is looked at before anything is decoded."""
    bomb = written(np.zeros((20 * 60 * 8_000, 2), dtype=np.float32), "FLAC", rate=8_000)
    assert len(bomb) < 200_000
    tracemalloc.start()
    try:
        assert reason(bomb, "flac", longest_s=60) == "too_long"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_channels_are_mixed_as_they_come_and_not_kept() -> None:
    many = written(np.zeros((60 * 8_000, 8), dtype=np.float32), "FLAC", rate=8_000)
    tracemalloc.start()
    try:
        assert len(heard(many, "flac").samples) == 60 * 8_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 10 * 2**20, "8 channels would be 15 MiB"


# ----------------------------------------------------------------------------------------------------------------------
# Garbage

FILES: dict[AudioFormat, bytes] = {
    "wav": written(TONE[:2000], "WAV"),
    "flac": written(TONE[:2000], "FLAC"),
    "ogg": written(TONE[:2000], "OGG"),
}


@given(st.binary(max_size=300), st.sampled_from(["wav", "flac", "ogg", "mp3", "pcm_s16le", "mulaw"]))
def test_garbage_is_sound_or_not_measured(data: bytes, audio_format: AudioFormat) -> None:
    try:
        sound = heard(data, audio_format, sample_rate=8_000)
    except NotMeasured as error:
        assert error.field == "audio_b64"  # noqa: PT017 - either outcome is fine, an escaping error is not
    else:
        assert len(sound.samples)
        assert np.isfinite(sound.samples).all()


@settings(max_examples=200)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_file_is_sound_or_not_measured(audio_format: AudioFormat, data: st.DataObject) -> None:
    damaged = bytearray(FILES[audio_format])
    for _ in range(data.draw(st.integers(1, 4))):
        # Mostly headers: there the damage is done.
        at = data.draw(st.integers(0, 80) | st.integers(0, len(damaged) - 1))
        damaged[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.none() | st.integers(0, len(damaged)))
    try:
        sound = heard(bytes(damaged[:cut]), audio_format)
    except NotMeasured:
        return
    assert len(sound.samples)
    assert np.isfinite(sound.samples).all()
