"""From annotated records to rows. Pure: one function a table, one field a column."""

from __future__ import annotations

from msgspec.structs import asdict

from schemas.annotated import AnnotatedEvent, AnnotatedTurn, CallSummary, Overlap
from schemas.codec import encode
from schemas.event import Value
from schemas.rows import (
    CallRow,
    EventRow,
    EvidenceRow,
    FaultRow,
    Instant,
    OverlapRow,
    PhaseRow,
    SegmentRow,
    SilenceRow,
    TurningRow,
    TurnRow,
    WordRow,
    from_ms,
    from_us,
)
from schemas.turn import ReceivedRoom

NO_ROOM = ReceivedRoom()


def turn_row(record: AnnotatedTurn) -> TurnRow:
    """Row of `turn_rows`."""
    measured = record.measured
    turn = measured.turn
    room = turn.room or NO_ROOM
    contour = measured.contour
    return TurnRow(
        **asdict(measured.features),
        workspace=record.workspace,
        generation=record.generation,
        call_id=turn.call_id,
        opened_at=from_ms(record.opened_at),
        turn_id=turn.turn_id,
        version=record.version,
        participant=turn.participant,
        role=turn.role,
        text=turn.text,
        started_at=from_ms(turn.started_at),
        ended_at=from_ms(turn.ended_at),
        received_at=from_us(turn.received_at),
        content_hash=turn.content_hash,
        language=turn.language,
        interrupted=turn.interrupted,
        words=[WordRow(word.w, from_ms(word.started_at), from_ms(word.ended_at)) for word in turn.words or ()],
        room_name=room.name,
        room_sid=room.sid,
        room_participant_sid=room.participant_sid,
        room_connected_at=_optional(room.connected_at),
        metadata=turn.metadata or {},
        audio_blob=turn.audio.blob if turn.audio else None,
        audio_format=turn.audio.format if turn.audio else None,
        audio_length_differs=measured.audio_length_differs,
        segments=[SegmentRow(segment.start_ms, segment.end_ms) for segment in measured.segments],
        contour_hop_ms=contour.hop_ms if contour else None,
        f0_contour=list(contour.f0) if contour else [],
        level_contour=list(contour.level) if contour else [],
        measured=measured.measured,
        not_measured_reason=measured.not_measured_reason,
        features_version=measured.features_version,
        overlap_ms=record.overlap_ms,
        overlaps=[_overlap(overlap) for overlap in record.overlaps],
        sentiment=record.sentiment,
        sentiment_ema=record.sentiment_ema,
        arousal=record.arousal,
        crosstalk_ms=record.crosstalk_ms,
        frustration=record.frustration,
        frustration_signs=record.frustration_signs,
        z=record.z,
        rules=record.rules,
    )


def event_row(record: AnnotatedEvent) -> EventRow:
    """Row of `event_rows`."""
    event = record.event
    return EventRow(
        workspace=record.workspace,
        generation=record.generation,
        call_id=event.call_id,
        opened_at=from_ms(record.opened_at),
        event_id=event.event_id,
        version=record.version,
        type=event.type,
        at=from_ms(event.at),
        participant=event.participant,
        data={name: _text(value) for name, value in event.data.items()},
        received_at=from_us(event.received_at),
        content_hash=event.content_hash,
    )


def call_row(record: CallSummary) -> CallRow:
    """Row of `call_rows`."""
    return CallRow(
        workspace=record.workspace,
        generation=record.generation,
        call_id=record.call_id,
        opened_at=from_ms(record.opened_at),
        version=record.version,
        state=record.state,
        closed_at=from_ms(record.closed_at),
        started_at=_optional(record.started_at),
        ended_at=_optional(record.ended_at),
        turns=record.turns,
        events=record.events,
        duration_ms=record.duration_ms,
        speech_ms=record.speech_ms,
        overlap_ms=record.overlap_ms,
        overlap_ratio=record.overlap_ratio,
        silence_ms=record.silence_ms,
        silence_ratio=record.silence_ratio,
        turns_per_minute=record.turns_per_minute,
        silences=[
            SilenceRow(from_ms(one.at), one.duration_ms, one.before, one.after, one.due) for one in record.silences
        ],
        interruptions=record.interruptions,
        backchannels=record.backchannels,
        transfers=record.transfers,
        transfers_overlapped=record.transfers_overlapped,
        fto_p5_ms=record.fto_p5_ms,
        fto_p25_ms=record.fto_p25_ms,
        fto_p50_ms=record.fto_p50_ms,
        fto_p75_ms=record.fto_p75_ms,
        fto_p95_ms=record.fto_p95_ms,
        agent_response_p50_ms=record.agent_response_p50_ms,
        agent_response_p95_ms=record.agent_response_p95_ms,
        user_response_p50_ms=record.user_response_p50_ms,
        user_response_p95_ms=record.user_response_p95_ms,
        longest_monologue_ms=record.longest_monologue_ms,
        longest_monologue_by=record.longest_monologue_by,
        frustration_max=record.frustration_max,
        frustration_start=record.frustration_start,
        frustration_end=record.frustration_end,
        frustration_slope=record.frustration_slope,
        turnings=[
            TurningRow(from_ms(one.at), one.kind, one.participant, one.turn_id, one.frustration)
            for one in record.turnings
        ],
        fault_counts=record.fault_counts,
        faults=[
            FaultRow(from_ms(one.at), one.kind, one.participant, one.turn_id, one.duration_ms) for one in record.faults
        ],
        participants=record.participants,
        phases=[
            PhaseRow(one.phase, from_ms(one.started_at), from_ms(one.ended_at), one.source) for one in record.phases
        ],
        outcome={name: _text(value) for name, value in record.outcome.items()},
        rules=record.rules,
    )


def _overlap(overlap: Overlap) -> OverlapRow:
    return OverlapRow(
        overlapped=overlap.overlapped,
        started_at=from_ms(overlap.started_at),
        duration_ms=overlap.duration_ms,
        kind=overlap.kind,
        class_=overlap.class_,
        floor_taken=overlap.floor_taken,
        yield_ms=overlap.yield_ms,
        spoken_share=overlap.spoken_share,
        confidence=overlap.confidence,
        p_interruption=overlap.p_interruption,
        p_backchannel=overlap.p_backchannel,
        basis=overlap.basis,
        evidence=[EvidenceRow(*one) for one in overlap.evidence],
        competition=overlap.competition,
    )


def _text(value: Value) -> str:
    """Text as it is, other values as JSON."""
    return value if isinstance(value, str) else encode(value).decode()


def _optional(ms: int | None) -> Instant | None:
    return None if ms is None else from_ms(ms)
