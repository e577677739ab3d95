"""From turns to speech: a participant's activity, and its spurts.

Definitions (docs/dialogue.md): *activity* is where the turns of a participant speak; a *spurt* is activity with own
silences shorter than 200 ms bridged (inter-pausal unit). Intervals are half open, in ms: turns that touch share no
time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from pipeline.dialogue.lexicon import without_tags
from schemas.measured import PAUSE_MS, MeasuredTurn
from schemas.turn import ReceivedTurn


class Interval(NamedTuple):
    """[start, end) in ms."""

    start: int
    end: int


class Utterance(NamedTuple):
    """A stretch in which a turn speaks, the whole of it or a part.

    text : None when the words are unknown. language : primary subtag, in lower case; "" when it is not declared. role :
    "" when it is not known. parts : how many stretches of its turn `text` is of, when nobody knows what is in which.
    voiced : share of it in which there is an F0; None without acoustics.
    """

    start: int
    end: int
    turn_id: str
    participant: str
    text: str | None
    language: str = ""
    role: str = ""
    parts: int = 1
    voiced: float | None = None

    @property
    def words(self) -> str | None:
        """What is said in this stretch; None where that is not known."""
        return self.text if self.parts == 1 else None


class Spurt(NamedTuple):
    """A stretch of one participant's speech, made of `utterances` (in order of start)."""

    start: int
    end: int
    participant: str
    utterances: tuple[Utterance, ...]

    def held(self, at: int) -> Utterance:
        """The utterance that runs at `at`: of several the one begun last; where none does, the one that ended last."""
        begun = bisect_right(self.utterances, at, key=_start)
        near = self.utterances[max(0, begun - MOST_AT_ONCE) : begun]
        for utterance in reversed(near):
            if utterance.end > at:
                return utterance
        return max(near, key=_end)


MOST_AT_ONCE = 64
"""Own turns on top of one another that are looked through for the one that runs."""


def _start(utterance: Utterance) -> int:
    return utterance.start


def _end(utterance: Utterance) -> int:
    return utterance.end


def speech(
    start: int, end: int, turn_id: str, participant: str, text: str, *, language: str | None = None, role: str = ""
) -> Utterance | None:
    """The utterance of an interval; None for no speech: zero length, or a text of nothing but tags (`[laughter]`).

    `[unintelligible]`, `[inaudible]` and `[unk]` are words; an empty text is speech of unknown words.
    """
    if end <= start or (text.strip() and not without_tags(text).strip()):
        return None
    subtag = (language or "").split("-", 1)[0].lower()
    return Utterance(start, end, turn_id, participant, text if text.strip() else None, subtag, role)


def utterances(measured: MeasuredTurn) -> tuple[Utterance, ...]:
    """Where a turn speaks, in order and disjoint; nowhere when its text is no speech.

    turn      |--------------------|
    segments    |----|    |-----------|
    speaks      |----|    |--------|

    Its whole interval when its audio was not measured; also when no speech was found in the audio but the text has
    words, for these were spoken: too quietly, or the audio is another's.
    """
    turn = measured.turn
    whole = _speech(turn, turn.started_at, turn.ended_at, turn.text)
    if whole is None:
        return ()
    if measured.not_measured_reason is not None:
        return (whole,)
    clipped = (
        (max(turn.started_at + segment.start_ms, whole.start), min(turn.started_at + segment.end_ms, whole.end))
        for segment in measured.segments
    )
    active = union((start, end) for start, end in clipped if start < end)
    if not active:
        return () if whole.text is None else (whole,)
    parts = 1 if turn.words else len(active)
    found = []
    for (start, end), text in zip(active, _texts(turn, active), strict=True):
        said = whole if text is turn.text else _speech(turn, start, end, text)
        if said is not None:
            voiced = _voiced(measured, start, end)
            found.append(said._replace(start=start, end=end, parts=parts, voiced=voiced))
    return tuple(found)


def _voiced(measured: MeasuredTurn, start: int, end: int) -> float | None:
    if measured.contour is None:
        return None
    hop_ms = measured.contour.hop_ms
    begin = measured.turn.started_at
    points = measured.contour.f0[int((start - begin) / hop_ms) : int((end - begin) / hop_ms) + 1]
    return 1 - points.count(0) / len(points) if points else None


def _speech(turn: ReceivedTurn, start: int, end: int, text: str) -> Utterance | None:
    return speech(start, end, turn.turn_id, turn.participant, text, language=turn.language, role=turn.role)


def _texts(turn: ReceivedTurn, active: Sequence[Interval]) -> list[str]:
    """What is said in each interval: the words whose middle is nearest to it, or all the text when they have no times.

    Nearest, not inside: a recogniser's times are rough, and no word may get lost.
    """
    if not turn.words or len(active) == 1:
        return [turn.text] * len(active)
    said: list[list[str]] = [[] for _ in active]
    pauses = [before.end + after.start for before, after in pairwise(active)]  # their middle, doubled as the words'
    for word in turn.words:
        said[bisect_right(pauses, word.started_at + word.ended_at)].append(word.w)
    return [" ".join(words) for words in said]


def union(intervals: Iterable[tuple[int, int]]) -> list[Interval]:
    """The intervals with those merged that overlap or touch; sorted.

    |----|      |--|
       |----|      |--|
    |-------|   |-----|
    """
    merged: list[Interval] = []
    start = end = 0
    for next_start, next_end in sorted(intervals):
        if merged and next_start <= end:
            if next_end > end:
                end = next_end
                merged[-1] = Interval(start, end)
        else:
            start, end = next_start, next_end
            merged.append(Interval(start, end))
    return merged


def total(intervals: Iterable[Interval]) -> int:
    """Length of disjoint intervals [ms]."""
    return sum(interval.end - interval.start for interval in intervals)


def spurts(utterances: Sequence[Utterance]) -> list[Spurt]:
    """The spurts of ONE participant's utterances, sorted by start."""
    found: list[Spurt] = []
    group: list[Utterance] = []
    end = 0
    for utterance in sorted(utterances):
        if group and utterance.start - end >= PAUSE_MS:
            found.append(Spurt(group[0].start, end, group[0].participant, tuple(group)))
            group = []
        end = max(end, utterance.end) if group else utterance.end
        group.append(utterance)
    if group:
        found.append(Spurt(group[0].start, end, group[0].participant, tuple(group)))
    return found


class Voice:
    """One participant's spurts, disjoint and in order. starts : of each."""

    def __init__(self) -> None:
        self.spurts: list[Spurt] = []
        self.starts: list[int] = []

    def between(self, begin: int, end: int) -> tuple[int, int]:
        """The first and one past the last of the spurts that share time with [begin, end] or touch it."""
        first = bisect_left(self.starts, begin)
        if first and self.spurts[first - 1].end >= begin:
            first -= 1
        return first, max(first, bisect_right(self.starts, end))

    def begun(self, at: int) -> int:
        """The last spurt that has begun at `at`, -1 when none has."""
        return bisect_right(self.starts, at) - 1

    def replace(self, first: int, last: int, spurts: Sequence[Spurt]) -> None:
        """Put spurts in the place of those from `first` to before `last`."""
        self.spurts[first:last] = spurts
        self.starts[first:last] = [spurt.start for spurt in spurts]
