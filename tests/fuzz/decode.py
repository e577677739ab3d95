"""Fuzzing of the decoder with atheris: whatever the bytes, they are a sound, or NotMeasured.

    .venv/bin/python -m tests.fuzz.decode -max_total_time=600

Options are libFuzzer's (`-help=1`). An input is a byte that says how to read it (see `read`), and a file. One that
fails is written to the working folder as `crash-…`, `timeout-…` or `oom-…`, and tried again when its name is given as
the only argument.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable
from typing import get_args

import atheris
import numpy as np

with atheris.instrument_imports(include=["pipeline"]):
    from pipeline.audio.decode import NotMeasured, decode

from schemas.turn import Audio, AudioChannel, AudioFormat
from tests.fuzz.files import Damage, audio_of, damaged, files, with_ogg_sums

FORMATS: tuple[AudioFormat, ...] = get_args(AudioFormat)
CHANNELS: tuple[AudioChannel, ...] = get_args(AudioChannel)
FILES = [(FORMATS.index(audio.format), data) for audio, data in files()]

HEADER_BYTES = 128
MOST_DAMAGES = 4
LONGEST_S = 60.0
LIMITS = [
    "-timeout=10",  # seconds for one input
    "-rss_limit_mb=1024",
    "-malloc_limit_mb=256",
    "-max_len=20000",
]


def check(data: bytes) -> None:
    """One input. Raises AssertionError, or what else should not escape."""
    if not data:
        return
    audio, file = read(data)
    try:
        sound = decode(file, audio, longest_s=LONGEST_S)
    except NotMeasured:
        return
    assert sound.samples.dtype == np.float32
    assert sound.samples.ndim == 1
    assert 0 < len(sound.samples) <= LONGEST_S * sound.rate
    assert np.isfinite(sound.samples).all()


def read(data: bytes) -> tuple[Audio, bytes]:
    """The first byte: format, 0 to 5, + 8 * channel, 0 to 2 (both modulo)."""
    return audio_of(FORMATS[data[0] % 8 % len(FORMATS)], CHANNELS[data[0] // 8 % len(CHANNELS)]), data[1:]


def mutated(data: bytes, longest: int, seed: int) -> bytes:
    """The next input: damage to a whole file or to an earlier input.

    libFuzzer sees which of our branches an input takes, but not the codecs', which are built without instruments. Left
    to itself it makes inputs that get no further than to the first check of a header.
    """
    draw = random.Random(seed)
    if draw.random() < 0.1:
        return bytes(atheris.Mutate(data, longest))
    first, file = draw.choice(FILES) if len(data) < HEADER_BYTES or draw.random() < 0.7 else (data[0] % 8, data[1:])
    for _ in range(draw.randint(1, MOST_DAMAGES)):
        file = damaged(file, _damage(draw, len(file)))
    if draw.random() < 0.5:
        file = with_ogg_sums(file)
    return (bytes([first + 8 * draw.randrange(len(CHANNELS))]) + file)[:longest]


def fuzz(target: Callable[[bytes], None]) -> None:
    """Run the target as the command line says; what warns fails. Ends the process."""
    warnings.simplefilter("error")
    atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[1:]], target, custom_mutator=mutated)
    atheris.Fuzz()


def _damage(draw: random.Random, length: int) -> Damage:
    at = draw.randint(0, min(length, HEADER_BYTES) if draw.random() < 0.5 else length)
    match draw.randrange(8):
        case 0:
            return Damage("cut off", at)
        case 1:
            return Damage("take out", at, draw.randint(1, 1 + length // 2))
        case 2:
            return Damage("double", at, draw.randint(1, 1 + length // 2))
        case 3:  # a piece of another file
            _, other = draw.choice(FILES)
            start = draw.randrange(len(other))
            return Damage("put", at, put=other[start : start + draw.randint(1, 1024)])
        case 4:  # where fields overflow
            return Damage("put", at, put=draw.choice([b"\0", b"\x7f", b"\x80", b"\xff"]) * draw.choice([1, 2, 4, 8]))
        case _:
            return Damage("put", at, put=draw.randbytes(draw.randint(1, 4)))


if __name__ == "__main__":
    fuzz(check)
