"""What the observer for LiveKit does for each frame and each turn, without LiveKit, in µs and ms."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

from bench.measurements import Measurement
from mise_observer.recording import MOST_BYTES, Clip, Pcm, Recording
from mise_observer_livekit.playback import Playback, Run, heard
from mise_observer_livekit.turns import Draft, refined

RATE = 24_000
FRAME = RATE // 20
SPOKEN_S = (3, 30, 170)
TIMES = 20


def measure_livekit_turns() -> list[Measurement]:
    """A participant's recording that is full, turns of three lengths out of it, and 15 s of an agent's speech."""
    samples = np.random.default_rng(7).integers(-8_000, 8_000, FRAME, dtype=np.int16)
    data = samples.tobytes()
    recording = Recording(RATE)
    frames = MOST_BYTES // 2 // FRAME

    def hear(number: int) -> None:
        recording.append(np.frombuffer(bytes(data), np.int16), number * FRAME / RATE)

    found = [
        Measurement(
            name="50 ms of a participant's audio",
            value=1_000 * _median_ms(hear, frames + TIMES),
            unit="µs",
            how=f"median of {frames:,}",
        )
    ]
    for seconds in SPOKEN_S:
        end = (frames + TIMES - 1) * FRAME / RATE
        clips: list[Clip] = []

        def cut(_: int, length: int = seconds, end: float = end, clips: list[Clip] = clips) -> None:
            clip = recording.clip(end - length, end)
            assert clip is not None
            clips.append(clip)

        made: list[Pcm] = []  # as what waits to be sent: memory that is used again would cost less

        def refine(
            number: int, length: int = seconds, end: float = end, clips: list[Clip] = clips, made: list[Pcm] = made
        ) -> None:
            made.append(clips[number].pcm())
            refined(Draft("t", "p", "user", "", end - length, end, refine=True), made[-1])

        how = f"median of {TIMES}"
        found += [
            Measurement(name=f"cut a turn of {seconds} s out", value=_median_ms(cut, TIMES), unit="ms", how=how),
            Measurement(
                name=f"put {seconds} s together, and find where they begin and end",
                value=_median_ms(refine, TIMES),
                unit="ms",
                how=f"{how}; in the observer's thread",
            ),
        ]
    return [*found, *_agent(samples)]


def _agent(samples: np.ndarray[tuple[int, ...], np.dtype[np.int16]]) -> list[Measurement]:
    playback = Playback()

    def capture(_: int) -> None:
        playback.capture(samples, RATE, 0.0, "speech")

    captured = _median_ms(capture, 300)
    playback.progressed(Run(0.0, 0.0, 15.0), 15.0)
    playback.finished(15.0, False, None, 15.0)
    segments = playback.take()
    return [
        Measurement(name="a frame of the agent's", value=1_000 * captured, unit="µs", how="median of 300"),
        Measurement(
            name="what was heard of 15 s of the agent's",
            value=_median_ms(lambda _: heard(segments), TIMES),
            unit="ms",
            how=f"median of {TIMES}; in the observer's thread",
        ),
    ]


def _median_ms(work: Callable[[int], object], times: int) -> float:
    took: list[float] = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        took.append(1_000 * (time.perf_counter() - began))
    return statistics.median(took)
