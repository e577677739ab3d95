"""Overlaps of real turns with known onsets: how far off they are found, from audio to events.

Two people's turns, each on its own channel as in a call: the second comes in at a chance moment of the first. Where its
speech begins is told by its own clean samples, not by our voice activity: the first 30 ms that lie within 25 dB of its
loudest 10 ms (a breath or a click is weaker, or shorter).
"""

from __future__ import annotations

import io
import random
from typing import NamedTuple

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pipeline.audio.decode import Sound
from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.spurts import Utterance, utterances
from pipeline.dsp.frames import HOP_S
from pipeline.measure import measure
from schemas.turn import Audio
from tests.evaluation.accuracy import Condition, speech_of
from tests.evaluation.corpus import Recording, turns
from tests.records import T0, received_turn

BELOW_LOUDEST_DB = 25.0
FRAMES = 3
HELD_FRAMES = 15
"""The first speaks on for so long where the second comes in, so that it does not pause just there."""


class Onset(NamedTuple):
    """error_ms : found less true; None when no overlap was found there."""

    held: str
    entry: str
    error_ms: float | None


def onsets(condition: Condition, count: int, *, seed: int) -> list[Onset]:
    """`count` overlaps of two speakers each; the same seed gives the same ones."""
    chance = random.Random(seed)
    found = []
    for _ in range(count):
        held, entry = chance.sample(turns(), 2)
        if held.speaker != entry.speaker:
            found.append(_onset(held, entry, condition, chance))
    return found


def _onset(held: Recording, entry: Recording, condition: Condition, chance: random.Random) -> Onset:
    spoken = np.flatnonzero(_loud(held.sound, HELD_FRAMES))
    comes_in_ms = 1000 * HOP_S * float(chance.choice(spoken.tolist()) + HELD_FRAMES // 2)
    begins_ms = 1000 * HOP_S * float(np.flatnonzero(_loud(entry.sound, FRAMES))[0])
    offset_ms = round(comes_in_ms - begins_ms)
    said = _said(held, "a", 0, condition) + _said(entry, "b", offset_ms, condition)
    starts = [event.start - T0 for event in annotate(said).overlaps]
    true_ms = offset_ms + begins_ms
    nearest = min(starts, key=lambda start: abs(start - true_ms), default=None)
    return Onset(held.name, entry.name, None if nearest is None else nearest - true_ms)


def _said(recording: Recording, participant: str, starts_ms: int, condition: Condition) -> list[Utterance]:
    """Where a turn speaks by its audio."""
    sound = condition.of(recording.sound, speech_of(recording))
    file = io.BytesIO()
    soundfile.write(file, sound.samples, sound.rate, format="WAV", subtype="FLOAT")
    length_ms = round(sound.duration_ms)
    turn = received_turn(
        starts_ms, starts_ms + length_ms, participant, participant, "said", audio=Audio("blob", "wav", file.tell())
    )
    return list(utterances(measure(turn, file.getvalue(), longest_s=120)))


def _loud(sound: Sound, frames: int) -> NDArray[np.bool_]:
    """For each 10 ms whether it and those after it, so many together, are loud."""
    hop = round(sound.rate * HOP_S)
    cut = sound.samples[: len(sound.samples) // hop * hop].reshape(-1, hop).astype(np.float64)
    levels = 10 * np.log10(np.square(cut).mean(axis=1) + 1e-12)
    return np.asarray(sliding_window_view(levels > levels.max() - BELOW_LOUDEST_DB, frames).all(axis=1), dtype=np.bool_)
