"""Who handles a call when, and how it came out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.phases import Span, outcome, phases
from schemas.event import ReceivedEvent
from tests.records import T0, received_event

S = 1_000


def span(start: int, end: int) -> Span:
    return Span(T0 + start, T0 + end)


def of(turns: Span | None, human: Span | None, *events: ReceivedEvent) -> list[tuple[str, int, int]]:
    return [(phase.phase, phase.started_at - T0, phase.ended_at - T0) for phase in phases(turns, human, events)]


TRANSFER = received_event(20 * S, "transfer")
ENDED = received_event(90 * S, "call_ended", "e2")


@pytest.mark.parametrize(
    ("human", "events", "found"),
    [
        (None, [], [("ai", 0, 80 * S)]),
        (None, [ENDED], [("ai", 0, 90 * S)]),
        (None, [TRANSFER], [("ai", 0, 20 * S), ("escalation", 20 * S, 80 * S)]),  # nobody came
        (span(30 * S, 80 * S), [], [("ai", 0, 30 * S), ("human", 30 * S, 80 * S)]),
        (
            span(30 * S, 70 * S),
            [ENDED, TRANSFER],
            [("ai", 0, 20 * S), ("escalation", 20 * S, 30 * S), ("human", 30 * S, 70 * S), ("after", 70 * S, 90 * S)],
        ),
        (
            span(10 * S, 80 * S),
            [TRANSFER],
            [("ai", 0, 10 * S), ("human", 10 * S, 80 * S)],
        ),  # already there
        (span(0, 80 * S), [], [("human", 0, 80 * S)]),
    ],
)
def test_phases(human: Span | None, events: list[ReceivedEvent], found: list[tuple[str, int, int]]) -> None:
    assert of(span(0, 80 * S), human, *events) == found


def test_words_count_where_no_event_tells_and_are_marked() -> None:
    asked_at = T0 + 10 * S
    (ai, escalation) = phases(span(0, 80 * S), None, [], asked_at)
    assert (ai.source, escalation.phase, escalation.started_at, escalation.source) == (
        "roles",
        "escalation",
        asked_at,
        "text",
    )
    (_, escalation) = phases(span(0, 80 * S), None, [TRANSFER], asked_at)
    assert (escalation.started_at, escalation.source) == (TRANSFER.at, "events")


def test_call_without_turns_has_none() -> None:
    assert of(None, None, TRANSFER, ENDED) == []


def test_outcome_is_that_of_the_latest_event_and_never_guessed() -> None:
    first = received_event(1 * S, "outcome", "e1", data={"result": "callback"})
    last = received_event(2 * S, "outcome", "e0", data={"result": "solved", "n": 2})
    assert outcome([last, first, TRANSFER]) == {"result": "solved", "n": 2}
    assert outcome([TRANSFER, ENDED]) == {}


@given(st.lists(st.integers(0, 100), max_size=4), st.none() | st.tuples(st.integers(0, 100), st.integers(0, 50)))
def test_phases_follow_one_another_without_a_gap(transfers: list[int], human: tuple[int, int] | None) -> None:
    worked = None if human is None else span(S * human[0], S * min(150, human[0] + human[1]))
    events = [received_event(S * at, "transfer", f"e{at}") for at in transfers]
    found = of(span(0, 150 * S), worked, *events)
    assert found[0][1] == 0
    assert found[-1][2] == 150 * S
    assert all(before[2] == after[1] for before, after in pairwise(found))
