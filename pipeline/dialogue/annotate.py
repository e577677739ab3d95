"""What a call's turns say about each other, summed up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pipeline.dialogue.floor import Floor
from pipeline.dialogue.overlap import OverlapEvent
from pipeline.dialogue.rules import PlainRules, Rules
from pipeline.dialogue.spurts import Utterance
from pipeline.dialogue.timeline import Timeline, TurnAnnotation
from schemas.annotated import Fault

PLAIN = PlainRules()


class ParticipantAnnotation(NamedTuple):
    speech_ms: int
    talk_ratio: float | None
    interruptions_made: int
    interruptions_received: int
    backchannels: int


class Annotation(NamedTuple):
    """What is said of a call. Quantities as docs/dialogue.md defines them, in ms; `turns` has the turns that speak."""

    turns: dict[str, TurnAnnotation]
    participants: Mapping[str, ParticipantAnnotation]
    overlaps: Sequence[OverlapEvent]
    floor: Floor
    faults: Sequence[Fault]
    duration_ms: int
    speech_ms: int
    overlap_ms: int
    interruptions: int
    backchannels: int

    @property
    def silence_ms(self) -> int:
        return self.duration_ms - self.speech_ms

    @property
    def silence_ratio(self) -> float | None:
        return self.silence_ms / self.duration_ms if self.duration_ms else None

    @property
    def turns_per_minute(self) -> float | None:
        """Of the turns that speak."""
        return 60_000 * len(self.turns) / self.duration_ms if self.duration_ms else None

    @property
    def overlap_ratio(self) -> float | None:
        return self.overlap_ms / self.speech_ms if self.speech_ms else None


def annotate(utterances: Iterable[Utterance], rules: Rules = PLAIN) -> Annotation:
    """Annotation of a call. utterances : where its turns speak, in any order; those of one turn are disjoint.

    n log n in the utterances plus the number of overlaps. Participants without speech are not in the result.
    """
    by_turn: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in utterances:
        by_turn[utterance.turn_id].append(utterance)
    timeline = Timeline(rules)
    timeline.update(by_turn)
    return annotation(timeline)


def annotation(timeline: Timeline) -> Annotation:
    """The timeline as it is now."""
    return Annotation(
        turns=timeline.turns,
        participants=_participants(timeline),
        overlaps=timeline.overlaps,
        floor=timeline.floor,
        faults=timeline.faults,
        duration_ms=timeline.duration_ms,
        speech_ms=timeline.speech_ms,
        overlap_ms=timeline.overlap_ms,
        interruptions=timeline.made.total(),
        backchannels=timeline.backchannels.total(),
    )


def _participants(timeline: Timeline) -> dict[str, ParticipantAnnotation]:
    everyones = timeline.own_ms.total()
    return {
        participant: ParticipantAnnotation(
            speech_ms=own,
            talk_ratio=own / everyones if everyones else None,
            interruptions_made=timeline.made[participant],
            interruptions_received=timeline.received[participant],
            backchannels=timeline.backchannels[participant],
        )
        for participant, own in sorted(timeline.own_ms.items())
    }
