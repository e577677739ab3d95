"""A call: the set of its turns and events, and what follows from the set.

Records may come in any order, doubled, late or revised; whatever the order, the same set gives the same rows.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from pipeline.dialogue import arousal
from pipeline.dialogue.annotate import Annotation, annotation
from pipeline.dialogue.baseline import Baselines
from pipeline.dialogue.clocks import delay_p50, skews
from pipeline.dialogue.crosstalk import CrossTalk
from pipeline.dialogue.evidence import Sound
from pipeline.dialogue.floor import quantiles
from pipeline.dialogue.frustration import SIGNS_OF_VOICE, Courses, Told
from pipeline.dialogue.order import Place
from pipeline.dialogue.overlap import OverlapEvent
from pipeline.dialogue.phases import outcome, phases
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Utterance, utterances
from pipeline.dialogue.tally import Cues, Tally
from pipeline.dialogue.timeline import NO_OVERLAP, Timeline
from pipeline.dialogue.tone import Tone
from pipeline.dialogue.trend import Trends
from schemas.annotated import (
    AnnotatedEvent,
    AnnotatedTurn,
    CallSummary,
    Overlap,
    ParticipantSummary,
    Phase,
)
from schemas.event import ReceivedEvent, Value
from schemas.identity import Position, revision
from schemas.measured import MeasuredTurn
from schemas.records import Measured, source

IDLE_MS = 15 * 60 * 1000
"""A call nobody ended closes this long after its last record was received."""

ENDED_MS = 10 * 1000
"""A call with `call_ended` among its records closes this long after the last: stragglers of other workers arrive."""

KEPT_MS = 24 * 60 * 60 * 1000
"""A closed call is kept this long: a record received meanwhile reopens it."""

MAX_LISTED = 200
"""Faults, silences and turnings written with a call, the first ones: a summary is written at every batch that touches
the call."""

SHARE_DECIMALS = 3

MARKS = ("transfer", "outcome", "call_ended")

BEGINNING = Position(0, 0)

NO_SOUND = Sound()

MAX_PARTICIPANTS = 256
"""One turn among so many who all speak at once costs 0.5 s, and 11 s when each of them pauses 28 times meanwhile."""

MAX_OVERLAPS = 500
"""Overlaps written with a turn, the first ones: with ids of 256 bytes 0.6 MB at most, which a record has room for.
Hours of beeps on two channels have more, and a record that no topic takes would stop its partition."""

RecordId = tuple[str, str]
"""("turn", turn_id) or ("event", event_id)."""


def record_id(record: Measured) -> RecordId:
    if isinstance(record, MeasuredTurn):
        return ("turn", record.turn.turn_id)
    return ("event", record.event_id)


def received_ms(record: Measured) -> int:
    """When the gateway received the record, epoch ms."""
    return source(record).received_at // 1000


def closed_at(latest_ms: int, *, ended: bool) -> int:
    """Epoch ms at which a call closes whose latest record was received then; ended : whether `call_ended` is in it."""
    return latest_ms + (ENDED_MS if ended else IDLE_MS)


@dataclass
class Call:
    """One call's records and the annotation of the set, kept up to date by `annotate`.

    opened_at : epoch ms at which the first record to come was received; never changes.
    closed : whether the closed summary has been emitted for the records as they are.
    has_rows_of_other_rules : whether its turns were annotated by other rules; then all are again, when a record comes.
    newest : position of the newest record in the set. due : when `Calls.advance` looks at the call next [epoch ms].
    changed : the turns of which the latest `annotate` says something else than the one before.
    """

    workspace: str
    call_id: str
    opened_at: int
    rules: Rules
    tone: Tone
    records: dict[RecordId, tuple[Measured, Position]] = field(default_factory=dict)
    closed: bool = False
    has_rows_of_other_rules: bool = False
    annotation: Annotation | None = None
    newest: Position = BEGINNING
    due: int | None = None
    baselines: Baselines = field(default_factory=Baselines)
    changed: set[RecordId] = field(default_factory=set)
    tally: Tally = field(default_factory=Tally)
    timeline: Timeline = field(init=False)
    courses: Courses = field(default_factory=Courses)
    trends: Trends = field(default_factory=Trends)
    crosstalk: CrossTalk = field(default_factory=CrossTalk)
    sentiments: dict[str, float] = field(default_factory=dict)
    """By turn_id, of turns that have one."""
    _received_ms: int = 0
    _ended_by: set[RecordId] = field(default_factory=set)
    _marks: dict[RecordId, ReceivedEvent] = field(default_factory=dict)
    """Events that tell of phases or of the outcome."""
    _pending: dict[str, tuple[Utterance, ...]] = field(default_factory=dict)
    """Where the turns speak that came since the latest `annotate`, and those in which cross-talk was found since."""
    _sounds: dict[str, Sound] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.timeline = Timeline(self.rules)

    def takes(self, record: Measured) -> bool:
        """Whether the call has room for the record's participant."""
        if not isinstance(record, MeasuredTurn) or record.turn.participant in self.tally.talkers:
            return True
        return len(self.tally.talkers) < MAX_PARTICIPANTS

    def add(self, record: Measured, position: Position) -> bool:
        """Take the record into the set; False when it is there already, or a newer revision is."""
        identity = record_id(record)
        known = self.records.get(identity)
        if known is not None and revision(source(known[0])) >= revision(source(record)):
            return False
        self.records[identity] = (record, position)
        # Of a set that only grows, or has a record replaced by one received no earlier: so these are kept, not sought.
        self.newest = max(self.newest, position)
        self._received_ms = max(self._received_ms, received_ms(record))
        if isinstance(record, ReceivedEvent):
            if record.type == "call_ended":
                self._ended_by.add(identity)
            else:
                self._ended_by.discard(identity)
            if record.type in MARKS:
                self._marks[identity] = record
            else:
                self._marks.pop(identity, None)
        else:
            for turn_id, spoken in self.crosstalk.put(record, utterances(record)).items():
                self._pending[turn_id] = spoken
                self._hear(turn_id, spoken)
        return True

    def annotate(self) -> Annotation:
        """Annotation of the set as it is now; also kept in `annotation`, and every z in `baselines`."""
        changed = self.baselines.update()
        # Where a turn speaks, or that it does not any more, is something that is said of it.
        changed |= self._pending.keys() | self.timeline.update(self._pending, self._new_sounds(changed))
        for turn_id in changed:
            self.courses.mark(turn_id)
        for fault in self.timeline.moved:
            self.courses.mark(fault.turn_id)
            self.courses.mark_after((fault.at, ""))
        changed |= self.courses.update(self._told) | self.trends.update()
        self.changed = {("turn", turn_id) for turn_id in changed}
        self._pending = {}
        self.annotation = annotation(self.timeline)
        return self.annotation

    def phases(self) -> list[Phase]:
        """Who handles the call when."""
        asked_at = self.tally.transfers[0][0] if self.tally.transfers else None
        return phases(self.tally.turns, self.tally.human, self._marks.values(), asked_at)

    def outcome(self) -> dict[str, Value]:
        """What the latest outcome event says."""
        return outcome(self._marks.values())

    def closed_at(self) -> int:
        """Epoch ms at which the call closes, unless a further record is received: a function of the set alone."""
        return closed_at(self._received_ms, ended=bool(self._ended_by))

    def _hear(self, turn_id: str, spoken: tuple[Utterance, ...]) -> None:
        """Take what a turn says: what of it is no speech, or another's, counts for nothing."""
        measured = self._measured(turn_id)
        turn, speaks = measured.turn, bool(spoken)
        crosstalk_ms = self.crosstalk.ms(turn_id)
        # What is mostly another's voice is no baseline of this one.
        if not crosstalk_ms or crosstalk_ms <= sum(one.end - one.start for one in spoken):
            self.baselines.put(measured)
        else:
            self.baselines.take_out(turn_id)
        if crosstalk_ms:
            # Whose words they are is known by their times alone.
            own = " ".join(one.words or "" for one in spoken)
            turn = msgspec.structs.replace(turn, text=own)
        self.courses.put(turn, speaks=speaks)
        sentiment = self.tone.sentiment(turn) if speaks else None
        if sentiment is None:
            self.sentiments.pop(turn_id, None)
        else:
            self.sentiments[turn_id] = sentiment
        self.trends.put(turn_id, turn.participant, turn.started_at, sentiment)
        cues = Cues(
            not_understood=speaks and turn.role == "agent" and self.tone.not_understood(turn),
            transfer=speaks and turn.role != "human_agent" and self.tone.transfers(turn),
        )
        self.tally.put(turn, speaks=speaks, cues=cues)

    def _told(self, turn_id: str, before: Place) -> Told:
        """What is said of a user's turn for its frustration."""
        turn = self._measured(turn_id).turn
        faults = self.timeline.faults
        waited_ms = max(
            (
                fault.duration_ms
                for fault in faults[bisect_left(faults, (before[0] + 1,)) : bisect_left(faults, (turn.started_at + 1,))]
                if fault.kind in ("slow_answer", "unanswered_turn")
            ),
            default=0,
        )
        own = faults[bisect_left(faults, (turn.started_at,)) : bisect_left(faults, (turn.ended_at + 1,))]
        overlaps = self.timeline.turns.get(turn_id, NO_OVERLAP).overlaps
        told, now = (bisect_left(self.tally.misunderstandings, place) for place in (before, (turn.started_at, turn_id)))
        return Told(
            z=self.baselines.z_of(turn_id, SIGNS_OF_VOICE),
            sentiment=self.sentiments.get(turn_id),
            repeats=any(fault.kind == "user_repeats" and fault.turn_id == turn_id for fault in own),
            interruption=max((_certainty(event) for event in overlaps if event.class_ == "interruption"), default=0.0),
            waited_ms=waited_ms,
            not_understood=told < now,
        )

    def _new_sounds(self, turn_ids: Iterable[str]) -> dict[str, Sound]:
        """How those of the turns sound that sound otherwise than before."""
        found = {}
        for turn_id in turn_ids:
            z = self.baselines.z_of(turn_id, Sound._fields)
            sound = Sound(**z)
            if sound != self._sounds.get(turn_id, NO_SOUND):
                found[turn_id] = self._sounds[turn_id] = sound
        return found

    def _measured(self, turn_id: str) -> MeasuredTurn:
        record, _ = self.records["turn", turn_id]
        assert isinstance(record, MeasuredTurn)  # noqa: S101 - by its identity
        return record


def _certainty(event: OverlapEvent) -> float:
    """Of its class; the plain rules are sure of theirs."""
    return 1.0 if event.confidence is None else event.confidence


def annotated_turn(
    call: Call, annotation: Annotation, turn: MeasuredTurn, version: int, generation: int
) -> AnnotatedTurn:
    """The turn with what the call says of it."""
    said = annotation.turns.get(turn.turn.turn_id, NO_OVERLAP)
    course = call.courses.found.get(turn.turn.turn_id)
    return AnnotatedTurn(
        workspace=call.workspace,
        generation=generation,
        opened_at=call.opened_at,
        version=version,
        measured=turn,
        rules=call.rules.version,
        overlap_ms=said.overlap_ms,
        overlaps=[_overlap(event) for event in said.overlaps[:MAX_OVERLAPS]],
        sentiment=call.sentiments.get(turn.turn.turn_id),
        sentiment_ema=call.trends.found.get(turn.turn.turn_id),
        arousal=arousal.arousal(call.baselines.z_of(turn.turn.turn_id, arousal.FEATURES)),
        crosstalk_ms=call.crosstalk.ms(turn.turn.turn_id),
        frustration=None if course is None else course.value,
        frustration_signs={} if course is None else dict(course.signs),
        z=call.baselines.z(turn.turn.turn_id),
    )


def annotated_event(call: Call, event: ReceivedEvent, version: int, generation: int) -> AnnotatedEvent:
    """The event as an event of the call."""
    return AnnotatedEvent(
        workspace=call.workspace,
        generation=generation,
        opened_at=call.opened_at,
        version=version,
        event=event,
    )


def summary(call: Call, annotation: Annotation, generation: int) -> CallSummary:
    """The call as a whole, open or closed as `call.closed` says."""
    talkers, whole = call.tally.talkers, call.tally.turns
    turns = sum(talker.turns for talker in talkers.values())
    skewed = skews({participant: talker.delays_ms for participant, talker in talkers.items()})
    floor = annotation.floor
    offsets = quantiles(floor.offsets_ms)
    of_agent, of_user = (
        quantiles(floor.responses_ms.get(roles, [])) for roles in (("user", "agent"), ("agent", "user"))
    )
    return CallSummary(
        workspace=call.workspace,
        generation=generation,
        call_id=call.call_id,
        opened_at=call.opened_at,
        version=call.newest.version(closed=call.closed),
        state="closed" if call.closed else "open",
        closed_at=call.closed_at(),
        started_at=whole.start if whole else None,
        ended_at=whole.end if whole else None,
        turns=turns,
        events=len(call.records) - turns,
        duration_ms=annotation.duration_ms,
        speech_ms=annotation.speech_ms,
        overlap_ms=annotation.overlap_ms,
        overlap_ratio=annotation.overlap_ratio,
        silence_ms=annotation.silence_ms,
        silence_ratio=annotation.silence_ratio,
        turns_per_minute=annotation.turns_per_minute,
        silences=floor.silences[:MAX_LISTED],
        interruptions=annotation.interruptions,
        backchannels=annotation.backchannels,
        transfers=offsets.n,
        transfers_overlapped=bisect_left(floor.offsets_ms, 0),
        fto_p5_ms=offsets.p5,
        fto_p25_ms=offsets.p25,
        fto_p50_ms=offsets.p50,
        fto_p75_ms=offsets.p75,
        fto_p95_ms=offsets.p95,
        agent_response_p50_ms=of_agent.p50,
        agent_response_p95_ms=of_agent.p95,
        user_response_p50_ms=of_user.p50,
        user_response_p95_ms=of_user.p95,
        longest_monologue_ms=floor.monologues[-1].length_ms if floor.monologues else 0,
        longest_monologue_by=floor.monologues[-1].participant if floor.monologues else None,
        frustration_max=call.courses.greatest(),
        frustration_start=call.courses.at_start(),
        frustration_end=call.courses.at_end(),
        frustration_slope=call.courses.slope_per_minute(),
        turnings=call.courses.turnings[:MAX_LISTED],
        fault_counts={kind: count for kind, count in sorted(call.timeline.fault_counts.items()) if count},
        faults=call.timeline.faults[:MAX_LISTED],
        participants=[
            ParticipantSummary(
                participant=participant,
                role=talkers[participant].role,
                turns=talkers[participant].turns,
                speech_ms=said.speech_ms,
                talk_ratio=said.talk_ratio,
                interruptions_made=said.interruptions_made,
                interruptions_received=said.interruptions_received,
                backchannels=said.backchannels,
                sentiment_ema=call.trends.at_end(participant),
                delay_p50_ms=delay_p50(talkers[participant].delays_ms),
                clock_skew_ms=skewed.get(participant),
            )
            for participant, said in annotation.participants.items()
        ],
        phases=call.phases(),
        outcome=call.outcome(),
        rules=call.rules.version,
    )


def _overlap(event: OverlapEvent) -> Overlap:
    return Overlap(
        overlapper=event.overlapper,
        overlapped=event.overlapped,
        started_at=event.start,
        duration_ms=event.duration_ms,
        kind=event.kind,
        class_=event.class_,
        floor_taken=event.floor_taken,
        yield_ms=event.yield_ms,
        spoken_share=round(event.spoken_share, SHARE_DECIMALS),
        confidence=_rounded(event.confidence),
        p_interruption=_rounded(event.p_interruption),
        p_backchannel=_rounded(event.p_backchannel),
        basis=event.basis,
        evidence=list(event.evidence),
        competition=event.competition,
    )


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, SHARE_DECIMALS)
