"""A user's frustration: its formula, its signs, and that it is the same whatever the order of the changes."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.annotate import PLAIN
from pipeline.dialogue.call import Call
from pipeline.dialogue.frustration import (
    FALLS_TO,
    KEPT,
    RISES_TO,
    WEIGHTS,
    WINDOW,
    Courses,
    Told,
    course,
    load,
    signs,
)
from pipeline.dialogue.tone import tone
from pipeline.rules import read_vocabularies
from schemas.annotated import FrustrationSign, Turning
from schemas.identity import Position
from schemas.measured import MeasuredTurn
from schemas.turn import ReceivedTurn
from tests.records import T0, received_turn, unmeasured

CALM = Told(z={}, sentiment=None, repeats=False, interruption=0.0, waited_ms=0, not_understood=False)
TONE = tone(read_vocabularies())


def test_calm_turn_has_no_sign_and_no_load() -> None:
    assert signs(CALM) == {}
    assert load({}) == 0
    assert signs(CALM._replace(sentiment=0.9, z={"active_level_dbfs": -5.0}, waited_ms=2_000)) == {}
    assert signs(CALM._replace(z={"articulation_rate": -9.0})) == {}  # slow, and no more pauses than before
    assert signs(CALM._replace(z={"speech_ratio": -9.0})) == {}


@pytest.mark.parametrize(
    ("told", "sign", "share"),
    [
        (CALM._replace(z={"active_level_dbfs": 4.0, "f0_median_hz": 4.0}), "raised_voice", 1.0),
        (CALM._replace(z={"active_level_dbfs": 4.0, "f0_median_hz": 1.0}), "raised_voice", 0.5),
        (CALM._replace(z={"f0_median_hz": 20.0}), "raised_voice", 1.0),
        (CALM._replace(z={"articulation_rate": 2.5}), "faster_speech", 0.5),
        (CALM._replace(z={"articulation_rate": -4.0, "speech_ratio": -2.5}), "over_articulated", 0.5),
        (CALM._replace(sentiment=-0.5), "negative_words", 0.5),
        (CALM._replace(repeats=True), "repeats", 1.0),
        (CALM._replace(interruption=0.25), "interrupts", 0.25),
        (CALM._replace(waited_ms=5_000), "kept_waiting", 0.5),
        (CALM._replace(waited_ms=60_000), "kept_waiting", 1.0),
        (CALM._replace(not_understood=True), "not_understood", 1.0),
    ],
)
def test_each_sign_adds_its_weight(told: Told, sign: Any, share: float) -> None:
    assert signs(told) == {sign: pytest.approx(WEIGHTS[sign] * share, abs=1e-3)}


@given(st.lists(st.floats(0, 1), max_size=40))
def test_it_stays_within_bounds_grows_with_load_and_fades(loads: list[float]) -> None:
    value = course(loads)
    assert 0 <= value <= 1
    if loads:
        assert value >= loads[-1] - 6e-4  # rounded
        assert course([*loads, 0.0]) == pytest.approx(KEPT * value, abs=2e-3)
        assert course(loads) <= course([*loads[:-1], min(1.0, loads[-1] + 0.1)])


def test_what_is_long_past_is_forgotten() -> None:
    assert course([1.0] + [0.0] * (WINDOW - 1)) == course([0.0] * WINDOW)


def turn(start_s: float, who: str, text: str, turn_id: str) -> MeasuredTurn:
    role: Any = {"bot": "agent", "desk": "human_agent"}.get(who, "user")
    return unmeasured(
        received_turn(round(1000 * start_s), round(1000 * start_s) + 1_500, turn_id, who, text, role=role)
    )


ASKED = "where is my parcel it should have come yesterday"
CALL = [
    turn(0, "bot", "hello what can i do for you", "t0"),
    turn(2, "ann", ASKED, "t1"),
    turn(4, "bot", "sorry i didn't catch that", "t2"),
    turn(6, "ann", ASKED, "t3"),
    turn(15, "bot", "your parcel is on its way", "t4"),
    turn(17, "ann", "this is terrible i am very angry", "t5"),
    turn(19, "bot", "i am sorry to hear that", "t6"),
    turn(21, "ann", "yes thank you", "t7"),
]


def course_of(turns: list[MeasuredTurn], batches: int = 1) -> Call:
    call = Call("default", "call-1", 0, PLAIN, TONE)
    for number, record in enumerate(turns):
        call.add(record, Position(1, number))
        if number % batches == 0:
            call.annotate()
    call.annotate()
    return call


def test_it_builds_along_a_bad_call_and_says_from_what() -> None:
    found = course_of(CALL).courses.found
    assert found.keys() == {"t1", "t3", "t5", "t7"}
    assert found["t1"].value == 0
    assert found["t3"].signs == {"repeats": 0.35, "not_understood": 0.3}
    assert found["t5"].signs.keys() == {"kept_waiting", "negative_words"}
    assert found["t5"].value > found["t3"].value > found["t7"].value > 0


def test_turn_that_is_no_speech_changes_nothing() -> None:
    more = [turn(6.5, "ann", "[laughter]", "t4a"), turn(18, "ann", "[noise] [noise]", "t5a")]
    assert course_of([*CALL, *more]).courses.found == course_of(CALL).courses.found


def test_agents_turn_that_is_no_speech_understands_everything() -> None:
    silent = turn(4, "bot", "sorry i didn't catch that", "t2")
    silent = msgspec.structs.replace(silent, turn=msgspec.structs.replace(silent.turn, ended_at=silent.turn.started_at))
    found = course_of([silent if one.turn.turn_id == "t2" else one for one in CALL]).courses.found
    assert found["t3"].signs == {"repeats": 0.35}


@given(st.permutations(range(len(CALL))), st.integers(1, 3), st.randoms())
def test_order_of_turns_and_revisions_mean_nothing(order: list[int], batches: int, chance: random.Random) -> None:
    """Each turn comes twice: at first as another one said it elsewhere."""
    first = [
        msgspec.structs.replace(
            CALL[index],
            turn=msgspec.structs.replace(
                CALL[index].turn,
                started_at=CALL[index].turn.started_at + 1_000 * chance.randint(-5, 5),
                ended_at=CALL[index].turn.ended_at + 5_000,
                received_at=0,
                participant=chance.choice(["ann", "bot", "desk"]),
                role=chance.choice(["user", "agent"]),
            ),
        )
        for index in order
    ]
    found = course_of([*first, *(CALL[index] for index in order)], batches)
    assert found.courses.found == course_of(CALL).courses.found
    assert summed(found.courses) == summed(course_of(CALL).courses)


def summed(courses: Courses) -> tuple[object, ...]:
    return (
        courses.at_start(),
        courses.greatest(),
        courses.at_end(),
        courses.slope_per_minute(),
        courses.turnings,
    )


LOADS: list[FrustrationSign] = ["repeats", "negative_words", "kept_waiting", "not_understood", "raised_voice"]


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["ann", "eve"]), st.integers(0, 200), st.integers(0, 31)),
        max_size=60,
    ),
    st.integers(1, 4),
)
def test_course_is_summed_up_by_its_definition_in_whatever_steps(
    puts: list[tuple[int, str, int, int]], step: int
) -> None:
    """Turns are put, moved in time and given to another user; each has its load for ever."""
    courses, now, loads = Courses(), {}, {}
    for number, (name, user, at, bits) in enumerate(puts):
        said = received_turn(1000 * at, 1000 * at + 500, f"t{name:02}", user)
        loads[said.turn_id] = {sign: 1.0 for place, sign in enumerate(LOADS) if bits >> place & 1}
        courses.put(said, speaks=True)
        now[said.turn_id] = said
        if number % step == 0 or number == len(puts) - 1:
            courses.update(lambda turn_id, _: _told(loads[turn_id]))
    values: dict[str, float] = {}
    turnings = []
    for user in ("ann", "eve"):
        is_high, found = False, []
        for said in sorted((one for one in now.values() if one.participant == user), key=_place):
            found.append(load(signs(_told(loads[said.turn_id]))))
            value = values[said.turn_id] = course(found[-WINDOW:])
            if is_high and value <= FALLS_TO:
                turnings.append(Turning(said.started_at, "de_escalation", user, said.turn_id, value))
            elif not is_high and value >= RISES_TO:
                turnings.append(Turning(said.started_at, "escalation", user, said.turn_id, value))
            is_high = value > FALLS_TO if is_high else value >= RISES_TO
    assert {turn_id: one.value for turn_id, one in courses.found.items()} == values
    assert courses.turnings == sorted(turnings)
    ordered = [(said.started_at, values[said.turn_id]) for said in sorted(now.values(), key=_place)]
    assert (courses.at_start(), courses.at_end()) == ((ordered[0][1], ordered[-1][1]) if ordered else (None, None))
    assert courses.greatest() == max(values.values(), default=None)
    if len({at for at, _ in ordered}) > 1:
        minutes, heights = np.array([(at - T0) / 60_000 for at, _ in ordered]), np.array([v for _, v in ordered])
        assert courses.slope_per_minute() == pytest.approx(np.polyfit(minutes, heights, 1)[0], abs=6e-4)
    else:
        assert courses.slope_per_minute() is None


def _told(found: dict[FrustrationSign, float]) -> Told:
    return Told(
        z={"active_level_dbfs": 4.0, "f0_median_hz": 4.0} if "raised_voice" in found else {},
        sentiment=-found.get("negative_words", 0.0),
        repeats="repeats" in found,
        interruption=0.0,
        waited_ms=8_000 if "kept_waiting" in found else 0,
        not_understood="not_understood" in found,
    )


def _place(turn: ReceivedTurn) -> tuple[int, str]:
    return turn.started_at, turn.turn_id
