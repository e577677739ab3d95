"""What the dialogue costs: whole calls at once, one more turn of a call that is long already, and its memory.

Pure functions, no Faust: CPU seconds of one process.
"""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Sequence

import msgspec

from bench.measurements import Measurement
from bench.turns import TURNS_PER_CALL, accepted
from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.calls import Calls
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Utterance, utterances
from pipeline.dialogue.timeline import Timeline
from pipeline.dialogue.tone import tone
from pipeline.dsp.contour import POINTS
from pipeline.process import collect_seldom
from pipeline.rules import read_vocabularies, rules
from schemas.annotated import RulesName
from schemas.features import Features, numeric_features
from schemas.identity import Position
from schemas.measured import Contour, MeasuredTurn, SpeechSegment

CALLS = 250
BATCH = 1_000
LENGTHS = (40, 1_000, 5_000, 16_000)
HOP_MS = 10
LATEST = 100
"""Turns over which the cost of one more is averaged."""
REPEATS = 3

NAMES: tuple[RulesName, ...] = ("plain", "product")


def measure_dialogue() -> list[Measurement]:
    """All figures."""
    collect_seldom()  # as the stages do
    measured = _received(CALLS * TURNS_PER_CALL)
    found = [
        Measurement(
            name=f"timeline, overlaps, classes and floor, {name} rules",
            value=_speed(measured, rules(name)),
            unit="turns/s",
            how=f"calls of {TURNS_PER_CALL} turns, one core",
            limit=">= 20,000" if name == "product" else None,
        )
        for name in NAMES
    ]
    found += [
        Measurement(
            name=f"all that the calls stage makes of turns, with z, tone and frustration{what}",
            value=_all_speed(measured, rules("product"), contours=contours),
            unit="turns/s",
            how=f"calls of {TURNS_PER_CALL} turns, {BATCH:,} a batch, one core",
            limit=limit,
        )
        for contours, what, limit in ((False, "", ">= 4,000"), (True, ", and cross-talk looked for", None))
    ]
    for length in LENGTHS:
        one_more_ms, bytes_each = _one_more(_long_call(length + LATEST), rules("product"))
        found += [
            Measurement(
                name=f"one more turn of a call of {length:,}, rows made",
                value=one_more_ms,
                unit="ms",
                how="a batch each",
            ),
            Measurement(
                name=f"memory of a call of {length:,}", value=bytes_each / 1024, unit="KiB/turn", how="tracemalloc"
            ),
        ]
    found.append(
        Measurement(
            name="one more turn of 2,000 that follow without a pause, and are listened to",
            value=_one_more_of_a_monologue(2_000, rules("product")),
            unit="ms",
            how="the timeline alone",
        )
    )
    return found


def _one_more_of_a_monologue(length: int, chosen: Rules) -> float:
    """CPU time [ms] of the latest turns of a speaker without a pause, each with a listener's word in it."""
    timeline = Timeline(chosen)
    before = 0.0
    for number in range(length):
        if number == length - LATEST:
            before = time.process_time()
        at = 4_000 * number
        said = Utterance(at, at + 3_900, f"said-{number}", "agent", "so what I wanted to say is the")
        heard = Utterance(at + 2_000, at + 2_400, f"heard-{number}", "caller", "mm-hmm")
        timeline.update({said.turn_id: [said]})
        timeline.update({heard.turn_id: [heard]})
    return 1000 * (time.process_time() - before) / LATEST / 2


def _received(count: int) -> list[MeasuredTurn]:
    turns = accepted(count, seed=1, now_s=1_767_225_600.0)
    return [MeasuredTurn(turn=one.record, not_measured_reason="no_audio", features_version="0") for one in turns]


def _speed(turns: Sequence[MeasuredTurn], chosen: Rules) -> float:
    calls: dict[str, list[Utterance]] = {}
    for turn in turns:
        calls.setdefault(turn.turn.call_id, []).extend(utterances(turn))
    best = float("inf")
    for _ in range(REPEATS):
        before = time.process_time()
        for call in calls.values():
            annotate(call, chosen)
        best = min(best, time.process_time() - before)
    return len(turns) / best


def _all_speed(turns: Sequence[MeasuredTurn], chosen: Rules, *, contours: bool) -> float:
    """Records in, annotated turns and summaries out, as turns come: calls interleaved, each turn with its values."""
    chance = random.Random(1)
    heard = [
        msgspec.structs.replace(
            turn,
            not_measured_reason=None,
            features=msgspec.convert({name: round(chance.gauss(10, 3)) for name in numeric_features()}, Features),
            segments=[SpeechSegment(0, turn.turn.ended_at - turn.turn.started_at)],
            contour=_contour(chance, turn.turn.ended_at - turn.turn.started_at) if contours else None,
        )
        for turn in turns
    ]
    calls = Calls(1, chosen, tone(read_vocabularies()))
    before = time.process_time()
    for first in range(0, len(heard), BATCH):
        calls.apply([(Position(1, first + number), turn) for number, turn in enumerate(heard[first : first + BATCH])])
    return len(heard) / (time.process_time() - before)


def _contour(chance: random.Random, length_ms: int) -> Contour:
    """Of a voice as loud as any, a third of it unvoiced."""
    frames = -(-length_ms // HOP_MS // POINTS) or 1
    points = max(1, length_ms // HOP_MS // frames)
    louder = chance.randint(-40, 40)  # up to 16 dB
    return Contour(
        HOP_MS * frames,
        bytes(chance.choice((0, 90, 100, 110)) for _ in range(points)),
        bytes(chance.randint(100, 160) + louder for _ in range(points)),
    )


def _long_call(length: int) -> list[MeasuredTurn]:
    """One call whose turns follow one another as those of the short ones do."""
    chance = random.Random(length)
    (first,) = _received(1)
    at, made = first.turn.started_at, []
    for number in range(length):
        end = at + chance.randint(400, 5_000)
        turn = msgspec.structs.replace(
            first.turn,
            turn_id=str(number),
            participant="caller" if number % 2 else "agent",
            text=" ".join(["so what I wanted to ask you is the"] * chance.randint(1, 3)),
            started_at=at,
            ended_at=end,
            received_at=1000 * end,
        )
        made.append(msgspec.structs.replace(first, turn=turn))
        at = end + (chance.randint(-800, 0) if chance.random() < 0.2 else chance.randint(100, 900))
    return made


def _one_more(call: Sequence[MeasuredTurn], chosen: Rules) -> tuple[float, float]:
    """CPU time [ms] of each of the latest turns, and memory of the call [bytes a turn]."""
    tracemalloc.start()
    kept = [msgspec.json.decode(msgspec.json.encode(turn), type=MeasuredTurn) for turn in call]
    calls = Calls(1, chosen, tone(read_vocabularies()))
    calls.apply([(Position(1, offset), turn) for offset, turn in enumerate(kept[:-LATEST])])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    before = time.process_time()
    for offset, turn in enumerate(kept[-LATEST:], len(kept)):
        calls.apply([(Position(1, offset), turn)])
    return 1000 * (time.process_time() - before) / LATEST, held / len(kept)
