"""Overlap events: two participants' spurts that share time, and their class by the plain rules.

Definitions are those of docs/dialogue.md, to the letter; the plain rules are the baseline that finer ones are measured
against. Literature: [HE10] Heldner & Edlund, J. Phonetics 38; [SSJ74] Sacks, Schegloff & Jefferson, Language 50;
[LT15] Levinson & Torreira, Front. Psychol. 6:731; [FDB] Full-Duplex-Bench, arXiv 2503.04721.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pipeline.dialogue.lexicon import may_be_backchannel
from pipeline.dialogue.spurts import Spurt
from schemas.annotated import OverlapClass, OverlapKind

FLOOR_TAKEN_MS = 500
"""The overlapper has the floor when it goes on alone for this long; a choice of ours."""

INTERRUPTION_MS = 300
"""Longer than the usual terminal overlap at a transition place [SSJ74, LT15]."""

SIMULTANEOUS_START_MS = 200
"""A reaction takes that long [LT15]: whoever starts closer than this did not hear the other yet."""

BACKCHANNEL_MS = 1_000
"""A backchannel's whole spurt is shorter."""


class OverlapEvent(NamedTuple):
    """One pair of spurts sharing [start, end), in ms.

    Sorted by its first fields: start, end, overlapper, overlapped. turn_id is that of the overlapper's turn in which
    the overlap starts.
    """

    start: int
    end: int
    overlapper: str
    overlapped: str
    kind: OverlapKind
    class_: OverlapClass
    floor_taken: bool
    turn_id: str

    @property
    def duration_ms(self) -> int:
        return self.end - self.start

    @property
    def yield_ms(self) -> int | None:
        """How long the overlapped went on after the overlapper came in; None when it did not yield (`within`)."""
        return self.end - self.start if self.kind == "between" else None


def overlaps(spurts: Mapping[str, Sequence[Spurt]]) -> list[OverlapEvent]:
    """Every overlap event of a call, sorted.

    spurts : participant -> its spurts, sorted by start and disjoint.
    n log n in the spurts plus the number of events.
    """
    starts = {participant: [spurt.start for spurt in own] for participant, own in spurts.items()}
    events: list[OverlapEvent] = []
    active: list[Spurt] = []
    for spurt in sorted(spurt for own in spurts.values() for spurt in own):
        active = [earlier for earlier in active if earlier.end > spurt.start]
        events.extend(
            _event(earlier, spurt, starts, spurts) for earlier in active if earlier.participant != spurt.participant
        )
        active.append(spurt)
    events.sort()
    return events


def _roles(one: Spurt, other: Spurt) -> tuple[Spurt, Spurt]:
    """(overlapper, overlapped): who started later; at a tie who stops first, then the greater name."""
    first, second = sorted((one, other), key=lambda spurt: (-spurt.start, spurt.end))
    if (first.start, first.end) == (second.start, second.end) and second.participant > first.participant:
        return second, first
    return first, second


def _event(
    one: Spurt, other: Spurt, starts: Mapping[str, Sequence[int]], spurts: Mapping[str, Sequence[Spurt]]
) -> OverlapEvent:
    overlapper, overlapped = _roles(one, other)
    start, end = overlapper.start, min(one.end, other.end)
    kind: OverlapKind = "between" if overlapper.end > overlapped.end else "within"
    floor_taken = False
    if kind == "between":
        after = bisect_right(starts[overlapped.participant], overlapped.start)
        own = spurts[overlapped.participant]
        until = min(overlapper.end, own[after].start) if after < len(own) else overlapper.end
        floor_taken = until - end >= FLOOR_TAKEN_MS
    return OverlapEvent(
        start=start,
        end=end,
        overlapper=overlapper.participant,
        overlapped=overlapped.participant,
        kind=kind,
        class_=_class(overlapper, overlapped, start, end, kind, floor_taken),
        floor_taken=floor_taken,
        turn_id=overlapper.utterances[0].turn_id,
    )


def _class(
    overlapper: Spurt, overlapped: Spurt, start: int, end: int, kind: OverlapKind, floor_taken: bool
) -> OverlapClass:
    if floor_taken and end - start >= INTERRUPTION_MS and start - overlapped.start >= SIMULTANEOUS_START_MS:
        return "interruption"
    if kind == "within" and overlapper.end - overlapper.start < BACKCHANNEL_MS and _words_allow(overlapper):
        return "backchannel"
    return "overlap"


def _words_allow(spurt: Spurt) -> bool:
    """Words count against a backchannel only when all of them are known.

    The stretches of a turn whose words have no times have one text: it counts once.
    """
    texts = dict.fromkeys((utterance.turn_id, utterance.text) for utterance in spurt.utterances)
    known = [text for _, text in texts if text is not None]
    return len(known) < len(texts) or may_be_backchannel(" ".join(known))
