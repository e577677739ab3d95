"""Where a turn speaks: in the segments of its audio, or in the whole of its interval."""

from __future__ import annotations

from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.spurts import Utterance, total, union, utterances
from pipeline.not_measured import not_measured
from schemas.measured import MeasuredTurn, NotMeasuredReason, SpeechSegment
from schemas.turn import ReceivedTurn, Word
from tests.records import T0, received_turn, unmeasured

TEXT = "so what i meant to say is"


def heard(turn: ReceivedTurn, *segments: tuple[int, int]) -> MeasuredTurn:
    return MeasuredTurn(
        turn=turn, segments=[SpeechSegment(start, end) for start, end in segments], features_version="0.0.0"
    )


def speaks(measured: MeasuredTurn) -> list[tuple[int, int, str | None]]:
    """Start, end and text of what the turn, from T0 on, speaks."""
    return [(found.start - T0, found.end - T0, found.text) for found in utterances(measured)]


def test_turn_speaks_in_its_segments() -> None:
    turn = received_turn(100, 2100, text=TEXT)
    assert speaks(heard(turn, (0, 900), (1200, 1990))) == [(100, 1000, TEXT), (1300, 2090, TEXT)]
    assert {(found.turn_id, found.participant) for found in utterances(heard(turn, (0, 900)))} == {("t1", "caller")}


def test_segments_are_cut_to_the_turn_and_those_outside_left_out() -> None:
    # turn          |------------------|
    # segments  |-| |  |---|        |-----|  |--|
    turn = received_turn(0, 2000, text=TEXT)
    found = speaks(heard(turn, (-200, -50), (-50, 10), (300, 700), (1800, 2300), (2500, 2700)))
    assert found == [(0, 10, TEXT), (300, 700, TEXT), (1800, 2000, TEXT)]


@pytest.mark.parametrize("reason", get_args(NotMeasuredReason))
def test_turn_without_acoustics_speaks_in_its_interval(reason: NotMeasuredReason) -> None:
    assert speaks(not_measured(received_turn(0, 2000, text=TEXT), reason)) == [(0, 2000, TEXT)]


def test_words_that_no_audio_has_are_believed() -> None:
    assert speaks(heard(received_turn(0, 2000, text=TEXT))) == [(0, 2000, TEXT)]
    assert speaks(heard(received_turn(0, 2000, text=TEXT), (2000, 2100))) == [(0, 2000, TEXT)]


def test_silence_without_words_is_no_speech() -> None:
    assert speaks(heard(received_turn(0, 2000, text=" "))) == []
    assert speaks(unmeasured(received_turn(0, 2000, text=" "))) == [(0, 2000, None)]


def test_laughter_is_no_speech_however_loud() -> None:
    assert speaks(heard(received_turn(0, 2000, text="[laughter]"), (0, 2000))) == []


def test_word_belongs_to_the_stretch_nearest_to_its_middle() -> None:
    # segments  |----|        |----|        |----|       the recogniser is 150 ms early, or late; the last has no words
    # words       a    b    c    d   e
    words = [("a", 200, 400), ("b", 500, 690), ("c", 650, 900), ("d", 1100, 1200), ("e", 1450, 1650)]
    turn = received_turn(
        0, 3000, text="a b c d e", words=[Word(word, T0 + start, T0 + end) for word, start, end in words]
    )
    assert speaks(heard(turn, (0, 500), (900, 1400), (2000, 2500))) == [
        (0, 500, "a b"),
        (900, 1400, "c d e"),
        (2000, 2500, None),
    ]


def test_stretch_of_nothing_but_laughter_is_no_speech() -> None:
    words = [Word("well", T0 + 100, T0 + 300), Word("[laughter]", T0 + 1000, T0 + 1400)]
    turn = received_turn(0, 1500, text="well [laughter]", words=words)
    assert speaks(heard(turn, (0, 400), (900, 1500))) == [(0, 400, "well")]


# ----------------------------------------------------------------------------------------------------------------------
# Laws

TURNS = st.builds(
    lambda length, text, words: received_turn(
        0, length, text=text, words=[Word(f"w{i}", T0 + at, T0 + at + 150) for i, at in enumerate(words)] or None
    ),
    st.integers(0, 3000),
    st.sampled_from([TEXT, "mhm", "", "[cough]"]),
    st.lists(st.integers(-100, 3000), max_size=5),
)
SEGMENTS = st.lists(
    st.builds(lambda start, length: (start, start + length), st.integers(-300, 3500), st.integers(0, 1500)), max_size=5
)


@given(TURNS)
def test_segments_all_over_the_turn_are_the_same_as_no_audio(turn: ReceivedTurn) -> None:
    length = turn.ended_at - turn.started_at
    whole = utterances(unmeasured(turn))
    assert utterances(heard(turn, (0, length))) == whole
    assert utterances(heard(turn, (length // 2, length), (0, length // 2))) == whole


@given(TURNS, SEGMENTS)
def test_turn_speaks_inside_its_interval_at_places_apart(turn: ReceivedTurn, segments: list[tuple[int, int]]) -> None:
    found = utterances(heard(turn, *segments))
    assert [(one.start, one.end) for one in found] == union((one.start, one.end) for one in found)
    assert all(turn.started_at <= one.start < one.end <= turn.ended_at for one in found)
    assert {(one.turn_id, one.participant) for one in found} <= {(turn.turn_id, turn.participant)}


@given(TURNS, SEGMENTS)
def test_no_word_is_lost_and_none_said_twice(turn: ReceivedTurn, segments: list[tuple[int, int]]) -> None:
    found = utterances(heard(turn, *segments))
    if len(found) > 1 and turn.words:
        said = [word for one in found for word in (one.text or "").split()]
        assert sorted(said) == sorted(word.w for word in turn.words)


@given(TURNS, SEGMENTS, st.integers(-T0, T0))
def test_shifting_a_turn_shifts_where_it_speaks(turn: ReceivedTurn, segments: list[tuple[int, int]], by: int) -> None:
    moved = msgspec.structs.replace(
        turn,
        started_at=turn.started_at + by,
        ended_at=turn.ended_at + by,
        words=turn.words and [Word(word.w, word.started_at + by, word.ended_at + by) for word in turn.words],
    )
    assert utterances(heard(moved, *segments)) == tuple(
        one._replace(start=one.start + by, end=one.end + by) for one in utterances(heard(turn, *segments))
    )


@given(TURNS, SEGMENTS)
def test_audio_only_ever_takes_time_away(turn: ReceivedTurn, segments: list[tuple[int, int]]) -> None:
    def length(found: tuple[Utterance, ...]) -> int:
        return total(union((one.start, one.end) for one in found))

    assert length(utterances(heard(turn, *segments))) <= length(utterances(unmeasured(turn)))
