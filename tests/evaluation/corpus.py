"""The recordings to measure against, as they are and as the telephone and noise would have them.

47 turns of eleven people and two annotated meetings (recordings/PROVENANCE.md), and an annotated call (sample.py). The
speakers are parted in those that thresholds were tuned on and those that are reported.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from pipeline.audio.decode import Sound
from pipeline.audio.resample import resample
from pipeline.dsp.frames import HOP_S
from tests.evaluation import sample

FOLDER = Path(__file__).parent / "recordings"
SEED = 4

Noise = Literal["white", "babble"]
Part = Literal["tune", "report"]
Frames = NDArray[np.bool_]

TALKERS = 8
"""Voices in the babble."""


@dataclass(frozen=True, eq=False)
class Recording:
    """A turn of one speaker."""

    name: str
    speaker: str
    sex: str
    part: Part
    sound: Sound


@lru_cache
def turns() -> tuple[Recording, ...]:
    """Every turn, 16 kHz."""
    with (FOLDER / "turns.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Recording(
                name=row["file"],
                speaker=row["speaker"],
                sex=row["sex"],
                part="tune" if row["part"] == "tune" else "report",
                sound=_read(FOLDER / row["file"]),
            )
            for row in csv.DictReader(file)
        )


@dataclass(frozen=True, eq=False)
class Conversation:
    """Several people, and by hand whether anybody speaks in each 10 ms: speech, bool [frames]."""

    name: str
    sound: Sound
    speech: Frames


@lru_cache
def call() -> Conversation:
    """Half a minute of a telephone call; `sample.fetch` has to have brought it."""
    if not sample.SOUND.exists():
        raise FileNotFoundError("the labelled call is missing; fetch it: python -m tests.evaluation.sample")
    return _conversation(sample.SOUND, sample.SPEECH)


@lru_cache
def meetings() -> tuple[Conversation, ...]:
    """Two half minutes of meetings, quiet, with noises."""
    return tuple(_conversation(path, path.with_suffix(".rttm")) for path in sorted(FOLDER.glob("meeting-*.flac")))


def telephone(sound: Sound) -> Sound:
    """The sound at 8 kHz through ITU-T G.711 µ-law, of libsndfile."""
    narrow = resample(sound, 8_000)
    file = io.BytesIO()
    soundfile.write(file, narrow.samples, 8_000, format="RAW", subtype="ULAW")
    file.seek(0)
    samples, _ = soundfile.read(file, dtype="float32", samplerate=8_000, channels=1, format="RAW", subtype="ULAW")
    return Sound(samples, 8_000)


def noisy(sound: Sound, noise: Noise, snr_db: float, speech: Frames, *, seed: int = SEED) -> Sound:
    """The sound with noise, so many dB under the mean power of its speech frames."""
    random = np.random.default_rng(seed)
    samples = len(sound.samples)
    added = random.standard_normal(samples) if noise == "white" else _babble(samples, random)
    hop = round(sound.rate * HOP_S)
    whole = min(len(speech), samples // hop)
    frames = np.square(sound.samples[: whole * hop], dtype=np.float64).reshape(whole, hop).mean(axis=1)
    power = frames[speech[:whole]].mean() * 10 ** (-snr_db / 10)
    added *= np.sqrt(power / np.mean(np.square(added)))
    return Sound((sound.samples + added).astype(np.float32), sound.rate)


def _babble(samples: int, random: np.random.Generator) -> NDArray[np.float64]:
    """TALKERS people at once, equally loud, 16 kHz: turns of the corpus end to end from anywhere."""
    mixed = np.zeros(samples)
    for _ in range(TALKERS):
        order = random.permutation(len(turns()))
        voice = np.concatenate([turns()[index].sound.samples for index in order])
        start = int(random.integers(len(voice)))
        looped = np.resize(np.roll(voice, -start), samples).astype(np.float64)
        mixed += looped / np.sqrt(np.mean(np.square(looped)))
    return mixed


def _conversation(sound_path: Path, rttm: Path) -> Conversation:
    sound = _read(sound_path)
    frames = int(sound.duration_ms / 1000 / HOP_S)
    centres_s = (np.arange(frames) + 0.5) * HOP_S
    speech = np.zeros(frames, bool)
    for line in rttm.read_text(encoding="utf-8").splitlines():
        onset, duration = (float(field) for field in line.split()[3:5])
        speech |= (centres_s >= onset) & (centres_s < onset + duration)
    return Conversation(sound_path.stem, sound, speech)


def _read(path: Path) -> Sound:
    samples, rate = soundfile.read(path, dtype="float32")
    return Sound(samples, rate)
