"""How long a participant's audio lay in the jitter buffer before it was heard here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PACKET_S = 0.02
"""One Opus packet: it is sent when its last sample is spoken. With it the prediction is right to 10 ms (measured)."""

KEPT = 240
"""Looks that are remembered: at one a second, longer than audio is kept."""


@dataclass(frozen=True, slots=True)
class Look:
    """delay_s, emitted : WebRTC's `jitterBufferDelay` and `jitterBufferEmittedCount`, both since the track began."""

    at: float
    delay_s: float
    emitted: int


class Jitter:
    """The delay from the speaker's microphone to here, without the network's part: that can't be known from here."""

    def __init__(self) -> None:
        self._looks: deque[Look] = deque(maxlen=KEPT)

    def note(self, look: Look) -> None:
        self._looks.append(look)

    def delay_s(self, start: float, end: float) -> float | None:
        """Of what was heard from `start` to `end`, on average; None when nobody looked."""
        before = [look for look in self._looks if look.at <= start][-1:]
        during = [look for look in self._looks if start < look.at < end]
        after = [look for look in self._looks if look.at >= end][:1]
        looks = before + during + after
        if not looks:
            return None
        first, last = looks[0], looks[-1]
        if last.emitted > first.emitted:
            return (last.delay_s - first.delay_s) / (last.emitted - first.emitted) + PACKET_S
        return last.delay_s / last.emitted + PACKET_S if last.emitted else None
