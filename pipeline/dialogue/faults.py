"""What goes wrong between an agent and a user, from overlaps and from who has the floor. Definitions: docs/dialogue.md.

Roles decide who is agent and who is user: turns without a role have no faults. The thresholds are choices of ours. In
conversation the next speaker starts 200 ms after the last on average (Stivers et al. 2009, PNAS 106), and a gap of a
second is heard as trouble (Jefferson 1989, on the standard maximum silence); we allow a machine twice as much.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping

from pipeline.dialogue.floor import Holder
from pipeline.dialogue.overlap import OverlapEvent, Pair
from pipeline.dialogue.repetition import is_repetition
from pipeline.dialogue.spurts import Voice
from schemas.annotated import Fault, FaultKind

SLOW_ANSWER_MS = 2_000
DEAD_AIR_MS = 5_000
UNANSWERED_MS = 3_000

NOT_YIELDED_MS = 1_500
GAVE_UP_MS = 1_000
"""The user spoke for so long into the agent's speech before giving up."""

STOPPED_MS = 1_000
"""An agent that stops so soon after a backchannel stopped for it, unless it had come to its end."""

RESUMED_MS = 500
"""Who was at the end does not go on alone after so long a pause; who was made to stop does."""


REPEATS: Mapping[str, FaultKind] = {"agent": "agent_repeats", "user": "user_repeats"}

MOST_BEFORE = 32
"""Spurts that are looked back at, of the minute's: it bounds the cost."""


def of_overlap(event: OverlapEvent, pair: Pair, voices: Mapping[str, Voice]) -> Iterator[Fault]:
    """The faults of an overlap; they depend on no more than its class does."""
    held = pair.overlapped.held(pair.start)
    roles = pair.overlapper.utterances[0].role, held.role
    if roles == ("agent", "user") and event.class_ == "interruption":
        yield Fault(event.start, "agent_spoke_over_user", event.overlapper, event.turn_id, event.duration_ms)
    if roles != ("user", "agent"):
        return
    if event.class_ == "backchannel":
        if _stopped_for(pair, voices):
            yield Fault(event.start, "false_barge_in_stop", event.overlapped, held.turn_id, event.duration_ms)
    elif (event.yield_ms or 0) > NOT_YIELDED_MS or (event.kind == "within" and event.duration_ms >= GAVE_UP_MS):
        yield Fault(event.start, "agent_did_not_yield", event.overlapped, held.turn_id, event.duration_ms)


def of_transfer(before: Holder, after: Holder) -> Iterator[Fault]:
    """The faults between two that have the floor one after the other."""
    gap_ms = after.start - before.end
    if before.role == "user" and after.role == "agent" and gap_ms > SLOW_ANSWER_MS:
        yield Fault(before.end, "slow_answer", after.participant, after.first_turn_id, gap_ms)
    if before.role == "user" and before.participant == after.participant and gap_ms >= UNANSWERED_MS:
        yield Fault(before.end, "unanswered_turn", before.participant, before.last_turn_id, gap_ms)
    if before.role and after.role and gap_ms >= DEAD_AIR_MS:
        yield Fault(before.end, "dead_air", after.participant, after.first_turn_id, gap_ms)


def of_speech(voice: Voice, begin: int, end: int) -> Iterator[Fault]:
    """The faults of one participant's spurts that start in [begin, end]: what they say again.

    They depend on what the participant says up to `repetition.WITHIN_MS` before.
    """
    first, last = bisect_left(voice.starts, begin), bisect_right(voice.starts, end)
    for index in range(first, last):
        spurt = voice.spurts[index]
        kind = REPEATS.get(spurt.utterances[0].role)
        if kind is not None and is_repetition(spurt, voice.spurts[max(0, index - MOST_BEFORE) : index]):
            yield Fault(spurt.start, kind, spurt.participant, spurt.utterances[0].turn_id, spurt.end - spurt.start)


def _stopped_for(pair: Pair, voices: Mapping[str, Voice]) -> bool:
    """Whether the overlapped stops soon after the entry, and goes on after a pause without anybody else."""
    if pair.overlapped.end - pair.start > STOPPED_MS:
        return False
    own = voices[pair.overlapped.participant]
    index = own.begun(pair.overlapped.start) + 1
    if index == len(own.starts):
        return False
    resumes = own.starts[index]
    if not RESUMED_MS <= resumes - pair.overlapped.end <= DEAD_AIR_MS:
        return False
    return not any(
        voice.begun(resumes) > voice.begun(pair.start)
        for participant, voice in voices.items()
        if participant != pair.overlapped.participant
    )
