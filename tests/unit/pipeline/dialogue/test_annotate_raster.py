"""Annotation against a second implementation, written from docs/dialogue.md alone: a raster of 1 ms, no cleverness.

What must hold whatever the conversation: the same plain quantities and the same events to the millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.dialogue.annotate import Annotation, annotate
from pipeline.dialogue.floor import Floor
from pipeline.dialogue.spurts import speech, utterances
from schemas.measured import MeasuredTurn, SpeechSegment
from tests.records import T0, received_turn, unmeasured

Bools = NDArray[np.bool_]


class Line(NamedTuple):
    """A turn as it is sent, times in ms; or a part of the turn `turn_id`."""

    start: int
    end: int
    participant: str
    text: str
    turn_id: str | None = None


class Event(NamedTuple):
    """An overlap event in the order of the page."""

    start: int
    end: int
    overlapper: str
    overlapped: str
    kind: str
    class_: str
    floor_taken: bool
    yield_ms: int | None


# ----------------------------------------------------------------------------------------------------------------------
# The second implementation

LEXICON = set(
    "yeah yes yep yup ya yah mm mmm mhm mm-hm mm-hmm mmhmm hm hmm uh-huh uhuh uh huh um-hum ah aha oh ooh okay ok okey "
    "right alright sure great good cool fine wow really exactly absolutely true i see got it gotcha indeed of "
    "course".split(" ")
)
SPOKEN_TAGS = {"[unintelligible]", "[inaudible]", "[unk]"}


def untagged(text: str) -> list[str]:
    """Tokens of the text, those tags left out that are no words."""
    parts = re.split(r"(\[[^\[\]]*\])", text.lower())
    kept = [part for part in parts if not part.startswith("[") or part in SPOKEN_TAGS]
    return " ".join(kept).split()


def is_dropped(line: Line) -> bool:
    return line.end == line.start or (bool(line.text.strip()) and not untagged(line.text))


def short_or_lexical(texts: Sequence[str]) -> bool:
    """Backchannel words: unknown, two at the most, or all in the lexicon."""
    if any(not text.strip() for text in texts):
        return True
    words = []
    for token in (token for text in texts for token in untagged(text)):
        kept = [at for at, character in enumerate(token) if character not in ".,;:!?\"'()-~"]
        if kept:
            words.append(token[kept[0] : kept[-1] + 1])
    return len(words) <= 2 or set(words) <= LEXICON


def runs(marked: Bools) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for ms in np.flatnonzero(marked):
        if found and found[-1][1] == ms:
            found[-1] = (found[-1][0], int(ms) + 1)
        else:
            found.append((int(ms), int(ms) + 1))
    return found


class Raster:
    def __init__(self, lines: Sequence[Line]) -> None:
        self.lines = [line for line in lines if not is_dropped(line)]
        self.end = max((line.end for line in self.lines), default=0) + 2_000
        self.activity = {line.participant: np.zeros(self.end, dtype=bool) for line in self.lines}
        for line in self.lines:
            self.activity[line.participant][line.start : line.end] = True
        self.spurts = {participant: self._bridged(active) for participant, active in self.activity.items()}
        self.count = sum((active.astype(int) for active in self.activity.values()), np.zeros(self.end, dtype=int))

    def _bridged(self, active: Bools) -> Bools:
        bridged = active.copy()
        own = runs(active)
        for (_, before), (after, _) in pairwise(own):
            if after - before < 200:
                bridged[before:after] = True
        return bridged

    @property
    def speech_ms(self) -> int:
        return int((self.count >= 1).sum())

    @property
    def overlap_ms(self) -> int:
        return int((self.count >= 2).sum())

    @property
    def duration_ms(self) -> int:
        spoken = np.flatnonzero(self.count)
        return int(spoken[-1] - spoken[0] + 1) if len(spoken) else 0

    def overlap_of(self, line: Line) -> int:
        """Time of the turn during which anyone else is active [ms]."""
        others = self.count - self.activity[line.participant]
        return int((others[line.start : line.end] >= 1).sum())

    def events(self) -> list[Event]:
        names = sorted(self.spurts)
        return sorted(
            self._event((one, *a), (other, *b))
            for i, one in enumerate(names)
            for other in names[i + 1 :]
            for a in runs(self.spurts[one])
            for b in runs(self.spurts[other])
            if max(a[0], b[0]) < min(a[1], b[1])
        )

    def _event(self, one: tuple[str, int, int], other: tuple[str, int, int]) -> Event:
        (one_name, one_start, one_end), (other_name, other_start, other_end) = one, other
        if one_start != other_start:
            overlapper, overlapped = (one, other) if one_start > other_start else (other, one)
        elif one_end != other_end:
            overlapper, overlapped = (one, other) if one_end < other_end else (other, one)
        else:
            overlapper, overlapped = (one, other) if one_name > other_name else (other, one)
        start, end = max(one_start, other_start), min(one_end, other_end)
        kind = "between" if overlapper[2] > overlapped[2] else "within"
        floor_taken = False
        if kind == "between":
            alone = self.spurts[overlapper[0]] & ~self.spurts[overlapped[0]]
            floor_taken = bool(alone[end : end + 500].all())
        texts = {
            line.turn_id or at: line.text
            for at, line in enumerate(self.lines)
            if line.participant == overlapper[0] and overlapper[1] <= line.start < overlapper[2]
        }
        if floor_taken and end - start >= 300 and start - overlapped[1] >= 200:
            class_ = "interruption"
        elif kind == "within" and overlapper[2] - overlapper[1] < 1000 and short_or_lexical(list(texts.values())):
            class_ = "backchannel"
        else:
            class_ = "overlap"
        return Event(
            start,
            end,
            overlapper[0],
            overlapped[0],
            kind,
            class_,
            floor_taken,
            end - start if kind == "between" else None,
        )

    def floor(self) -> tuple[list[tuple[int, str, str, int]], list[int]]:
        """Transfers (at, before, after, offset) and pauses."""
        everyone = [(name, *run) for name, active in self.spurts.items() for run in runs(active)]
        kept = [spurt for spurt in everyone if not any(self._lies_in(spurt, other) for other in everyone)]
        transfers, pauses = [], []
        for (one, _, end), (other, start, _) in pairwise(sorted(kept, key=lambda spurt: spurt[1])):
            if one == other:
                pauses.append(start - end)
            else:
                transfers.append((start, one, other, start - end))
        return transfers, pauses

    def monologues(self) -> list[tuple[int, str]]:
        """How long each had the floor before another took it, rising."""
        everyone = [(name, *run) for name, active in self.spurts.items() for run in runs(active)]
        kept = [spurt for spurt in everyone if not any(self._lies_in(spurt, other) for other in everyone)]
        found: list[tuple[str, int, int]] = []
        for name, start, end in sorted(kept, key=lambda spurt: spurt[1]):
            if found and found[-1][0] == name:
                found[-1] = (name, found[-1][1], end)
            else:
                found.append((name, start, end))
        return sorted((end - start, name) for name, start, end in found)

    @staticmethod
    def _lies_in(spurt: tuple[str, int, int], other: tuple[str, int, int]) -> bool:
        if spurt[0] == other[0] or spurt[1] < other[1] or spurt[2] > other[2]:
            return False
        return spurt[1:] != other[1:] or other[0] < spurt[0]


# ----------------------------------------------------------------------------------------------------------------------
# Conversations: short, crowded, on a coarse grid (ties, touches) with some turns a millisecond off it

TEXTS = [
    "",
    "   ",
    "yeah",
    "Uh-huh, OK.",
    "mhm right okay I see",
    "no not at all",
    "so the thing is that",
    "... -",
    "[laughter]",
    " [noise] [Noise]",
    "[laughter] well then maybe not",
    "[laughter] yeah sure right",
    "[unintelligible]",
    "[unk] no no",
    "[noise] [inaudible]",
    "<unk>",
    "<unk> <unk> <unk>",
]
STARTS = st.builds(lambda grid, off: max(0, 100 * grid + off), st.integers(0, 30), st.sampled_from([0, 0, 0, -1, 1]))
LENGTHS = st.sampled_from([0, 1, 50, 100, 199, 200, 201, 299, 300, 301, 400, 499, 500, 501, 900, 999, 1000, 1001, 1500])
LINES = st.builds(
    lambda start, length, participant, text: Line(start, start + length, participant, text),
    STARTS,
    LENGTHS,
    st.sampled_from(["a", "b", "B", "c", "d"]),
    st.sampled_from(TEXTS),
)
CONVERSATIONS = st.lists(LINES, max_size=14)


def annotation(lines: Sequence[Line], ids: Sequence[str] | None = None) -> Annotation:
    spoken = (
        speech(line.start, line.end, ids[i] if ids else f"t{i:02}", line.participant, line.text, role="user")
        for i, line in enumerate(lines)
    )
    return annotate(utterance for utterance in spoken if utterance is not None)


def events(found: Annotation) -> list[Event]:
    """The events of an annotation as the page writes them, sorted."""
    return sorted(
        Event(e.start, e.end, e.overlapper, e.overlapped, e.kind, e.class_, e.floor_taken, e.yield_ms)
        for turn in found.turns.values()
        for e in turn.overlaps
    )


@settings(max_examples=300)
@given(CONVERSATIONS)
def test_annotation_is_that_of_the_raster(lines: list[Line]) -> None:
    raster = Raster(lines)
    found = annotation(lines)
    expected = raster.events()
    assert events(found) == expected
    assert (found.duration_ms, found.speech_ms, found.overlap_ms) == (
        raster.duration_ms,
        raster.speech_ms,
        raster.overlap_ms,
    )
    assert (found.floor.transfers, found.floor.pauses_ms) == raster.floor()
    assert found.floor.monologues == raster.monologues()
    assert found.silence_ms == raster.duration_ms - raster.speech_ms
    assert found.overlap_ratio == (raster.overlap_ms / raster.speech_ms if raster.speech_ms else None)
    assert (found.interruptions, found.backchannels) == (
        sum(event.class_ == "interruption" for event in expected),
        sum(event.class_ == "backchannel" for event in expected),
    )


@settings(max_examples=200)
@given(CONVERSATIONS)
def test_participants_are_those_of_the_raster(lines: list[Line]) -> None:
    raster = Raster(lines)
    found = annotation(lines).participants
    expected = raster.events()
    total = sum(int(active.sum()) for active in raster.activity.values())
    assert list(found) == sorted(raster.activity)
    for participant, said in found.items():
        assert said.speech_ms == int(raster.activity[participant].sum())
        assert said.talk_ratio == said.speech_ms / total
        assert said.interruptions_made == sum(
            event.class_ == "interruption" and event.overlapper == participant for event in expected
        )
        assert said.interruptions_received == sum(
            event.class_ == "interruption" and event.overlapped == participant for event in expected
        )
        assert said.backchannels == sum(
            event.class_ == "backchannel" and event.overlapper == participant for event in expected
        )


@settings(max_examples=200)
@given(CONVERSATIONS)
def test_turns_are_those_of_the_raster(lines: list[Line]) -> None:
    raster = Raster(lines)
    found = annotation(lines).turns
    spoken = {f"t{i:02}": line for i, line in enumerate(lines) if not is_dropped(line)}
    assert found.keys() == spoken.keys()
    for turn_id, line in spoken.items():
        assert found[turn_id].overlap_ms == raster.overlap_of(line)
        for event in found[turn_id].overlaps:
            assert event.overlapper == line.participant
            assert line.start <= event.start < line.end


# ----------------------------------------------------------------------------------------------------------------------
# Turns that were heard: a list of segments, in any order, some out of the turn; None without audio

SEGMENTS = st.builds(lambda start, length: (100 * start, 100 * start + length), st.integers(-3, 15), LENGTHS)
HEARD = st.lists(st.tuples(LINES, st.none() | st.lists(SEGMENTS, max_size=4)), max_size=10)

Heard = Sequence[tuple[Line, list[tuple[int, int]] | None]]


def annotation_of_heard(heard: Heard) -> Annotation:
    def measured(line: Line, segments: list[tuple[int, int]] | None, turn_id: str) -> MeasuredTurn:
        turn = received_turn(line.start - T0, line.end - T0, turn_id, line.participant, line.text)
        found = [SpeechSegment(start, end) for start, end in segments or []]
        return unmeasured(turn) if segments is None else MeasuredTurn(turn=turn, segments=found, features_version="0")

    return annotate(found for i, turn in enumerate(heard) for found in utterances(measured(*turn, f"t{i:02}")))


def parts(heard: Heard) -> list[Line]:
    """The stretches in which the turns speak, as lines."""
    lines = []
    for i, (line, segments) in enumerate(heard):
        speaks = np.zeros(line.end, dtype=bool)
        for start, end in segments or []:
            speaks[max(0, line.start + start) : max(0, line.start + end)] = True
        speaks[: line.start] = False
        if segments is None or not (speaks.any() or not line.text.strip()):
            speaks[line.start :] = True
        lines += [Line(*run, line.participant, line.text, f"t{i:02}") for run in runs(speaks)]
    return lines


@settings(max_examples=300)
@given(HEARD)
def test_annotation_of_turns_that_were_heard_is_that_of_the_raster(heard: Heard) -> None:
    lines = parts(heard)
    raster = Raster(lines)
    found = annotation_of_heard(heard)
    assert events(found) == raster.events()
    assert (found.duration_ms, found.speech_ms, found.overlap_ms) == (
        raster.duration_ms,
        raster.speech_ms,
        raster.overlap_ms,
    )
    assert {participant: said.speech_ms for participant, said in found.participants.items()} == {
        participant: int(active.sum()) for participant, active in raster.activity.items()
    }
    spoken = [line for line in lines if not is_dropped(line)]
    assert found.turns.keys() == {line.turn_id for line in spoken}
    for turn_id, turn in found.turns.items():
        own = [line for line in spoken if line.turn_id == turn_id]
        assert turn.overlap_ms == sum(raster.overlap_of(line) for line in own)
        for event in turn.overlaps:
            assert any(event.overlapper == line.participant and event.start == line.start for line in own)


@given(CONVERSATIONS)
def test_turns_heard_all_over_are_as_turns_without_audio(lines: list[Line]) -> None:
    everywhere = [(line, [(0, line.end - line.start)]) for line in lines]
    assert annotation_of_heard(everywhere) == annotation(lines)


# ----------------------------------------------------------------------------------------------------------------------
# Laws


@given(CONVERSATIONS, st.randoms())
def test_order_of_turns_means_nothing(lines: list[Line], random: object) -> None:
    numbered = list(enumerate(lines))
    random.shuffle(numbered)  # type: ignore[attr-defined]
    ids = [f"t{i:02}" for i, _ in numbered]
    assert annotation([line for _, line in numbered], ids) == annotation(lines)


@given(CONVERSATIONS, st.integers(0, 2_000_000_000_000))
def test_shifting_a_call_shifts_its_times_and_nothing_else(lines: list[Line], by: int) -> None:
    here = annotation(lines)
    there = annotation([line._replace(start=line.start + by, end=line.end + by) for line in lines])
    assert events(there) == [event._replace(start=event.start + by, end=event.end + by) for event in events(here)]
    assert there.floor.transfers == [turn._replace(at=turn.at + by) for turn in here.floor.transfers]
    assert there.floor.pauses_ms == here.floor.pauses_ms
    assert there.faults == [fault._replace(at=fault.at + by) for fault in here.faults]
    bare = {"turns": {}, "overlaps": [], "faults": [], "floor": Floor()}
    assert there._asdict() | bare == here._asdict() | bare
    assert {turn_id: turn.overlap_ms for turn_id, turn in there.turns.items()} == {
        turn_id: turn.overlap_ms for turn_id, turn in here.turns.items()
    }


@given(CONVERSATIONS)
def test_swapping_two_participants_swaps_what_is_said_of_them(lines: list[Line]) -> None:
    """Where no two times are equal: a tie is decided by the names."""
    swap = {"a": "b", "b": "a"}
    apart = [
        line._replace(start=50 * line.start + 2 * i, end=50 * line.end + 2 * i + 1) for i, line in enumerate(lines)
    ]
    here = annotation(apart)
    there = annotation([line._replace(participant=swap.get(line.participant, line.participant)) for line in apart])
    assert events(there) == sorted(
        event._replace(
            overlapper=swap.get(event.overlapper, event.overlapper),
            overlapped=swap.get(event.overlapped, event.overlapped),
        )
        for event in events(here)
    )
    assert there.participants == {swap.get(who, who): said for who, said in here.participants.items()}
    assert there.floor.offsets_ms == here.floor.offsets_ms


@given(CONVERSATIONS, LINES)
def test_turn_that_is_no_speech_changes_nothing(lines: list[Line], other: Line) -> None:
    before = annotation(lines)
    assert annotation([*lines, other._replace(text="[cough]")]) == before
    assert annotation([*lines, other._replace(end=other.start)]) == before


@given(CONVERSATIONS)
def test_same_turn_under_a_second_id_adds_no_time(lines: list[Line]) -> None:
    once, twice = annotation(lines), annotation([*lines, *lines])
    assert (twice.duration_ms, twice.speech_ms, twice.overlap_ms) == (
        once.duration_ms,
        once.speech_ms,
        once.overlap_ms,
    )
    assert [event[:5] for event in events(twice)] == [event[:5] for event in events(once)]


@given(CONVERSATIONS)
def test_overlap_is_no_longer_than_the_shorter_spurt_nor_than_the_call(lines: list[Line]) -> None:
    found = annotation(lines)
    spurts = {name: runs(marked) for name, marked in Raster(lines).spurts.items()}
    for event in events(found):
        for participant in (event.overlapper, event.overlapped):
            assert any(start <= event.start and event.end <= end for start, end in spurts[participant])
    assert 0 <= found.overlap_ms <= found.speech_ms <= found.duration_ms


@given(st.lists(st.tuples(LENGTHS, st.sampled_from("abc")), max_size=10))
def test_turns_that_touch_do_not_overlap(steps: list[tuple[int, str]]) -> None:
    lines, at = [], 0
    for length, participant in steps:
        lines.append(Line(at, at + length, participant, "so the thing is that"))
        at += length
    found = annotation(lines)
    assert found.overlap_ms == 0
    assert all(turn.overlap_ms == 0 for turn in found.turns.values())


@given(CONVERSATIONS)
def test_talk_ratios_add_to_one(lines: list[Line]) -> None:
    participants = annotation(lines).participants
    if participants:
        assert abs(sum(said.talk_ratio or 0 for said in participants.values()) - 1) < 1e-9
