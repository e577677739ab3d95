"""The timeline of a call, turn by turn: whatever the steps, it ends where all turns at once do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialogue.annotate import PLAIN, annotate, annotation
from pipeline.dialogue.evidence import Sound
from pipeline.dialogue.rules import Rules
from pipeline.dialogue.spurts import Utterance
from pipeline.dialogue.timeline import Timeline
from pipeline.rules import rules

TEXTS = [None, "yeah", "uh-huh", "so what I wanted to say is", "no wait"]

ROLES = {"a": "user", "b": "agent", "c": ""}

Said = tuple[str, Sequence[Utterance]]
"""A turn's id, and where it speaks."""


@st.composite
def turns(draw: st.DrawFn) -> Said:
    """A turn anywhere in four minutes, in up to three stretches; some crowded at the beginning."""
    turn_id = f"t{draw(st.integers(0, 12)):02}"
    participant = draw(st.sampled_from(["a", "b", "c"]))
    at = 100 * draw(st.integers(0, 30) | st.integers(0, 2_400))
    said = []
    for _ in range(draw(st.integers(0, 3))):
        start = at + draw(st.sampled_from([0, 1, 100, 199, 200, 201, 499, 500, 5_000]))
        at = start + draw(st.sampled_from([1, 100, 300, 900, 1_000, 2_500, 15_000]))
        said.append(Utterance(start, at, turn_id, participant, draw(st.sampled_from(TEXTS)), "", ROLES[participant]))
        at += 1
    return turn_id, said


STEPS = st.lists(st.lists(turns(), min_size=1, max_size=4), max_size=8)


@pytest.mark.parametrize("chosen", [PLAIN, rules("product")], ids=["plain", "product"])
@settings(max_examples=300)
@given(steps=STEPS)
def test_turn_by_turn_is_all_at_once(chosen: Rules, steps: list[list[Said]]) -> None:
    """Turns come in any order, are put in the place of others, and go."""
    timeline = Timeline(chosen)
    now: dict[str, Sequence[Utterance]] = {}
    sounds: dict[str, Sound] = {}
    for number, step in enumerate(steps):
        before = annotation(timeline).turns | {}
        changes = dict(step)
        now |= changes
        heard = {turn_id: Sound(number / 2, -number / 3) for turn_id in [*changes, "t01"][::2]}
        sounds |= heard
        changed = timeline.update(changes, heard)
        at_once = Timeline(chosen)
        at_once.update(now, sounds)
        found, expected = annotation(timeline), annotation(at_once)
        assert found == expected
        assert changed == {turn_id for turn_id, said in found.turns.items() if before.get(turn_id) != said}


@given(st.lists(turns(), max_size=12))
def test_what_is_taken_out_again_leaves_nothing(said: list[Said]) -> None:
    timeline = Timeline(PLAIN)
    timeline.update(dict(said))
    timeline.update({turn_id: () for turn_id, _ in said})
    assert annotation(timeline) == annotate([])


def test_floor_that_was_taken_is_given_back_by_a_later_turn() -> None:
    """
    # a  |--------|  |--|     the second one less than 500 ms after the first
    # b     |----------------|
    """
    timeline = Timeline(PLAIN)
    timeline.update({"a1": [Utterance(0, 20_000, "a1", "a", None)], "b": [Utterance(1_000, 40_000, "b", "b", None)]})
    assert [event.floor_taken for event in timeline.overlaps] == [True]
    assert timeline.made.total() == 1
    assert timeline.update({"a2": [Utterance(20_300, 21_000, "a2", "a", None)]}) == {"a2", "b"}
    assert [event.floor_taken for event in timeline.overlaps] == [False, False]
    assert timeline.made.total() == 0


def test_pause_that_a_later_turn_joins_counts_for_an_overlap_just_out_of_its_reach() -> None:
    """
    # a  |-----------|        |--------| |----|     the last begins 10,001 ms after b came in, and after no pause
    # b        |-----|        ^ of this the judgement sees 195 ms more
    """
    said = {
        "a1": [Utterance(0, 5_000, "a1", "a", "so what I wanted to say is")],
        "b": [Utterance(4_000, 5_000, "b", "b", "no wait")],
        "a2": [Utterance(12_000, 13_805, "a2", "a", "so what I wanted to say is")],
        "a3": [Utterance(14_001, 15_000, "a3", "a", "so what I wanted to say is")],
    }
    chosen = rules("product")
    timeline = Timeline(chosen)
    for turn_id, where in said.items():
        timeline.update({turn_id: where})
    assert annotation(timeline) == annotate(chain.from_iterable(said.values()), chosen)
