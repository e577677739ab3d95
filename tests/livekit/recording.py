"""A track as it was received, frame by frame, with the instants at which the frames came."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NEAR_S = 1.5
"""The sample clock is read off the frames that came within so long of the sample."""

EARLY_PERCENTILE = 10
"""Of those frames: the earliest waited least, but one that came in a burst came too early."""


@dataclass(frozen=True)
class Recording:
    """samples : int16. rate : Hz. ends : (k,) samples received when frame k had come. arrivals : (k,) epoch seconds."""

    samples: NDArray[np.int16]
    rate: int
    ends: NDArray[np.int64]
    arrivals: NDArray[np.float64]

    def save(self, path: Path) -> None:
        np.savez(path, samples=self.samples, rate=self.rate, ends=self.ends, arrivals=self.arrivals)

    @classmethod
    def load(cls, path: Path) -> Recording:
        with np.load(path) as held:
            return cls(held["samples"], int(held["rate"]), held["ends"], held["arrivals"])

    def at(self, sample: int) -> float:
        """When the sample was there, epoch seconds."""
        near = np.abs(self.ends - sample) <= NEAR_S * self.rate
        begins = self.arrivals[near] - self.ends[near] / self.rate
        return float(np.percentile(begins, EARLY_PERCENTILE)) + sample / self.rate


class Recorder:
    """Collects frames."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._frames: list[NDArray[np.int16]] = []
        self._arrivals: list[float] = []

    def add(self, samples: NDArray[np.int16], arrival: float) -> None:
        self._frames.append(samples)
        self._arrivals.append(arrival)

    @property
    def recording(self) -> Recording:
        frames = self._frames or [np.zeros(0, np.int16)]
        ends = np.cumsum([len(frame) for frame in self._frames], dtype=np.int64)
        return Recording(np.concatenate(frames), self._rate, ends, np.array(self._arrivals))
