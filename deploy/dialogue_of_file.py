"""A call in a local file: RTTM, or JSONL of turns. Read, annotated by the same code as in the pipeline, written.

What a file may hold and what becomes of it is docs/dialogue.md, "A call in a file".
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import ROUND_FLOOR, Context, Decimal
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from pipeline.dialogue.annotate import Annotation, annotate
from pipeline.dialogue.floor import quantiles
from pipeline.dialogue.overlap import OverlapEvent
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Utterance, speech
from schemas.annotated import Competition, FaultKind, OverlapBasis, OverlapClass, OverlapKind
from schemas.errors import Refused

RTTM_FIELDS = 8
"""At least, of a SPEAKER line: up to the speaker's name."""

FARTHEST_S = Decimal(10**12)
"""Some 30,000 years: a time beyond is unreadable."""


def _decimal(text: str) -> Decimal:
    """The number as it is written, in binary 1.0005 is less; what no decimal holds is none."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return Decimal("nan")


_DECODER = msgspec.json.Decoder(float_hook=_decimal)

_EXACT = Context(prec=400)
"""Digits enough for any time that somebody writes down."""


class SeveralCalls(Refused):
    """A file holds more calls than one, and none was chosen."""


class Line(NamedTuple):
    """A turn as it stands in the file. start, end : ms, rounded. call_id, turn_id : None without any."""

    call_id: str | None
    turn_id: str | None
    participant: str
    start: int
    end: int
    text: str
    language: str | None = None
    role: str = ""


class CallOfFile(NamedTuple):
    """One call of a file. zero_ms : the time in the file that its seconds are counted from. turns : that speak."""

    call_id: str
    zero_ms: int
    turns: int
    rejected: int
    annotation: Annotation
    rules: str


class Participant(Struct, frozen=True):
    participant: str
    speech_s: float
    talk_ratio: float
    interruptions_made: int
    interruptions_received: int
    backchannels: int


class FloorTransferOffsets(Struct, frozen=True):
    n: int
    p5_ms: float | None
    p25_ms: float | None
    p50_ms: float | None
    p75_ms: float | None
    p95_ms: float | None
    overlapped_n: int


class Pauses(Struct, frozen=True):
    n: int
    p50_ms: float | None


class EvidenceOfFile(Struct, frozen=True):
    name: str
    weight: float


class Overlap(Struct, frozen=True, rename={"class_": "class"}):
    start_s: float
    end_s: float
    duration_ms: int
    overlapper: str
    overlapped: str
    kind: OverlapKind
    class_: OverlapClass
    floor_taken: bool
    yield_ms: int | None
    spoken_share: float | UnsetType = UNSET
    confidence: float | UnsetType = UNSET
    p_interruption: float | UnsetType = UNSET
    p_backchannel: float | UnsetType = UNSET
    basis: OverlapBasis | UnsetType = UNSET
    evidence: list[EvidenceOfFile] | UnsetType = UNSET
    competition: Competition | UnsetType | None = UNSET


class SilenceOfFile(Struct, frozen=True):
    at_s: float
    duration_ms: int
    before: str
    after: str
    due: str


class FaultOfFile(Struct, frozen=True):
    kind: FaultKind
    at_s: float
    duration_ms: int
    participant: str


class Pair(Struct, frozen=True):
    overlapper: str
    overlapped: str
    overlap_s: float


class DialogueOfFile(Struct, frozen=True):
    """What `mise-voice dialogue --json` prints of a call."""

    call_id: str
    duration_s: float
    speech_s: float
    overlap_s: float
    overlap_ratio: float
    silence_s: float
    participants: list[Participant]
    fto: FloorTransferOffsets
    pauses: Pauses
    overlaps: list[Overlap]
    pairs: list[Pair]
    silences: list[SilenceOfFile]
    faults: list[FaultOfFile]
    turns: int
    rejected: int
    rules: str


def read_call(path: Path, rules: Rules, call_id: str | None = None) -> CallOfFile:
    """The call of a file, annotated.

    call_id : which one, None when there is one. Raises Refused when the file can't be read or does not have the call,
    and SeveralCalls when it has to be told which.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: can't be read: {error.strerror or error}") from None
    is_rttm = path.suffix.lower() == ".rttm"
    lines, rejected = _rttm(data) if is_rttm else _jsonl(data)
    found = list(dict.fromkeys(line.call_id for line in lines if line.call_id is not None))
    if call_id is None and len(found) > 1:
        raise SeveralCalls(f"{path}: {len(found)} calls; choose one with --call: {', '.join(found)}")
    the_one = found[0] if len(found) == 1 else None if found else path.stem
    call_id = call_id or the_one
    assert call_id is not None  # noqa: S101 - there is one, or it was chosen
    if call_id not in (*found, the_one):
        raise Refused(f"{path}: has no call {call_id!r}; it has {', '.join(found) or path.stem}")
    # Lines without an id belong to the one call of the file.
    lines = [line for line in lines if line.call_id == call_id or (line.call_id is None and call_id == the_one)]
    spoken = _utterances(lines)
    zero_ms = 0 if is_rttm else min((utterance.start for utterance in spoken), default=0)
    return CallOfFile(call_id, zero_ms, len(spoken), rejected, annotate(spoken, rules), rules.version)


def dialogue_of(call: CallOfFile) -> DialogueOfFile:
    """The call as it is printed as JSON; times in seconds."""
    found = call.annotation
    offsets = quantiles(found.floor.offsets_ms)
    pauses = quantiles(sorted(found.floor.pauses_ms))
    return DialogueOfFile(
        call_id=call.call_id,
        duration_s=found.duration_ms / 1000,
        speech_s=found.speech_ms / 1000,
        overlap_s=found.overlap_ms / 1000,
        overlap_ratio=found.overlap_ratio or 0.0,
        silence_s=found.silence_ms / 1000,
        participants=[
            Participant(
                participant=participant,
                speech_s=said.speech_ms / 1000,
                talk_ratio=said.talk_ratio or 0.0,
                interruptions_made=said.interruptions_made,
                interruptions_received=said.interruptions_received,
                backchannels=said.backchannels,
            )
            for participant, said in found.participants.items()
        ],
        fto=FloorTransferOffsets(
            n=offsets.n,
            p5_ms=offsets.p5,
            p25_ms=offsets.p25,
            p50_ms=offsets.p50,
            p75_ms=offsets.p75,
            p95_ms=offsets.p95,
            overlapped_n=bisect_left(found.floor.offsets_ms, 0),
        ),
        pauses=Pauses(n=pauses.n, p50_ms=pauses.p50),
        overlaps=[_overlap(event, call.zero_ms) for event in found.overlaps],
        pairs=_pairs(found.overlaps),
        silences=[
            SilenceOfFile((one.at - call.zero_ms) / 1000, one.duration_ms, one.before, one.after, one.due)
            for one in found.floor.silences
        ],
        faults=[
            FaultOfFile(one.kind, (one.at - call.zero_ms) / 1000, one.duration_ms, one.participant)
            for one in found.faults
        ],
        turns=call.turns,
        rejected=call.rejected,
        rules=call.rules,
    )


def _overlap(event: OverlapEvent, zero_ms: int) -> Overlap:
    found = _plainly(event, zero_ms)
    probabilities = (event.confidence, event.p_interruption, event.p_backchannel)
    if None in probabilities or event.basis is None:
        return found
    return msgspec.structs.replace(
        found,
        spoken_share=event.spoken_share,
        confidence=event.confidence,
        p_interruption=event.p_interruption,
        p_backchannel=event.p_backchannel,
        basis=event.basis,
        evidence=[EvidenceOfFile(*one) for one in event.evidence],
        competition=event.competition,
    )


def _plainly(event: OverlapEvent, zero_ms: int) -> Overlap:
    """What is said by any rules."""
    return Overlap(
        start_s=(event.start - zero_ms) / 1000,
        end_s=(event.end - zero_ms) / 1000,
        duration_ms=event.duration_ms,
        overlapper=event.overlapper,
        overlapped=event.overlapped,
        kind=event.kind,
        class_=event.class_,
        floor_taken=event.floor_taken,
        yield_ms=event.yield_ms,
    )


def _pairs(events: Iterable[OverlapEvent]) -> list[Pair]:
    """How long each overlapped each."""
    summed: dict[tuple[str, str], int] = {}
    for event in events:
        pair = (event.overlapper, event.overlapped)
        summed[pair] = summed.get(pair, 0) + event.duration_ms
    return [Pair(*pair, overlap_ms / 1000) for pair, overlap_ms in sorted(summed.items())]


def _utterances(lines: Sequence[Line]) -> list[Utterance]:
    """What is spoken. A turn sent again under its id is a correction: the last one counts."""
    newest: dict[tuple[str, str], Line] = {}
    for number, line in enumerate(lines):
        newest[line.participant, f"line {number}" if line.turn_id is None else f"id {line.turn_id}"] = line
    spoken = (
        speech(line.start, line.end, turn_id, participant, line.text, language=line.language, role=line.role)
        for (participant, turn_id), line in newest.items()
    )
    return [utterance for utterance in spoken if utterance is not None]


def _rttm(data: bytes) -> tuple[list[Line], int]:
    """The SPEAKER lines, and how many could not be read. Source: NIST, RT-09 evaluation plan, appendix A."""
    lines: list[Line] = []
    rejected = 0
    for text in data.decode("utf-8-sig", errors="replace").split("\n"):
        fields = _FIELD.findall(text)
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            _, call_id, _, onset, duration, _, _, speaker = fields[:RTTM_FIELDS]
            start, length = _seconds(onset), _seconds(duration)
            _require(min(start, length) >= 0, "begins before the file, or has a negative length")
            lines.append(Line(call_id, None, speaker, _ms(start), _ms(_EXACT.add(start, length)), ""))
        except (Refused, ValueError):
            rejected += 1
    return lines, rejected


def _jsonl(data: bytes) -> tuple[list[Line], int]:
    """One turn a line, and how many lines held none."""
    lines: list[Line] = []
    rejected = 0
    for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        if not line.strip():
            continue
        try:
            lines.append(_turn(_DECODER.decode(line)))
        except (Refused, ValueError, msgspec.DecodeError, RecursionError):
            rejected += 1
    return lines, rejected


def _turn(found: object) -> Line:
    """Raises Refused or ValueError for what is no turn."""
    if not isinstance(found, dict):
        raise Refused("not an object")
    participant = found.get("participant") or found.get("role")
    if not isinstance(participant, str) or not participant:
        raise Refused("no participant", field="participant")
    start, end = _instant_ms(found.get("started_at")), _instant_ms(found.get("ended_at"))
    _require(start <= end, "ends before it starts")
    text, language, role = found.get("text"), found.get("language"), found.get("role")
    return Line(
        call_id=_identity(found, "call_id"),
        turn_id=_identity(found, "turn_id"),
        participant=participant,
        start=start,
        end=end,
        text=text if isinstance(text, str) else "",
        language=language if isinstance(language, str) else None,
        role=role if isinstance(role, str) else "",
    )


def _identity(found: Mapping[str, object], name: str) -> str | None:
    value = found.get(name)
    return None if value in (None, "") else value if isinstance(value, str) else str(value)


def _instant_ms(value: object) -> int:
    """Whole ms of seconds, or of ISO 8601 (UTC without a zone). Raises Refused or ValueError for anything else."""
    if isinstance(value, str):
        instant = datetime.fromisoformat(value.strip())
        if instant.tzinfo is None:
            instant = instant.replace(tzinfo=UTC)
        elapsed = instant - _EPOCH
        return _ms(Decimal(elapsed.days * 86_400 + elapsed.seconds) + Decimal(elapsed.microseconds) / 1_000_000)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Refused("no time")
    return _ms(_near(Decimal(value)))


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _seconds(text: str) -> Decimal:
    _require(_NUMBER.fullmatch(text) is not None, "no number")
    return _near(_decimal(text))


_FIELD = re.compile(r"[^ \t\r\f\v]+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _near(seconds: Decimal) -> Decimal:
    # Before arithmetic: 1e999999999 has a billion digits.
    _require(seconds.is_finite() and -FARTHEST_S < seconds < FARTHEST_S, "out of time")
    return seconds


def _require(is_so: bool, what_else: str) -> None:
    if not is_so:
        raise Refused(what_else)


def _ms(seconds: Decimal) -> int:
    """Whole ms, half up."""
    return int(_EXACT.add(_EXACT.multiply(seconds, Decimal(1000)), Decimal("0.5")).to_integral_value(ROUND_FLOOR))
