"""Rows as they are inserted: one struct a table, one field a column, encoded as JSONEachRow.

Instants are decimal epoch seconds as text, which ClickHouse reads exactly: a bare integer could be seconds or ticks,
and a JSON number would go through a float.
"""

from __future__ import annotations

from msgspec import Struct

from schemas.annotated import (
    CallState,
    Competition,
    FaultKind,
    FrustrationSign,
    OverlapBasis,
    OverlapClass,
    OverlapKind,
    ParticipantSummary,
    PhaseName,
    PhaseSource,
    TurningKind,
)
from schemas.event import EventType
from schemas.features import Features
from schemas.measured import NotMeasuredReason
from schemas.turn import AudioFormat, Role

Instant = str
"""`0946684800.000`: ten digits of seconds at least (fewer would be read as a year), then the column's precision."""


def from_ms(ms: int) -> Instant:
    """Epoch ms for a DateTime64(3) column."""
    return f"{ms // 1000:010d}.{ms % 1000:03d}"


def from_us(us: int) -> Instant:
    """Epoch µs for a DateTime64(6) column."""
    return f"{us // 1_000_000:010d}.{us % 1_000_000:06d}"


class WordRow(Struct, frozen=True):
    w: str
    started_at: Instant
    ended_at: Instant


class SegmentRow(Struct, frozen=True):
    start_ms: int
    end_ms: int


class EvidenceRow(Struct, frozen=True):
    name: str
    weight: float


class FaultRow(Struct, frozen=True):
    at: Instant
    kind: FaultKind
    participant: str
    turn_id: str
    duration_ms: int


class PhaseRow(Struct, frozen=True):
    phase: PhaseName
    started_at: Instant
    ended_at: Instant
    source: PhaseSource


class SilenceRow(Struct, frozen=True):
    at: Instant
    duration_ms: int
    before: str
    after: str
    due: str


class TurningRow(Struct, frozen=True):
    at: Instant
    kind: TurningKind
    participant: str
    turn_id: str
    frustration: float


class OverlapRow(Struct, frozen=True, rename={"class_": "class"}):
    overlapped: str
    started_at: Instant
    duration_ms: int
    kind: OverlapKind
    class_: OverlapClass
    floor_taken: bool
    yield_ms: int | None
    spoken_share: float | None
    confidence: float | None
    p_interruption: float | None
    p_backchannel: float | None
    basis: OverlapBasis | None
    evidence: list[EvidenceRow]
    competition: Competition | None


class TurnRow(Features, frozen=True, kw_only=True):
    """Table `turn_rows`. Identity: (workspace, generation, call_id, opened_at, turn_id).

    The features are columns under their own names; one that is None is left out of the line, and ClickHouse puts NULL.
    """

    workspace: str
    generation: int
    call_id: str
    opened_at: Instant
    turn_id: str
    version: int
    participant: str
    role: Role
    text: str
    started_at: Instant
    ended_at: Instant
    received_at: Instant
    content_hash: str
    language: str | None
    interrupted: bool | None
    words: list[WordRow]
    room_name: str | None
    room_sid: str | None
    room_participant_sid: str | None
    room_connected_at: Instant | None
    metadata: dict[str, str]
    audio_blob: str | None
    audio_format: AudioFormat | None
    audio_length_differs: bool
    segments: list[SegmentRow]
    contour_hop_ms: float | None
    f0_contour: list[int]
    level_contour: list[int]
    measured: list[str]
    not_measured_reason: NotMeasuredReason | None
    features_version: str
    overlap_ms: int
    overlaps: list[OverlapRow]
    sentiment: float | None
    sentiment_ema: float | None
    arousal: float | None
    crosstalk_ms: int
    frustration: float | None
    frustration_signs: dict[FrustrationSign, float]
    z: dict[str, float]
    rules: str


class EventRow(Struct, frozen=True, kw_only=True):
    """Table `event_rows`. Identity: (workspace, generation, call_id, opened_at, event_id)."""

    workspace: str
    generation: int
    call_id: str
    opened_at: Instant
    event_id: str
    version: int
    type: EventType
    at: Instant
    participant: str | None
    data: dict[str, str]
    received_at: Instant
    content_hash: str


class CallRow(Struct, frozen=True, kw_only=True):
    """Table `call_rows`. Identity: (workspace, generation, call_id, opened_at)."""

    workspace: str
    generation: int
    call_id: str
    opened_at: Instant
    version: int
    state: CallState
    closed_at: Instant
    started_at: Instant | None
    ended_at: Instant | None
    turns: int
    events: int
    duration_ms: int
    speech_ms: int
    overlap_ms: int
    overlap_ratio: float | None
    silence_ms: int
    silence_ratio: float | None
    turns_per_minute: float | None
    silences: list[SilenceRow]
    interruptions: int
    backchannels: int
    transfers: int
    transfers_overlapped: int
    fto_p5_ms: float | None
    fto_p25_ms: float | None
    fto_p50_ms: float | None
    fto_p75_ms: float | None
    fto_p95_ms: float | None
    agent_response_p50_ms: float | None
    agent_response_p95_ms: float | None
    user_response_p50_ms: float | None
    user_response_p95_ms: float | None
    longest_monologue_ms: int
    longest_monologue_by: str | None
    frustration_max: float | None
    frustration_start: float | None
    frustration_end: float | None
    frustration_slope: float | None
    turnings: list[TurningRow]
    fault_counts: dict[FaultKind, int]
    faults: list[FaultRow]
    participants: list[ParticipantSummary]
    phases: list[PhaseRow]
    outcome: dict[str, str]
    rules: str
