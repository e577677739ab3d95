"""What a call's turns say about each other: a pure function of the set of turns."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from pipeline.dialogue.floor import Floor, floor
from pipeline.dialogue.overlap import OverlapEvent, overlaps
from pipeline.dialogue.spurts import Interval, Utterance, spurts, total, union

RULES = "plain-2"
"""Version of the dialogue rules; rises when the same turns would be annotated otherwise."""


class TurnAnnotation(NamedTuple):
    """What is said of one turn. overlaps : those in which its participant comes in, and which start in it."""

    overlap_ms: int
    overlaps: tuple[OverlapEvent, ...]


class ParticipantAnnotation(NamedTuple):
    speech_ms: int
    talk_ratio: float | None
    interruptions_made: int
    interruptions_received: int
    backchannels: int


class Annotation(NamedTuple):
    """What is said of a call. Quantities as docs/dialogue.md defines them, in ms; `turns` has the turns that speak."""

    turns: Mapping[str, TurnAnnotation]
    participants: Mapping[str, ParticipantAnnotation]
    overlaps: Sequence[OverlapEvent]
    floor: Floor
    duration_ms: int
    speech_ms: int
    overlap_ms: int
    interruptions: int
    backchannels: int

    @property
    def silence_ms(self) -> int:
        return self.duration_ms - self.speech_ms

    @property
    def overlap_ratio(self) -> float | None:
        return self.overlap_ms / self.speech_ms if self.speech_ms else None


NO_OVERLAP = TurnAnnotation(0, ())


def annotate(utterances: Iterable[Utterance]) -> Annotation:
    """Annotation of a call. utterances : where its turns speak, in any order; those of one turn are disjoint.

    n log n in the utterances plus the number of overlaps. Participants without speech are not in the result.
    """
    by_participant: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_participant[utterance.participant].append(utterance)
    activity = {
        participant: union((start, end) for start, end, *_ in own) for participant, own in by_participant.items()
    }
    everyone = [interval for own in activity.values() for interval in own]
    spoken = union(everyone)
    shared = _shared(everyone)
    found = {participant: spurts(own) for participant, own in by_participant.items()}
    # Not only where activity is shared: spurts bridge own silences, and may overlap where no two are active.
    events = overlaps(found)
    return Annotation(
        turns=_turns(by_participant, shared, events),
        participants=_participants(activity, events),
        overlaps=events,
        floor=floor(chain.from_iterable(found.values())),
        duration_ms=spoken[-1].end - spoken[0].start if spoken else 0,
        speech_ms=total(spoken),
        overlap_ms=total(shared),
        interruptions=sum(event.class_ == "interruption" for event in events),
        backchannels=sum(event.class_ == "backchannel" for event in events),
    )


def _shared(activity: Sequence[Interval]) -> list[Interval]:
    """Where two or more are active.

    a |--------|   |-----|
    b      |---------|
           |---|   |-|
    """
    edges = sorted([(start, 1) for start, _ in activity] + [(end, -1) for _, end in activity])
    found: list[Interval] = []
    active = 0
    since = 0
    for at, step in edges:  # at one instant ends (-1) sort before starts: touching is not sharing
        if step > 0 and active == 1:
            since = at
        elif step < 0 and active == 2:  # noqa: PLR2004 - two speakers
            found.append(Interval(since, at))
        active += step
    return found


def _turns(
    by_participant: Mapping[str, Sequence[Utterance]],
    shared: Sequence[Interval],
    events: Sequence[OverlapEvent],
) -> dict[str, TurnAnnotation]:
    started: dict[str, list[OverlapEvent]] = defaultdict(list)
    for event in events:
        started[event.turn_id].append(event)
    ends = [interval.end for interval in shared]
    overlap_ms: dict[str, int] = defaultdict(int)
    for own in by_participant.values():
        for utterance in own:
            overlap_ms[utterance.turn_id] += _within(utterance, shared, ends)
    return {
        turn_id: TurnAnnotation(overlap, tuple(started.get(turn_id, ()))) for turn_id, overlap in overlap_ms.items()
    }


def _within(utterance: Utterance, shared: Sequence[Interval], ends: Sequence[int]) -> int:
    """Time of the utterance in `shared` [ms]: its participant is active there, so the other is someone else."""
    overlap = 0
    for index in range(bisect_right(ends, utterance.start), len(shared)):
        start, end = shared[index]
        if start >= utterance.end:
            break
        overlap += min(end, utterance.end) - max(start, utterance.start)
    return overlap


def _participants(
    activity: Mapping[str, Sequence[Interval]], events: Sequence[OverlapEvent]
) -> dict[str, ParticipantAnnotation]:
    speech_ms = {participant: total(own) for participant, own in activity.items()}
    everyones = sum(speech_ms.values())
    made = Counter(event.overlapper for event in events if event.class_ == "interruption")
    received = Counter(event.overlapped for event in events if event.class_ == "interruption")
    backchannels = Counter(event.overlapper for event in events if event.class_ == "backchannel")
    return {
        participant: ParticipantAnnotation(
            speech_ms=own,
            talk_ratio=own / everyones if everyones else None,
            interruptions_made=made[participant],
            interruptions_received=received[participant],
            backchannels=backchannels[participant],
        )
        for participant, own in sorted(speech_ms.items())
    }
