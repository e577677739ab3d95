"""Overlap events drawn on a time line, one case a rule of docs/dialogue.md, with all that must and must not come of it.

In the drawings one character is 100 ms; dots are where the audio of a turn is silent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest

from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.spurts import Utterance, speech, spurts, utterances
from schemas.measured import MeasuredTurn, SpeechSegment
from schemas.turn import Word
from tests.records import T0, received_turn

LONG = "so what i meant to say is"


def user(start: int, end: int, text: str = LONG) -> Utterance:
    return said(start, end, f"user@{start}", "user", text)


def agent(start: int, end: int, text: str = LONG) -> Utterance:
    return said(start, end, f"agent@{start}", "agent", text)


def said(start: int, end: int, turn_id: str, participant: str, text: str) -> Utterance:
    utterance = speech(start, end, turn_id, participant, text)
    assert utterance is not None
    return utterance


def heard(whole: Utterance, *stretches: tuple[int, int], words: Sequence[tuple[int, str]] = ()) -> list[Utterance]:
    """The turn when speech was found in the stretches of its audio. words : of 200 ms each, by their start."""
    turn = received_turn(
        whole.start - T0,
        whole.end - T0,
        whole.turn_id,
        whole.participant,
        whole.text or "",
        words=[Word(word, at, at + 200) for at, word in words] or None,
    )
    segments = [SpeechSegment(start - whole.start, end - whole.start) for start, end in stretches]
    return list(utterances(MeasuredTurn(turn=turn, segments=segments, features_version="0.0.0")))


class Expected(NamedTuple):
    """One event: {by} comes in over {of}, in turn `turn_id`."""

    turn_id: str
    by: str
    of: str
    start: int
    end: int
    class_: str
    kind: str
    floor_taken: bool
    yield_ms: int | None


def found(*utterances: Utterance) -> list[Expected]:
    return [
        Expected(
            turn_id,
            event.overlapper,
            event.overlapped,
            event.start,
            event.end,
            event.class_,
            event.kind,
            event.floor_taken,
            event.yield_ms,
        )
        for turn_id, turn in annotate(utterances).turns.items()
        for event in turn.overlaps
    ]


Case = tuple[list[Utterance], list[Expected]]


def by_agent(at: int, end: int, class_: str, *, kind: str = "between", floor_taken: bool = False) -> Expected:
    """The agent comes in over the user, in its turn that starts there."""
    yield_ms = end - at if kind == "between" else None
    return Expected(f"agent@{at}", "agent", "user", at, end, class_, kind, floor_taken, yield_ms)


# 0         1000      2000      3000      4000
# user   |-------------------------|                    0..2600, stops 400 ms after the agent starts
# agent                        |--------------|         2200..3700
INTERRUPTED = ([user(0, 2600), agent(2200, 3700)], [by_agent(2200, 2600, "interruption", floor_taken=True)])

# user   |----------|                                    the agent starts before the user has finished: 299 ms are
# agent          |--------|                              the overlap of any turn change
TERMINAL_OVERLAP = ([user(0, 1000), agent(701, 2000)], [by_agent(701, 1000, "overlap", floor_taken=True)])
SHORTEST_INTERRUPTION = ([user(0, 1000), agent(700, 2000)], [by_agent(700, 1000, "interruption", floor_taken=True)])

# user   |---------|
# agent       |--------|                                 goes on for 500 ms, and for one less
FLOOR_JUST_TAKEN = ([user(0, 1000), agent(500, 1500)], [by_agent(500, 1000, "interruption", floor_taken=True)])
FLOOR_JUST_NOT_TAKEN = ([user(0, 1000), agent(500, 1499)], [by_agent(500, 1000, "overlap")])

# user   |---------|   |-----|                           starts again 400 ms after it was cut: it keeps the floor
# agent       |------------------|                       and the second spurt lies within the agent's
RESUMED = (
    [user(0, 1000), agent(500, 2500), user(1400, 2000)],
    [
        by_agent(500, 1000, "overlap"),
        Expected("user@1400", "user", "agent", 1400, 2000, "overlap", "within", False, None),
    ],
)

# user   |---------|     |-----|                         500 ms later the floor was the agent's
RESUMED_LATER = (
    [user(0, 1000), agent(500, 2500), user(1500, 2000)],
    [
        by_agent(500, 1000, "interruption", floor_taken=True),
        Expected("user@1500", "user", "agent", 1500, 2000, "overlap", "within", False, None),
    ],
)

# user   |--------|                                      both start within 200 ms: nobody cut anybody off
# agent    |------------|
SIMULTANEOUS_START = ([user(0, 1000), agent(199, 2000)], [by_agent(199, 1000, "overlap", floor_taken=True)])
NO_LONGER_SIMULTANEOUS = ([user(0, 1000), agent(200, 2000)], [by_agent(200, 1000, "interruption", floor_taken=True)])

# user   |------------------------|
# agent          |--|                                    "mhm", within
BACKCHANNEL = ([user(0, 2500), agent(800, 1100, "mhm")], [by_agent(800, 1100, "backchannel", kind="within")])
TWO_WORDS = ([user(0, 2500), agent(800, 1100, "Banana bread!")], [by_agent(800, 1100, "backchannel", kind="within")])
THREE_WORDS = (
    [user(0, 2500), agent(800, 1100, "banana bread, please")],
    [by_agent(800, 1100, "overlap", kind="within")],
)
LEXICON = (
    [user(0, 2500), agent(800, 1700, "Uh-huh. Okay, I see (of course)...")],
    [by_agent(800, 1700, "backchannel", kind="within")],
)
WORDS_UNKNOWN = ([user(0, 2500), agent(800, 1799, "")], [by_agent(800, 1799, "backchannel", kind="within")])
ONE_SECOND = ([user(0, 2500), agent(800, 1800, "mhm")], [by_agent(800, 1800, "overlap", kind="within")])
TAGS_ARE_NO_WORDS = (
    [user(0, 2500), agent(800, 1100, "[laughter] banana bread [noise]")],
    [by_agent(800, 1100, "backchannel", kind="within")],
)
UNINTELLIGIBLE_IS_A_WORD = (
    [user(0, 2500), agent(800, 1100, "[unintelligible] banana bread")],
    [by_agent(800, 1100, "overlap", kind="within")],
)

# user   |----------------|                              equal ends: embedded, nobody yielded
# agent          |--------|
EQUAL_ENDS = ([user(0, 1700), agent(800, 1700, "mhm")], [by_agent(800, 1700, "backchannel", kind="within")])

# user   |----------------|                              same start: who stops first comes in; within, never between
# agent  |--------|
SAME_START = ([user(0, 1600), agent(0, 900, "yes")], [by_agent(0, 900, "backchannel", kind="within")])

# user   |--------|                                      the same interval: the greater name comes in
# agent  |--------|
SAME_INTERVAL = (
    [user(0, 900, "yes"), agent(0, 900, "yes")],
    [Expected("user@0", "user", "agent", 0, 900, "backchannel", "within", False, None)],
)

# user   |--------|                                      touching is no overlap
# agent           |--------|
TOUCH: Case = ([user(0, 900), agent(900, 1800)], [])

# user   |----| |----|                                   own silence of 199 ms: one spurt, so the agent's turn in the
# agent       |-|                                        gap overlaps the spurt, though never anyone's activity
IN_A_BRIDGED_GAP = (
    [user(0, 400), user(599, 1000), agent(450, 550, "mhm")],
    [by_agent(450, 550, "backchannel", kind="within")],
)
# with 200 ms it is a pause
IN_A_PAUSE: Case = ([user(0, 400), user(600, 1000), agent(450, 550, "mhm")], [])

# user   |-------------------|                           two turns, one spurt, one event: in the turn in which it starts
# agent          |----||----|
TURNS_OF_ONE_SPURT = (
    [user(0, 1900), agent(800, 1300, "i see"), agent(1350, 2600)],
    [Expected("agent@800", "agent", "user", 800, 1900, "interruption", "between", True, 1100)],
)

# user   |---------|....|-----------|                    a pause inside the turn: what is said in it overlaps nothing
# agent               |-|
IN_A_PAUSE_OF_THE_TURN: Case = (
    [*heard(user(0, 2500), (0, 1000), (1400, 2500)), agent(1100, 1350, "mhm")],
    [],
)

# user   |-------------------|......                     the turn ends late, the speech does not: no interruption
# agent                         |--------------|
SILENT_END: Case = ([*heard(user(0, 3000), (0, 2000)), agent(2200, 3700)], [])

# user   |-------------------|                           the turn begins early, the speech does not
# agent                 ......|---------|
SILENT_BEGINNING: Case = ([user(0, 2000), *heard(agent(1500, 3000), (2100, 3000))], [])

# user   |-------------------|                           all of the overlap that is left is the usual one of a change
# agent            .......|-----------|
TERMINAL_BY_AUDIO = (
    [user(0, 2000), *heard(agent(1000, 3000), (1800, 3000))],
    [by_agent(1800, 2000, "overlap", floor_taken=True)._replace(turn_id="agent@1000")],
)

# user   |------------------------|                      two stretches of one turn, two events in it
# agent          |--|....|--|
TWICE_IN_ONE_TURN = (
    [user(0, 2500), *heard(agent(800, 1800, "yeah right okay"), (800, 1100), (1500, 1800))],
    [
        by_agent(800, 1100, "backchannel", kind="within"),
        by_agent(1500, 1800, "backchannel", kind="within")._replace(turn_id="agent@800"),
    ],
)

# user   |------------------------|                      "mhm", a pause, then a turn of its own. Where the words have
# agent          |--|....              |--------|        times, the stretch has its own; else it has all of the text
OWN_WORDS = (
    [
        user(0, 2500),
        *heard(
            agent(800, 3900, "mhm so what i meant"),
            (800, 1100),
            (3000, 3900),
            words=[(850, "mhm"), (2900, "so"), (3100, "what"), (3300, "i"), (3500, "meant")],
        ),
    ],
    [by_agent(800, 1100, "backchannel", kind="within")],
)
WORDS_OF_THE_TURN = (
    [user(0, 2500), *heard(agent(800, 3900, "mhm so what i meant"), (800, 1100), (3000, 3900))],
    [by_agent(800, 1100, "overlap", kind="within")],
)

# user   |------------------------|                      another connection's turn fills the pause: one spurt, in which
# agent          |-|..|-|                                the text of the first turn stands once
# agent            |--|
TEXT_STANDS_ONCE = (
    [
        user(0, 2500),
        *heard(agent(800, 1400, "banana bread"), (800, 1000), (1200, 1400)),
        agent(1000, 1200, "..."),
    ],
    [by_agent(800, 1400, "backchannel", kind="within")],
)
# user   |------------------------|                      what two turns say counts twice, though it is the same
# agent          |--||--|
SAID_TWICE = (
    [user(0, 2500), agent(800, 1100, "banana bread"), agent(1150, 1450, "banana bread")],
    [by_agent(800, 1450, "overlap", kind="within")],
)

CASES = {name: case for name, case in dict(globals()).items() if name.isupper() and isinstance(case, tuple)}


@pytest.mark.parametrize(("utterances", "expected"), CASES.values(), ids=CASES)
def test_case_has_these_events_and_no_other(utterances: list[Utterance], expected: list[Expected]) -> None:
    assert sorted(found(*utterances)) == sorted(expected)
    assert sorted(found(*reversed(utterances))) == sorted(expected)


def test_three_at_once_are_three_pairs_and_count_once() -> None:
    # a |-----------------|
    # b      |-------|
    # c          |-------------|
    turns = [said(0, 1800, "a1", "a", LONG), said(500, 1300, "b1", "b", LONG), said(900, 2400, "c1", "c", LONG)]
    assert [(e.by, e.of, e.start, e.end) for e in sorted(found(*turns))] == [
        ("b", "a", 500, 1300),
        ("c", "a", 900, 1800),
        ("c", "b", 900, 1300),
    ]
    annotation = annotate(turns)
    assert annotation.overlap_ms == 1300
    assert annotation.turns["b1"].overlap_ms == 800
    assert annotation.turns["a1"].overlap_ms == 1300
    assert annotation.turns["c1"].overlap_ms == 900


def test_own_turns_never_overlap_each_other() -> None:
    # Two connections of one participant.
    annotation = annotate([user(0, 1000), said(500, 1500, "x", "user", LONG)])
    assert annotation.overlap_ms == 0
    assert annotation.participants["user"].speech_ms == 1500
    assert not any(turn.overlaps for turn in annotation.turns.values())


def test_call_without_speech_has_no_ratio() -> None:
    annotation = annotate([])
    assert (annotation.duration_ms, annotation.speech_ms, annotation.silence_ms, annotation.overlap_ms) == (0, 0, 0, 0)
    assert annotation.overlap_ratio is None
    assert not annotation.participants


@pytest.mark.parametrize("text", ["[laughter]", " [noise] [noise] ", "[LAUGHTER]\n", "[]"])
def test_text_of_nothing_but_tags_is_no_speech(text: str) -> None:
    assert speech(0, 100, "t", "p", text) is None


@pytest.mark.parametrize(
    "text", ["[unintelligible]", "[Inaudible]", "[noise] [unk]", "<unk>", "[laughter] no", "...", "[x"]
)
def test_text_with_anything_said_is_speech(text: str) -> None:
    assert speech(0, 100, "t", "p", text) == Utterance(0, 100, "t", "p", text)


@pytest.mark.parametrize("text", ["", " \n"])
def test_empty_text_is_speech_of_unknown_words(text: str) -> None:
    assert speech(0, 100, "t", "p", text) == Utterance(0, 100, "t", "p", None)


def test_turn_without_length_is_no_speech() -> None:
    assert speech(100, 100, "t", "p", "word") is None
    assert speech(101, 100, "t", "p", "word") is None


def test_spurt_keeps_its_utterances_in_order_and_ends_with_the_last_to_end() -> None:
    # |--------------------|
    #    |---|    |---|        |--|      200 ms after the long one: a pause
    own = [user(2200, 2500), user(1300, 1700), user(300, 700), user(0, 2000)]
    first, second = spurts(own)
    assert (first.start, first.end, [u.start for u in first.utterances]) == (0, 2000, [0, 300, 1300])
    assert (second.start, second.end, [u.start for u in second.utterances]) == (2200, 2500, [2200])


def test_annotation_of_an_18_hour_call_is_quick() -> None:
    """16,000 turns that overlap their neighbours: n squared would take minutes; 5 s is for the slowest machine."""
    import time  # noqa: PLC0415

    turns = [said(4_000 * i, 4_000 * i + 4_500, f"t{i}", "ab"[i % 2], LONG) for i in range(16_000)]
    started = time.process_time()
    annotation = annotate(turns)
    assert time.process_time() - started < 5
    assert annotation.overlap_ms == 15_999 * 500
