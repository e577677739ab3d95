"""From annotated records to rows: every value arrives in its column, absence as NULL."""

from __future__ import annotations

import json

import msgspec

from pipeline.storage.rows import call_row, event_row, turn_row
from schemas.annotated import (
    AnnotatedEvent,
    AnnotatedTurn,
    CallSummary,
    Evidence,
    Fault,
    Overlap,
    ParticipantSummary,
    Phase,
    Silence,
    Turning,
)
from schemas.codec import encode
from schemas.features import Features, numeric_features
from schemas.measured import Contour
from schemas.rows import FaultRow, PhaseRow, SilenceRow, TurningRow
from schemas.turn import Audio, ReceivedRoom, Word
from tests.records import T0, measured, received_event, received_turn, unmeasured

EVERY_FEATURE = msgspec.convert(
    {name: number for number, name in enumerate(numeric_features(), 1)} | {"final_contour": "fall"}, Features
)

OVERLAP = Overlap(
    overlapper="caller",
    overlapped="bot",
    started_at=T0 + 5,
    duration_ms=300,
    kind="between",
    class_="interruption",
    floor_taken=True,
    yield_ms=300,
    spoken_share=0.25,
    confidence=0.75,
    p_interruption=0.75,
    p_backchannel=0.125,
    basis="words",
    evidence=[Evidence("held_words", -0.5)],
    competition="competitive",
)
TURN = AnnotatedTurn(
    workspace="default",
    generation=1,
    opened_at=T0,
    version=2**63 + 1,
    measured=msgspec.structs.replace(
        measured(
            received_turn(
                audio=Audio("blob", "wav", 44),
                words=[Word("hello", T0 + 1, T0 + 400)],
                room=ReceivedRoom("room", "RM_1", "PA_1", T0 - 1),
                metadata={"campaign": "x"},
            ),
            EVERY_FEATURE,
        ),
        contour=Contour(10.0, b"\x00\x01\xff", b"\x80\x00\x7f"),
    ),
    rules="plain-1",
    overlap_ms=300,
    overlaps=[OVERLAP],
    sentiment=-0.25,
    sentiment_ema=-0.125,
    arousal=0.5,
    crosstalk_ms=40,
    frustration=0.4,
    frustration_signs={"repeats": 0.35},
    z={"level_dbfs": -1.349},
)
MINIMAL = AnnotatedTurn(
    workspace="default", generation=1, opened_at=T0, version=1, measured=unmeasured(received_turn()), rules="plain-1"
)


def test_turns_values_are_in_their_columns() -> None:
    row = json.loads(encode(turn_row(TURN)))
    turn = TURN.measured.turn
    assert {name: row.pop(name) for name in ("workspace", "generation", "call_id", "turn_id", "version")} == {
        "workspace": "default",
        "generation": 1,
        "call_id": turn.call_id,
        "turn_id": turn.turn_id,
        "version": 2**63 + 1,
    }
    assert row == {
        "opened_at": "1767225600.000",
        "participant": "caller",
        "role": "user",
        "text": "hello there you",
        "started_at": "1767225600.000",
        "ended_at": "1767225601.000",
        "received_at": "1767225601.100000",
        "content_hash": turn.content_hash,
        "language": None,
        "interrupted": None,
        "words": [{"w": "hello", "started_at": "1767225600.001", "ended_at": "1767225600.400"}],
        "room_name": "room",
        "room_sid": "RM_1",
        "room_participant_sid": "PA_1",
        "room_connected_at": "1767225599.999",
        "metadata": {"campaign": "x"},
        "audio_blob": "blob",
        "audio_format": "wav",
        "audio_length_differs": False,
        "segments": [{"start_ms": 5, "end_ms": 505}, {"start_ms": 720, "end_ms": 970}],
        **{name: number for number, name in enumerate(numeric_features(), 1)},
        "final_contour": "fall",
        "contour_hop_ms": 10.0,
        "f0_contour": [0, 1, 255],
        "level_contour": [128, 0, 127],
        "measured": list(numeric_features()),
        "not_measured_reason": None,
        "features_version": "0.0.0",
        "overlap_ms": 300,
        "overlaps": [
            {
                "overlapped": "bot",
                "started_at": "1767225600.005",
                "duration_ms": 300,
                "kind": "between",
                "class": "interruption",
                "floor_taken": True,
                "yield_ms": 300,
                "spoken_share": 0.25,
                "confidence": 0.75,
                "p_interruption": 0.75,
                "p_backchannel": 0.125,
                "basis": "words",
                "evidence": [{"name": "held_words", "weight": -0.5}],
                "competition": "competitive",
            }
        ],
        "sentiment": -0.25,
        "sentiment_ema": -0.125,
        "arousal": 0.5,
        "crosstalk_ms": 40,
        "frustration": 0.4,
        "frustration_signs": {"repeats": 0.35},
        "z": {"level_dbfs": -1.349},
        "rules": "plain-1",
    }


def test_what_a_turn_does_not_have_is_null_and_never_zero() -> None:
    row = turn_row(MINIMAL)
    null = {name for name, value in msgspec.structs.asdict(row).items() if value is None}
    assert null == {
        "language",
        "interrupted",
        "room_name",
        "room_sid",
        "room_participant_sid",
        "room_connected_at",
        "audio_blob",
        "audio_format",
        "contour_hop_ms",
        "sentiment",
        "sentiment_ema",
        "arousal",
        "frustration",
        *Features.__struct_fields__,
    }
    assert (row.not_measured_reason, row.measured, row.z) == ("no_audio", [], {})
    assert (row.f0_contour, row.level_contour) == ([], [])


def test_feature_without_a_value_is_left_out_of_the_line() -> None:
    assert json.loads(encode(turn_row(MINIMAL))).keys() & set(Features.__struct_fields__) == set()


def test_events_values_are_text_as_it_is_or_json() -> None:
    event = received_event(250, "tool_call", data={"name": "x", "ms": 12, "ratio": 0.5, "ok": True, "error": None})
    row = event_row(AnnotatedEvent(workspace="default", generation=1, opened_at=T0, version=3, event=event))
    assert row.data == {"name": "x", "ms": "12", "ratio": "0.5", "ok": "true", "error": "null"}
    assert (row.at, row.received_at, row.participant) == ("1767225600.250", "1767225600.250000", None)
    assert (row.event_id, row.type, row.content_hash) == ("e1", "tool_call", event.content_hash)


def test_calls_values_are_in_their_columns() -> None:
    summary = CallSummary(
        workspace="default",
        generation=1,
        call_id="call-1",
        opened_at=T0,
        version=5,
        state="open",
        closed_at=T0 + 900_000,
        started_at=None,
        ended_at=None,
        turns=0,
        events=1,
        duration_ms=0,
        speech_ms=0,
        overlap_ms=0,
        overlap_ratio=None,
        silence_ms=0,
        interruptions=0,
        backchannels=0,
        transfers=2,
        transfers_overlapped=1,
        fto_p5_ms=-90.0,
        fto_p25_ms=-50.0,
        fto_p50_ms=0.0,
        fto_p75_ms=50.0,
        fto_p95_ms=90.0,
        agent_response_p50_ms=-20.0,
        fault_counts={"slow_answer": 1},
        faults=[Fault(T0 + 7, "slow_answer", "bot", "t2", 2_300)],
        silences=[Silence(T0 + 8, 3_500, "caller", "bot", "agent")],
        turnings=[Turning(T0 + 9, "escalation", "caller", "t3", 0.6)],
        participants=[ParticipantSummary("caller", "user", 1, 5, 1.0, 1, 2, 3, -0.1, 250, -4_000)],
        phases=[Phase("escalation", T0 + 1, T0 + 2, "text")],
        rules="plain-1",
    )
    row = msgspec.structs.asdict(call_row(summary))
    expected = msgspec.structs.asdict(summary)
    expected |= {"opened_at": "1767225600.000", "closed_at": "1767226500.000"}
    expected["faults"] = [FaultRow("1767225600.007", "slow_answer", "bot", "t2", 2_300)]
    expected["silences"] = [SilenceRow("1767225600.008", 3_500, "caller", "bot", "agent")]
    expected["turnings"] = [TurningRow("1767225600.009", "escalation", "caller", "t3", 0.6)]
    expected["phases"] = [PhaseRow("escalation", "1767225600.001", "1767225600.002", "text")]
    assert row == expected
    later = call_row(msgspec.structs.replace(summary, started_at=T0 + 1, ended_at=T0 + 2))
    assert (later.started_at, later.ended_at) == ("1767225600.001", "1767225600.002")
