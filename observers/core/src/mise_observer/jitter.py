"""How long a participant's audio lay in the jitter buffer before it was heard here."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

PACKET_S = 0.02
"""One Opus packet: it is sent when its last sample is spoken. With it the prediction is right to 10 ms (measured)."""

KEPT = 400
"""Looks that are remembered: at two a second, longer than audio is kept."""


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

    def delay_s(self, at: float) -> float | None:
        """Of what was heard then, from the looks before and after it; None when nobody looked."""
        looks = list(self._looks)
        after = next((n for n, look in enumerate(looks) if look.at >= at), len(looks) - 1)
        if after < 0:
            return None
        first, last = looks[max(after - 1, 0)], looks[after]
        if last.emitted > first.emitted:
            return (last.delay_s - first.delay_s) / (last.emitted - first.emitted) + PACKET_S
        return last.delay_s / last.emitted + PACKET_S if last.emitted else None
