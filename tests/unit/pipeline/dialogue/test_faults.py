"""What goes wrong between agent and user: each fault where it is, and not where it is nearly."""

from __future__ import annotations

import pytest

from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.spurts import Utterance
from pipeline.rules import rules
from schemas.annotated import Fault, FaultKind

PRODUCT = rules("product")
ROLES = {"bot": "agent", "ann": "user", "desk": "human_agent", "who": ""}

CUT = "and what I wanted to ask you about the"
WHOLE = "that is everything there is to say"
MORE = "then let us look at your contract"
ENTRY = "no listen that is not how it works at all"

Line = tuple[str, int, int, str]


def faults(*lines: Line) -> list[Fault]:
    said = [
        Utterance(start, end, f"t{number}", who, text, "en", ROLES[who])
        for number, (who, start, end, text) in enumerate(lines)
    ]
    return list(annotate(said, PRODUCT).faults)


def test_agent_speaks_over_the_user() -> None:
    lines = [("ann", 0, 5_000, CUT), ("bot", 4_300, 8_000, ENTRY)]
    assert faults(*lines) == [Fault(4_300, "agent_spoke_over_user", "bot", "t1", 700)]


@pytest.mark.parametrize("other", ["ann", "desk", "who"])
def test_nobody_else_speaks_over_anybody(other: str) -> None:
    interrupter = "bot" if other != "ann" else "desk"
    lines = [(other, 0, 5_000, CUT), (interrupter, 4_300, 8_000, ENTRY)]
    assert [fault.kind for fault in faults(*lines)] == []


@pytest.mark.parametrize(
    ("bot_ends", "user_ends", "found"),
    [(5_801, 8_000, True), (5_800, 8_000, False), (9_000, 5_300, True), (9_000, 5_299, False)],
)
def test_agent_does_not_yield(bot_ends: int, user_ends: int, found: bool) -> None:
    """It goes on for over 1.5 s, or the user gives up after a second or more."""
    lines = [("bot", 0, bot_ends, CUT), ("ann", 4_300, user_ends, ENTRY)]
    overlap_ms = min(bot_ends, user_ends) - 4_300
    expected = [Fault(4_300, "agent_did_not_yield", "bot", "t0", overlap_ms)] if found else []
    assert [fault for fault in faults(*lines) if fault.kind != "slow_answer"] == expected


def test_agent_need_not_yield_to_a_listener() -> None:
    assert faults(("bot", 0, 9_000, CUT), ("ann", 4_000, 5_100, "mm-hmm")) == []


@pytest.mark.parametrize(
    ("stops", "resumes", "found"),
    [
        (4_800, 6_000, True),
        (4_800, 5_300, True),
        (4_800, 5_299, False),  # it takes a breath
        (5_001, 6_000, False),  # over a second later: not for that
        (4_800, 9_801, False),  # it had come to its end
    ],
)
def test_agent_stops_for_a_listener(stops: int, resumes: int, found: bool) -> None:
    lines = [("bot", 0, stops, CUT), ("ann", 4_000, 4_400, "mm-hmm"), ("bot", resumes, resumes + 2_000, WHOLE)]
    kinds = [fault.kind for fault in faults(*lines) if fault.kind != "dead_air"]
    assert kinds == (["false_barge_in_stop"] if found else [])


def test_agent_that_stops_and_is_spoken_to_did_not_stop_for_nothing() -> None:
    lines = [("bot", 0, 4_800, CUT), ("ann", 4_000, 4_400, "mm-hmm"), ("ann", 5_000, 5_900, WHOLE)]
    assert faults(*lines, ("bot", 6_000, 8_000, WHOLE)) == []


@pytest.mark.parametrize(
    ("gap_ms", "kinds"),
    [(2_000, []), (2_001, ["slow_answer"]), (4_999, ["slow_answer"]), (5_000, ["dead_air", "slow_answer"])],
)
def test_agent_answers_late(gap_ms: int, kinds: list[str]) -> None:
    found = faults(("ann", 0, 1_000, WHOLE), ("bot", 1_000 + gap_ms, 9_000, WHOLE))
    assert [fault.kind for fault in found] == kinds
    assert all(fault[2:] == ("bot", "t1", gap_ms) for fault in found)


@pytest.mark.parametrize(("gap_ms", "kinds"), [(4_999, []), (5_000, ["dead_air"])])
def test_users_thinking_is_dead_air_from_5_s_on(gap_ms: int, kinds: list[str]) -> None:
    found = faults(("bot", 0, 1_000, WHOLE), ("ann", 1_000 + gap_ms, 9_000, WHOLE))
    assert [fault.kind for fault in found] == kinds


@pytest.mark.parametrize(("gap_ms", "kinds"), [(2_999, []), (3_000, ["unanswered_turn"])])
def test_user_is_not_answered(gap_ms: int, kinds: list[str]) -> None:
    found = faults(("ann", 0, 1_000, WHOLE), ("ann", 1_000 + gap_ms, 9_000, MORE))
    assert [fault.kind for fault in found] == kinds
    assert all(fault[2:] == ("ann", "t0", gap_ms) for fault in found)


def test_listeners_word_in_the_silence_ends_it() -> None:
    lines = [("ann", 0, 1_000, WHOLE), ("bot", 2_500, 2_800, "mm-hmm"), ("ann", 5_000, 9_000, MORE)]
    assert faults(*lines) == []


ASKED = "where is my parcel it should have come yesterday"
NEARLY = "where is my parcel it should have arrived yesterday"
OTHER = "please send it to my new address in the city"


@pytest.mark.parametrize(("who", "kind"), [("ann", "user_repeats"), ("bot", "agent_repeats")])
@pytest.mark.parametrize("again", [ASKED, NEARLY, "Where is my parcel? It should have come -- yesterday!"])
def test_same_thing_again(who: str, kind: FaultKind, again: str) -> None:
    found = faults((who, 0, 2_000, ASKED), ("desk", 2_100, 3_000, OTHER), (who, 3_200, 5_000, again))
    assert found == [Fault(3_200, kind, who, "t2", 1_800)]


@pytest.mark.parametrize(
    ("who", "start", "again"),
    [
        ("ann", 3_200, OTHER),
        ("ann", 3_200, "where is my parcel"),  # a part of it
        ("ann", 3_200, "where is parcel"),  # of few words
        ("ann", 60_001, ASKED),  # over a minute later
        ("desk", 3_200, ASKED),  # said after by another
    ],
)
def test_something_else_is_no_repetition(who: str, start: int, again: str) -> None:
    found = faults(("ann", 0, 2_000, ASKED), ("desk", 2_100, start - 200, OTHER), (who, start, start + 1_000, again))
    assert [fault for fault in found if fault.kind.endswith("_repeats")] == []


def test_few_words_come_back_without_being_misheard() -> None:
    assert (
        faults(("ann", 0, 500, "yes please do"), ("desk", 600, 900, OTHER), ("ann", 1_100, 1_500, "yes please do"))
        == []
    )


def test_stretches_of_one_turn_are_no_repetition() -> None:
    """They have the text of the whole turn where its words have no times."""
    said = [Utterance(start, start + 500, "t1", "ann", ASKED, "en", "user") for start in (0, 1_000, 2_000)]
    assert annotate(said, PRODUCT).faults == []


def test_turns_without_roles_have_no_faults() -> None:
    assert faults(("who", 0, 1_000, WHOLE), ("who", 20_000, 21_000, WHOLE)) == []


def test_no_call_no_faults() -> None:
    assert faults() == []
    assert faults(("ann", 0, 60_000, WHOLE)) == []
