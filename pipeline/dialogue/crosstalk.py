"""Cross-talk: another's voice in a participant's audio, an echo of the agent in the caller's, say.

It is found by the contours: where the same F0 and the same rise and fall of the level come again in the audio of two
participants at nearly the same time, it is one voice, and the quieter one is the copy. Two people do not keep within
0.4 semitones of each other for long. A stretch of speech that is a copy counts for nothing; one in which the
participant speaks as well is left alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import ceil
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.dialogue.spurts import Utterance
from schemas.measured import Contour, MeasuredTurn

EARLIEST_MS, LATEST_MS = -200, 500
LAGS_MS: Final = np.arange(EARLIEST_MS, LATEST_MS + 1, 20)
"""How much later the copy may be: an echo is late by the way there and back (ITU-T G.131), and clocks differ."""

# What follows was chosen on tests/evaluation/crosstalk.py: echoes of real turns, and other people's turns beside them.

SAME_STEPS: Final = 2
"""F0 that differs by 2/64 of an octave at most is the same: what two measurements of one voice differ by."""

SAME_SHARE: Final = 0.6
"""Of the voiced points of a copy, those with the same F0."""

LEVELS_AGREE: Final = 0.75
"""Least correlation of the levels: two flat synthetic voices may have one F0, and not one rhythm."""

LEAST_VOICED_MS: Final = 300
LEAST_POINTS: Final = 8

QUIETER_STEPS: Final = 8
"""3 dB: of two that are as loud nobody can say which is the copy; both may be recordings of the whole call."""

Points = NDArray[np.float64]


class Track(NamedTuple):
    """A turn's contour and where it speaks. started_at : epoch ms of point 0."""

    participant: str
    started_at: int
    contour: Contour
    spoken: tuple[Utterance, ...]

    @property
    def ended_at(self) -> float:
        return self.started_at + self.contour.hop_ms * len(self.contour.f0)


def copies(one: Track, other: Track) -> frozenset[int]:
    """Which stretches of `one.spoken`, by index, are the other's voice; they share time with the other's audio."""
    ended_at = other.ended_at
    return frozenset(
        index
        for index, spoken in enumerate(one.spoken)
        if spoken.end > other.started_at and spoken.start < ended_at and _is_copy(one, spoken, other)
    )


def _is_copy(one: Track, spoken: Utterance, other: Track) -> bool:
    # The loudest points of the two tell most pairs apart, at a hundredth of the cost.
    first, last = _between(one, spoken.start, spoken.end)
    level = one.contour.level[first:last]
    begin, end = _between(other, spoken.start - LATEST_MS, spoken.end - EARLIEST_MS)
    beside = other.contour.level[begin:end]
    if not level or not beside or max(beside) - max(level) < QUIETER_STEPS:
        return False
    hop_ms, other_hop_ms = one.contour.hop_ms, other.contour.hop_ms
    f0 = one.contour.f0[first:last]
    count = len(f0) - f0.count(0)
    if count < LEAST_POINTS or count * hop_ms < LEAST_VOICED_MS:
        return False
    at_ms = one.started_at - other.started_at + (first + np.arange(len(f0)) + 0.5) * hop_ms
    ours, theirs = _points(f0), _points(other.contour.f0)
    voiced = ours > 0
    places, there = _places(at_ms[voiced] - LAGS_MS[:, np.newaxis], other_hop_ms, len(theirs))
    found = np.where(there, theirs[places], 0)
    same = ((np.abs(found - ours[voiced]) <= SAME_STEPS) & (found > 0)).sum(axis=1)
    best = int(same.argmax())
    if same[best] < SAME_SHARE * count:
        return False
    places, there = _places(at_ms - LAGS_MS[best], other_hop_ms, len(theirs))
    quiet, loud = _points(level), _points(other.contour.level)[places]
    heard_in_both = there & (quiet > 0) & (loud > 0)  # 0 is no level, but silence
    quiet, loud = quiet[heard_in_both], loud[heard_in_both]
    if not len(quiet) or np.median(loud - quiet) < QUIETER_STEPS:
        return False
    spread = quiet.std() * loud.std()
    return bool(spread > 0 and ((quiet - quiet.mean()) * (loud - loud.mean())).mean() >= LEVELS_AGREE * spread)


def _between(track: Track, start: int, end: int) -> tuple[int, int]:
    """The first and one past the last point of [start, end)."""
    hop_ms = track.contour.hop_ms
    return max(0, int((start - track.started_at) / hop_ms)), max(0, int((end - track.started_at) / hop_ms))


def _places(at_ms: NDArray[np.floating], hop_ms: float, points: int) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """The points of a contour at these times, and whether it has them; 0 where it has not."""
    places = np.floor(at_ms / hop_ms).astype(np.intp)
    there = (places >= 0) & (places < points)
    return np.where(there, places, 0), there


def _points(contour: bytes) -> Points:
    return np.frombuffer(contour, np.uint8).astype(np.float64)


@dataclass
class CrossTalk:
    """The cross-talk of a call's turns, kept up to date: a function of the turns, in whatever order they come.

    A turn costs those of others that it shares time with.
    """

    _tracks: dict[str, Track] = field(default_factory=dict)
    _starts: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """(started_at, turn_id), by participant."""
    _longest_ms: dict[str, int] = field(default_factory=dict)
    """No turn of the participant is longer."""
    _copies: dict[str, dict[str, frozenset[int]]] = field(default_factory=dict)
    """turn_id -> turn_id of another -> the stretches that are copies of it."""
    _copied_by: dict[str, set[str]] = field(default_factory=dict)

    def put(self, measured: MeasuredTurn, spoken: tuple[Utterance, ...]) -> dict[str, tuple[Utterance, ...]]:
        """Take a turn, or another revision of it.

        spoken : where it speaks. Returns where it does without cross-talk, and the same of others for which that is
        another now.
        """
        turn = measured.turn
        stale = self._take_out(turn.turn_id)
        if measured.contour is None or not spoken:
            return {turn.turn_id: spoken} | {one: self._without(one) for one in stale}
        track = Track(turn.participant, turn.started_at, measured.contour, spoken)
        for turn_id, other in self._beside(track):
            self._compare(turn.turn_id, track, turn_id, other)
            if self._compare(turn_id, other, turn.turn_id, track):
                stale.add(turn_id)
        self._tracks[turn.turn_id] = track
        insort(self._starts.setdefault(turn.participant, []), (turn.started_at, turn.turn_id))
        length_ms = ceil(track.ended_at) - turn.started_at
        self._longest_ms[turn.participant] = max(self._longest_ms.get(turn.participant, 0), length_ms)
        return {one: self._without(one) for one in (turn.turn_id, *stale)}

    def ms(self, turn_id: str) -> int:
        """How much speech of the turn is another's."""
        if turn_id not in self._copies:
            return 0
        spoken = self._tracks[turn_id].spoken
        cut = frozenset().union(*self._copies[turn_id].values())
        return sum(spoken[index].end - spoken[index].start for index in cut)

    def _without(self, turn_id: str) -> tuple[Utterance, ...]:
        spoken = self._tracks[turn_id].spoken
        if turn_id not in self._copies:
            return spoken
        cut = frozenset().union(*self._copies[turn_id].values())
        return tuple(one for index, one in enumerate(spoken) if index not in cut)

    def _beside(self, track: Track) -> Iterator[tuple[str, Track]]:
        """Turns of others that share time with the track."""
        ended_at = ceil(track.ended_at)
        for participant, starts in self._starts.items():
            if participant != track.participant:
                first = bisect_left(starts, (track.started_at - self._longest_ms[participant], ""))
                for _, turn_id in starts[first : bisect_left(starts, (ended_at, ""))]:
                    other = self._tracks[turn_id]
                    if other.ended_at > track.started_at:
                        yield turn_id, other

    def _compare(self, turn_id: str, track: Track, other_id: str, other: Track) -> bool:
        """Note what of the turn is a copy of the other; whether anything is."""
        found = copies(track, other)
        if found:
            self._copies.setdefault(turn_id, {})[other_id] = found
            self._copied_by.setdefault(other_id, set()).add(turn_id)
        return bool(found)

    def _take_out(self, turn_id: str) -> set[str]:
        """Forget a turn; the turns that had copies of it."""
        track = self._tracks.pop(turn_id, None)
        if track is None:
            return set()
        starts = self._starts[track.participant]
        del starts[bisect_left(starts, (track.started_at, turn_id))]
        for other_id in self._copies.pop(turn_id, {}):
            self._copied_by[other_id].discard(turn_id)
        copied_by = self._copied_by.pop(turn_id, set())
        for other_id in copied_by:
            del self._copies[other_id][turn_id]
            if not self._copies[other_id]:
                del self._copies[other_id]
        return copied_by
