"""Cross-talk: what is a copy, what is not, and that a call comes out the same whatever the order of its turns."""

from __future__ import annotations

import random
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialogue.annotate import PLAIN
from pipeline.dialogue.call import Call, summary
from pipeline.dialogue.crosstalk import CrossTalk, Track, copies
from pipeline.dialogue.spurts import Utterance, utterances
from pipeline.dialogue.tone import NO_TONE, tone
from pipeline.rules import read_vocabularies
from schemas.features import Features
from schemas.identity import Position
from schemas.measured import Contour, MeasuredTurn, SpeechSegment
from schemas.turn import Role, Word
from tests.records import T0, received_turn, unmeasured

HOP_MS = 10


def voice(seed: int, points: int, *, louder: int = 0) -> Contour:
    """Somebody's contour: syllables with a wandering pitch."""
    chance = np.random.default_rng(seed)
    steps = np.arange(points)
    pitch = 100 + 20 * np.sin(steps / chance.uniform(15, 40) + chance.uniform(0, 6)) + chance.uniform(-30, 30)
    syllable = np.sin(steps / chance.uniform(4, 7) + chance.uniform(0, 6)) > -0.5
    level = 150 + louder + 40 * np.abs(np.sin(steps / chance.uniform(4, 7) + chance.uniform(0, 6)))
    return Contour(HOP_MS, bytes(np.where(syllable, pitch, 0).astype(np.uint8)), bytes(level.astype(np.uint8)))


def quieter(contour: Contour, steps: int, late_points: int = 0) -> Contour:
    """The contour as an echo has it."""
    return Contour(
        contour.hop_ms,
        bytes(late_points) + contour.f0[: len(contour.f0) - late_points],
        bytes(late_points)
        + bytes(max(0, level - steps) for level in contour.level[: len(contour.level) - late_points]),
    )


def track(contour: Contour, participant: str = "a", at: int = 0) -> Track:
    length = round(contour.hop_ms * len(contour.f0))
    return Track(participant, at, contour, (Utterance(at, at + length, participant, participant, None),))


AGENT = voice(1, 300)


@pytest.mark.parametrize("late", [0, 6, 25, 50])
def test_echo_is_a_copy_and_its_origin_is_none(late: int) -> None:
    agent, caller = track(AGENT), track(quieter(AGENT, 50, late), "b")
    assert copies(caller, agent) == {0}
    assert copies(agent, caller) == frozenset()


@pytest.mark.parametrize(
    "heard",
    [
        voice(2, 300),
        quieter(voice(2, 300), 50),
        quieter(AGENT, 7),  # as loud: both may be recordings of the whole call
        quieter(AGENT, 50, 80),  # 800 ms late is no echo
        Contour(HOP_MS, AGENT.f0, bytes([60]) * 300),  # the same pitch, and another rhythm
        Contour(HOP_MS, bytes(300), quieter(AGENT, 50).level),  # whispered
        quieter(Contour(HOP_MS, AGENT.f0[:20], AGENT.level[:20]), 50),  # too short to tell
    ],
)
def test_anything_else_is_the_participants_own(heard: Contour) -> None:
    assert copies(track(heard, "b"), track(AGENT)) == frozenset()


def test_copy_is_looked_for_at_the_same_time_only() -> None:
    assert copies(track(quieter(AGENT, 50), "b", at=4_000), track(AGENT)) == frozenset()


def test_contours_of_other_resolution_are_compared() -> None:
    coarse = Contour(3 * HOP_MS, quieter(AGENT, 50).f0[1::3], quieter(AGENT, 50).level[1::3])
    assert copies(track(coarse, "b"), track(AGENT)) == {0}


def turn(turn_id: str, participant: str, start: int, contour: Contour | None, received: int = 0) -> MeasuredTurn:
    role: Role = "agent" if participant == "bot" else "user"
    length = 3_000 if contour is None else HOP_MS * len(contour.f0)
    record = unmeasured(
        received_turn(start, start + length, turn_id, participant, "so is it", role=role, received=start + received)
    )
    if contour is None:
        return record
    return msgspec.structs.replace(
        record,
        not_measured_reason=None,
        contour=contour,
        segments=[SpeechSegment(0, length // 2), SpeechSegment(length // 2 + 250, length)],
    )


ECHO = quieter(AGENT, 50, 6)
CALL = [
    turn("t1", "bot", 0, AGENT, 4_000),
    turn("t2", "ann", 0, ECHO, 4_100),
    turn("t3", "bot", 2_500, voice(3, 300), 4_000),
    turn("t4", "ann", 4_000, quieter(voice(4, 300), 20), 4_000),
    turn("t5", "eve", 2_600, quieter(voice(3, 290), 30), 4_000),
    turn("t6", "ann", 6_000, None, 4_000),
]


def call_of(records: Sequence[MeasuredTurn], step: int = 1) -> Call:
    call = Call("default", "call-1", 0, PLAIN, NO_TONE)
    for number, record in enumerate(records):
        call.add(record, Position(1, 0))
        if number % step == 0:
            call.annotate()
    call.annotate()
    return call


def test_cross_talk_counts_for_nothing() -> None:
    call = call_of(CALL[:2])
    assert call.annotation is not None
    assert call.annotation.overlaps == []
    assert call.annotation.participants.keys() == {"bot"}
    assert call.crosstalk.ms("t2") == 2_750
    assert call.crosstalk.ms("t1") == 0
    assert "t2" not in call.courses.found  # nor does it calm the user


def test_turn_that_becomes_cross_talk_later_is_told_of() -> None:
    call = call_of(CALL[1:2])
    assert call.annotation is not None
    assert call.annotation.participants.keys() == {"ann"}
    call.add(CALL[0], Position(1, 1))
    call.annotate()
    assert ("turn", "t2") in call.changed
    assert call.annotation.participants.keys() == {"bot"}


@settings(max_examples=60)
@given(st.permutations(range(len(CALL))), st.integers(1, 3), st.randoms(use_true_random=False))
def test_order_and_revisions_mean_nothing(order: list[int], step: int, chance: random.Random) -> None:
    """Each turn comes twice: at first with another's audio, elsewhere."""
    first = [
        turn(
            CALL[index].turn.turn_id,
            chance.choice(["bot", "ann", "eve"]),
            chance.choice([0, 100, 2_500]),
            chance.choice([None, AGENT, ECHO, voice(3, 300)]),
        )
        for index in order
    ]
    found, expected = call_of([*first, *(CALL[index] for index in order)], step), call_of(CALL)
    assert found.annotation == expected.annotation
    assert found.courses.found == expected.courses.found
    assert [found.crosstalk.ms(f"t{n}") for n in range(1, 7)] == [expected.crosstalk.ms(f"t{n}") for n in range(1, 7)]
    assert found.annotation is not None
    assert expected.annotation is not None
    assert summary(found, found.annotation, 1) == summary(expected, expected.annotation, 1)


def test_what_was_copied_is_the_participants_own_once_its_origin_is_another() -> None:
    crosstalk = CrossTalk()
    agent, caller = CALL[0], CALL[1]
    crosstalk.put(agent, utterances(agent))
    assert crosstalk.put(caller, utterances(caller)) == {"t2": ()}
    other = turn("t1", "bot", 0, voice(9, 300))
    assert crosstalk.put(other, utterances(other)) == {"t1": utterances(other), "t2": utterances(caller)}


def loud(turn: MeasuredTurn, level_dbfs: float) -> MeasuredTurn:
    features = Features(active_level_dbfs=level_dbfs, level_dbfs=level_dbfs, f0_median_hz=150.0, articulation_rate=4.0)
    return msgspec.structs.replace(turn, features=features)


def test_echo_is_no_baseline_of_whose_line_it_came_by() -> None:
    """Six echoes, then a turn of the user's own, which is louder than they, and no louder than any other."""
    records = []
    for number in range(6):
        said = voice(number, 300)
        records.append(loud(turn(f"a{number}", "bot", 4_000 * number, said), -15.0))
        records.append(loud(turn(f"e{number}", "ann", 4_000 * number, quieter(said, 50, 6)), -40.0))
    records.append(loud(turn("own", "ann", 30_000, voice(99, 300)), -20.0))
    for order in (records, records[::-1]):
        call = call_of(order)
        assert {call.baselines.z(record.turn.turn_id) != {} for record in records if record.turn.turn_id[0] == "e"} == {
            False
        }
        assert call.baselines.z("own") == {}
        assert call.courses.found["own"].value == 0


def test_words_of_an_echo_are_not_the_participants() -> None:
    """The first half of the user's turn is what the agent says, the second is its own."""
    said, own = voice(1, 300), voice(2, 300)
    heard = quieter(said, 50)
    both = Contour(HOP_MS, heard.f0 + bytes(25) + own.f0, heard.level + bytes([10]) * 25 + own.level)
    agent = turn("t1", "bot", 0, said)
    user = turn("t2", "ann", 0, both)
    words = [Word("terrible", T0 + 100, T0 + 900), Word("thanks", T0 + 4_000, T0 + 4_500)]
    text = "terrible thanks"
    segments = [SpeechSegment(0, 3_000), SpeechSegment(3_250, 6_250)]
    for has_words, sentiment in ((True, 0.44), (False, None)):
        record = msgspec.structs.replace(
            user,
            segments=segments,
            turn=msgspec.structs.replace(user.turn, text=text, words=words if has_words else None, language="en"),
        )
        call = Call("default", "call-1", 0, PLAIN, TONE)
        for one in (agent, record):
            call.add(one, Position(1, 0))
        call.annotate()
        assert call.crosstalk.ms("t2") == 3_000
        assert call.sentiments.get("t2") == (None if sentiment is None else pytest.approx(sentiment, abs=0.01))


TONE = tone(read_vocabularies())
