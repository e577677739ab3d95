"""Where a recording that is known lies in what was received, and where what was received falls silent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfiltfilt

from tests.livekit.conversation import RATE, Samples
from tests.livekit.recording import Recording

Floats = NDArray[np.float64]

STEP_S = 0.01
SHARE_OF_LOUDEST = 0.02
"""Sound is what exceeds it in RMS over 10 ms, 34 dB below the loudest: the recordings begin and end with it."""

BAND_HZ = (150, 3400)
"""Above it Opus keeps the energy, not the wave."""

WINDOW_S = 0.5
"""Correlations are of pieces of this length, or of thirds of what is shorter: the jitter buffer stretches sound."""

QUIET_S = 0.8
"""Longer than the pauses in what is said."""


class Found(NamedTuple):
    """Where sample 0 of what was looked for lies, in samples of what was searched; how alike they are there, to 1."""

    offset: float
    correlation: float


def find(speech: Samples, samples: Samples, rate: int) -> Found:
    """Where the speech (at RATE) is: median offset and correlation over its pieces that hold sound."""
    wanted, searched = _in_band(_as_float(speech)), _in_band(_at_rate(samples, rate))
    step = round(WINDOW_S * RATE) if len(wanted) >= WINDOW_S * RATE else len(wanted) // 3
    loud = float(np.sqrt(np.mean(wanted**2)))
    windows = [
        (begin, wanted[begin : begin + step])
        for begin in range(0, max(len(wanted) - step, 0) + 1, step)
        if float(np.sqrt(np.mean(wanted[begin : begin + step] ** 2))) > loud / 4
    ]
    found = [_best(window, searched, begin) for begin, window in windows]
    return Found(
        float(np.median([one.offset for one in found])) * rate / RATE,
        float(np.median([one.correlation for one in found])),
    )


def _best(window: Floats, searched: Floats, begin: int) -> Found:
    """Where the window is that begins so many samples after what it is a piece of; that may begin before `searched`."""
    padded = np.concatenate([np.zeros(len(window)), searched, np.zeros(len(window))])
    products = fftconvolve(padded, window[::-1], mode="valid")
    sums = np.concatenate([[0.0], np.cumsum(padded**2)])
    energies = sums[len(window) :] - sums[: -len(window)]
    scores = products / np.sqrt(np.maximum(energies, 1.0) * np.sum(window**2))
    best = int(np.argmax(scores))
    return Found(best - len(window) - begin, float(scores[best]))


def level_db(speech: Samples, samples: Samples, rate: int) -> float:
    """How much louder than the speech it is received, dB: over the part that both have."""
    offset = round(find(speech, samples, rate).offset * RATE / rate)
    searched = _at_rate(samples, rate)
    begin, end = max(0, -offset), min(len(speech), len(searched) - offset)
    received, sent = searched[begin + offset : end + offset], _as_float(speech)[begin:end]
    return float(10 * np.log10(np.sum(received**2) / np.sum(sent**2)))


def sounds(recording: Recording) -> list[tuple[float, float]]:
    """When there was sound on the track, epoch seconds; pauses shorter than QUIET_S are part of it."""
    return [(recording.at(begin), recording.at(end)) for begin, end in _sounds(recording)]


def each_sent_at(speech: Samples, recording: Recording) -> list[float]:
    """When its sample 0 was sent, each time, epoch seconds; of a track on which nothing else is said."""
    pieces = [(begin, recording.samples[begin:end]) for begin, end in _sounds(recording)]
    return [recording.at(begin + round(find(speech, samples, recording.rate).offset)) for begin, samples in pieces]


def _sounds(recording: Recording) -> list[tuple[int, int]]:
    """In samples."""
    step = round(STEP_S * recording.rate)
    steps = len(recording.samples) // step
    frames = _as_float(recording.samples[: steps * step]).reshape(steps, step)
    rms = np.sqrt(np.mean(frames**2, axis=1))
    loud = np.flatnonzero(rms > SHARE_OF_LOUDEST * rms.max())
    breaks = np.flatnonzero(np.diff(loud) * STEP_S > QUIET_S)
    firsts, lasts = loud[np.r_[0, breaks + 1]], loud[np.r_[breaks, len(loud) - 1]]
    return [(int(first) * step, int(last + 1) * step) for first, last in zip(firsts, lasts, strict=True)]


def sent_at(speech: Samples, recording: Recording) -> float:
    """When its sample 0 was sent, epoch seconds."""
    return recording.at(round(find(speech, recording.samples, recording.rate).offset))


def _at_rate(samples: Samples, rate: int) -> Floats:
    resampled: Floats = soxr.resample(_as_float(samples), rate, RATE)
    return resampled


def _in_band(samples: Floats) -> Floats:
    """Without a shift in time."""
    filtered: Floats = sosfiltfilt(butter(4, BAND_HZ, "bandpass", fs=RATE, output="sos"), samples)
    return filtered


def _as_float(samples: Samples) -> Floats:
    return samples.astype(np.float64)
