"""From turns to speech: a participant's activity, and its spurts.

Definitions (docs/dialogue.md): *activity* is the union of a participant's turns; a *spurt* is activity with own
silences shorter than 200 ms bridged (inter-pausal unit). Intervals are half open, in ms: turns that touch share no
time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pipeline.dialogue.lexicon import without_tags

BRIDGE_MS = 200
"""Own silences shorter than this belong to a spurt: 180-200 ms is usual [HE10, LT15]; 200 itself is a pause."""


class Interval(NamedTuple):
    """[start, end) in ms."""

    start: int
    end: int


class Utterance(NamedTuple):
    """A turn as the dialogue rules see it. text is None when the words are unknown."""

    start: int
    end: int
    turn_id: str
    participant: str
    text: str | None


class Spurt(NamedTuple):
    """A stretch of one participant's speech, made of `utterances` (in order of start)."""

    start: int
    end: int
    participant: str
    utterances: tuple[Utterance, ...]


def speech(start: int, end: int, turn_id: str, participant: str, text: str) -> Utterance | None:
    """The utterance of a turn; None for what is no speech: zero length, or a text of nothing but tags (`[laughter]`).

    `[unintelligible]`, `[inaudible]` and `[unk]` are words; an empty text is speech of unknown words.
    """
    if end <= start or (text.strip() and not without_tags(text).strip()):
        return None
    return Utterance(start, end, turn_id, participant, text if text.strip() else None)


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
        if group and utterance.start - end >= BRIDGE_MS:
            found.append(Spurt(group[0].start, end, group[0].participant, tuple(group)))
            group = []
        end = max(end, utterance.end) if group else utterance.end
        group.append(utterance)
    if group:
        found.append(Spurt(group[0].start, end, group[0].participant, tuple(group)))
    return found
