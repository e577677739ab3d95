"""Echoes of real turns in another's audio, and other people's turns beside them: what is taken for cross-talk.

An echo is the turn some decibels down, late, through a few reflections within 30 ms, over line noise at -65 dBFS, by
telephone. What is no echo is a turn of somebody, 20 dB down, beside a turn of somebody else.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import soundfile

from pipeline.audio.decode import Sound
from pipeline.dialogue.crosstalk import Track, copies
from pipeline.dialogue.spurts import utterances
from pipeline.measure import measure
from schemas.turn import Audio
from tests.evaluation.corpus import Recording, telephone, turns
from tests.records import T0, received_turn

REFLECTIONS = 8
REFLECTED_S = 0.03
LINE_NOISE_DBFS = -65.0

DOWN_DB = 20.0
BESIDE_MS = (0, 700, -900)
"""When the other turn begins."""


class Found(NamedTuple):
    """Of the speech that voice activity finds in echoes [ms], how much was taken for cross-talk; of `original`, whose
    echo it is, that should be nothing."""

    speech_ms: int
    crosstalk_ms: int
    original_ms: int


def echoes(down_db: float, late_ms: int, *, seed: int) -> Found:
    """All turns and their echoes."""
    chance = np.random.default_rng(seed)
    speech_ms = crosstalk_ms = original_ms = 0
    for recording in turns():
        original, echo = _heard(recording, 0.0), _track(_echo(recording, down_db, late_ms, chance), "b")
        speech_ms += _ms(echo, range(len(echo.spoken)))
        crosstalk_ms += _ms(echo, copies(echo, original))
        original_ms += _ms(original, copies(original, echo))
    return Found(speech_ms, crosstalk_ms, original_ms)


def strangers(every: int = 1) -> Iterator[tuple[str, str, int, int]]:
    """Each turn beside each other one, or every so manyth pair: names, stretches, how many were taken for a copy."""
    for number, (loud, quiet) in enumerate((one, other) for one in turns() for other in turns() if one is not other):
        if number % every == 0:
            beside = _heard(quiet, DOWN_DB)
            for begins_ms in BESIDE_MS:
                moved = beside._replace(
                    started_at=T0 + begins_ms,
                    spoken=tuple(
                        one._replace(start=one.start + begins_ms, end=one.end + begins_ms) for one in beside.spoken
                    ),
                )
                yield loud.name, quiet.name, len(moved.spoken), len(copies(moved, _heard(loud, 0.0)))


@lru_cache(256)
def _heard(recording: Recording, down_db: float) -> Track:
    louder = np.float32(10 ** (-down_db / 20))
    sound = telephone(Sound(recording.sound.samples * louder, recording.sound.rate))
    return _track(sound, "b" if down_db else "a")


def _echo(recording: Recording, down_db: float, late_ms: int, chance: np.random.Generator) -> Sound:
    rate = recording.sound.rate
    path = np.zeros(round(REFLECTED_S * rate))
    path[0] = 1
    path[chance.integers(1, len(path), REFLECTIONS)] = chance.normal(0, 0.3, REFLECTIONS)
    late = np.concatenate([np.zeros(late_ms * rate // 1000), recording.sound.samples])
    samples = np.convolve(late, path)[: len(late)] * 10 ** (-down_db / 20)
    samples += chance.standard_normal(len(samples)) * 10 ** (LINE_NOISE_DBFS / 20)
    return telephone(Sound(samples.astype(np.float32), rate))


def _track(sound: Sound, participant: str) -> Track:
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.rate, format="WAV", subtype="FLOAT")
    audio = Audio("blob", "wav", file.tell())
    turn = received_turn(0, round(sound.duration_ms), participant, participant, "said", audio=audio)
    measured = measure(turn, file.getvalue(), longest_s=120)
    assert measured.contour is not None
    return Track(participant, T0, measured.contour, utterances(measured))


def _ms(track: Track, indices: Iterator[int] | frozenset[int] | range) -> int:
    return sum(track.spoken[index].end - track.spoken[index].start for index in indices)


def main() -> None:
    for down_db in (10.0, 20.0, 30.0):
        for late_ms in (60, 250):
            found = echoes(down_db, late_ms, seed=1)
            share = found.crosstalk_ms / found.speech_ms
            print(f"echo {down_db:g} dB down, {late_ms} ms late: {share:.1%} of {found.speech_ms / 1000:.0f} s found")
    beside = list(strangers())
    print(f"others' turns: {sum(one[3] for one in beside)} of {sum(one[2] for one in beside)} stretches taken for it")


if __name__ == "__main__":
    main()
