"""Annotated records: what the calls stage says of turns, events and whole calls."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

from msgspec import Meta, Struct

from schemas.event import ReceivedEvent
from schemas.measured import MeasuredTurn
from schemas.turn import Role

Count = Annotated[int, Meta(ge=0, lt=2**32)]
"""A number of things, or a length in ms: what fits a UInt32."""

OverlapKind = Literal["between", "within"]
OverlapClass = Literal["interruption", "backchannel", "dual_start", "terminal_overlap", "noise", "undecided", "overlap"]
"""overlap is the plain rules' word for what is neither of the first two; the product's tell it apart."""
Competition = Literal["competitive", "cooperative"]
OverlapBasis = Literal["words", "times"]
RulesName = Literal["product", "plain"]
CallState = Literal["open", "closed"]

Version = Annotated[
    int,
    Meta(
        description="Rises with every change of the row: topic epoch, offset in turns.measured, closed (see identity)."
    ),
]
OpenedAt = Annotated[
    int,
    Meta(description="Epoch ms at which the call's first record was received; tells apart calls that reuse a call_id."),
]


class Evidence(NamedTuple):
    """What spoke for an overlap's class or against it. weight : what it adds to the log odds, over its average."""

    name: str
    weight: float


FaultKind = Literal[
    "agent_spoke_over_user",
    "agent_did_not_yield",
    "false_barge_in_stop",
    "slow_answer",
    "dead_air",
    "unanswered_turn",
    "agent_repeats",
    "user_repeats",
]


PhaseName = Literal["ai", "escalation", "human", "after"]


PhaseSource = Literal["roles", "events", "text"]


class Phase(NamedTuple):
    """Who handles the call: [started_at, ended_at) in epoch ms. Definitions: docs/dialogue.md.

    source : what its beginning rests on; text is a guess from what was said.
    """

    phase: PhaseName
    started_at: int
    ended_at: int
    source: PhaseSource = "roles"


class Silence(NamedTuple):
    """Nobody speaks for long. Definitions: docs/dialogue.md.

    at : epoch ms. before, after : the participants who spoke last and next. due : the role that should have spoken; ""
    where roles are unknown.
    """

    at: int
    duration_ms: int
    before: str
    after: str
    due: Role | Literal[""]


TurningKind = Literal["escalation", "de_escalation"]


class Turning(NamedTuple):
    """A user's frustration turns: it reaches 0.5, or it has fallen to 0.25 since. at : epoch ms, the turn's start."""

    at: int
    kind: TurningKind
    participant: str
    turn_id: str
    frustration: float


FrustrationSign = Literal[
    "raised_voice",
    "faster_speech",
    "over_articulated",
    "negative_words",
    "repeats",
    "interrupts",
    "kept_waiting",
    "not_understood",
]


class Fault(NamedTuple):
    """What went wrong between agent and user. Definitions: docs/dialogue.md.

    at : epoch ms. participant, turn_id : of the turn that it is told of. duration_ms : of the overlap or the gap.
    """

    at: int
    kind: FaultKind
    participant: str
    turn_id: str
    duration_ms: int


class Overlap(Struct, frozen=True, rename={"class_": "class"}):
    """Two participants speaking at once. Definitions: docs/dialogue.md."""

    overlapper: Annotated[str, Meta(description="Who started later.")]
    overlapped: Annotated[str, Meta(description="Who was speaking already.")]
    started_at: Annotated[int, Meta(description="Epoch ms.")]
    duration_ms: Count
    kind: Annotated[OverlapKind, Meta(description="between: the overlapper goes on after the overlapped; else within.")]
    class_: Annotated[OverlapClass, Meta(description="By the rules that the turn names.")]
    floor_taken: Annotated[bool, Meta(description="The overlapper goes on alone for 500 ms or more.")]
    yield_ms: Annotated[
        Count | None,
        Meta(description="How long the overlapped went on after the overlapper's start; None when within."),
    ]
    spoken_share: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Share of the overlapped's turn, from pause to pause, that was over at that start."),
    ] = None
    confidence: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Probability of the class; None by the plain rules."),
    ] = None
    p_interruption: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="Probability that it is one, whatever its class.")
    ] = None
    p_backchannel: Annotated[Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="The same.")] = None
    basis: Annotated[
        OverlapBasis | None,
        Meta(description="Whether the words were known or times had to do; None by the plain rules."),
    ] = None
    evidence: Annotated[
        list[Evidence], Meta(description="What weighed most for the class (above 0) and against it, in log odds.")
    ] = []
    competition: Annotated[
        Competition | None,
        Meta(description="Of an interruption, whether it is for the floor or with the speaker; None when undecidable."),
    ] = None


class AnnotatedTurn(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="record", tag="turn"):
    """A turn on `turns.annotated`."""

    workspace: str
    generation: int
    opened_at: OpenedAt
    version: Version
    measured: MeasuredTurn
    rules: Annotated[str, Meta(description="Version of the dialogue rules.")]
    overlap_ms: Annotated[Count, Meta(description="Time in which this turn and anyone else are active.")] = 0
    overlaps: Annotated[
        list[Overlap], Meta(description="Overlaps that start in this turn, its speaker the overlapper.")
    ] = []
    sentiment: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        Meta(description="Of the text's words, -1 to 1; None when there are none, or none that are English."),
    ] = None
    sentiment_ema: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        Meta(description="Exponential moving average of the participant's sentiment up to this turn; None as that is."),
    ] = None
    arousal: Annotated[
        Annotated[float, Meta(ge=-1, le=1)] | None,
        Meta(description="Louder, higher and faster than the speaker so far (above 0), or less so; None without z."),
    ] = None
    crosstalk_ms: Annotated[
        Count, Meta(description="Speech in this turn's audio that is another's voice; it counts for nothing.")
    ] = 0
    frustration: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None,
        Meta(description="Of a user at this turn, 0 to 1; None for others. What it is and is not: docs/dialogue.md."),
    ] = None
    frustration_signs: Annotated[
        dict[FrustrationSign, float],
        Meta(description="What each sign adds to the load of this turn; those of 0 left out."),
    ] = {}
    z: Annotated[
        dict[str, float],
        Meta(
            description="Feature -> how far it lies from what the speaker was in this call before, in robust standard "
            "deviations, -20 to 20; a feature without z is left out. Definition: docs/features.md."
        ),
    ] = {}


class AnnotatedEvent(Struct, frozen=True, kw_only=True, tag_field="record", tag="event"):
    """A call event on `turns.annotated`."""

    workspace: str
    generation: int
    opened_at: OpenedAt
    version: Version
    event: ReceivedEvent


class ParticipantSummary(Struct, frozen=True):
    """One participant's share of a call."""

    participant: str
    role: Role
    turns: int
    speech_ms: Annotated[int, Meta(description="Own activity.")]
    talk_ratio: Annotated[float | None, Meta(description="speech_ms / sum of speech_ms over participants.")]
    interruptions_made: int
    interruptions_received: int
    backchannels: int
    sentiment_ema: Annotated[float | None, Meta(description="At the last turn that has one; None without any.")] = None
    delay_p50_ms: Annotated[
        int | None, Meta(description="From the end of a turn to its reception, median; None without turns.")
    ] = None
    clock_skew_ms: Annotated[
        int | None,
        Meta(
            description="How far the clock seems to be behind the others (ahead when negative), where there is reason "
            "to think so; times are never corrected."
        ),
    ] = None


class CallSummary(Struct, frozen=True, kw_only=True):
    """A whole call on `calls.summarised`, emitted whenever a batch changed it."""

    workspace: str
    generation: int
    call_id: str
    opened_at: OpenedAt
    version: Version
    state: CallState
    closed_at: Annotated[int, Meta(description="Epoch ms at which the call closes or closed.")]
    started_at: Annotated[int | None, Meta(description="First start of a turn, epoch ms; None without turns.")]
    ended_at: Annotated[int | None, Meta(description="Last end of a turn, epoch ms; None without turns.")]
    turns: int
    events: int
    duration_ms: Annotated[int, Meta(description="Last end minus first start of speech.")]
    speech_ms: Annotated[int, Meta(description="Time with at least one participant active.")]
    overlap_ms: Annotated[int, Meta(description="Time with two or more active; three at once count once.")]
    overlap_ratio: Annotated[float | None, Meta(description="overlap_ms / speech_ms; None without speech.")]
    silence_ms: Annotated[int, Meta(description="duration_ms - speech_ms.")]
    silence_ratio: Annotated[float | None, Meta(description="silence_ms / duration_ms; None without speech.")] = None
    turns_per_minute: Annotated[
        float | None, Meta(description="Turns that speak / duration_ms, per minute; None without speech.")
    ] = None
    silences: Annotated[list[Silence], Meta(description="Those of 3 s and more, in order of time; the first 200.")] = []
    interruptions: int
    backchannels: int
    transfers: Annotated[int, Meta(description="How often the floor went from one participant to another.")] = 0
    transfers_overlapped: Annotated[int, Meta(description="Transfers whose offset is negative.")] = 0
    fto_p5_ms: Annotated[float | None, Meta(description="Floor-transfer offset, 5th percentile; None without any.")] = (
        None
    )
    fto_p25_ms: float | None = None
    fto_p50_ms: float | None = None
    fto_p75_ms: float | None = None
    fto_p95_ms: float | None = None
    agent_response_p50_ms: Annotated[
        float | None, Meta(description="Floor-transfer offset from a user to an agent, median; None without any.")
    ] = None
    agent_response_p95_ms: float | None = None
    user_response_p50_ms: Annotated[
        float | None, Meta(description="Floor-transfer offset from an agent to a user, median; None without any.")
    ] = None
    user_response_p95_ms: float | None = None
    longest_monologue_ms: Annotated[
        int,
        Meta(description="How long one participant had the floor before another took it, at most; 0 without speech."),
    ] = 0
    longest_monologue_by: Annotated[str | None, Meta(description="Whose that was.")] = None
    frustration_max: Annotated[
        float | None, Meta(description="The greatest of any user's turn; None without users.")
    ] = None
    frustration_start: Annotated[float | None, Meta(description="At the first user's turn; None without users.")] = None
    frustration_end: Annotated[float | None, Meta(description="At the last user's turn; None without users.")] = None
    frustration_slope: Annotated[
        float | None, Meta(description="Per minute, by least squares over users' turns; None with fewer than two.")
    ] = None
    turnings: Annotated[
        list[Turning], Meta(description="Escalations and de-escalations, in order of time; the first 200.")
    ] = []
    fault_counts: Annotated[dict[FaultKind, int], Meta(description="How many there are of each; none left out.")] = {}
    faults: Annotated[list[Fault], Meta(description="In order of time; the first 200.")] = []
    participants: list[ParticipantSummary]
    phases: Annotated[list[Phase], Meta(description="Who handled the call when, in order.")] = []
    outcome: Annotated[
        dict[str, str | int | float | bool | None],
        Meta(description="Of the latest outcome event; {} without one."),
    ] = {}
    rules: str
