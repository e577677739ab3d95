"""z against a second implementation, written from docs/features.md alone: one turn, one feature at a time."""

from __future__ import annotations

import random
import statistics
import typing
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dialogue.baseline import FLOORS, LIMIT, MIN_TURNS, NAMES, WINDOW, Baselines
from schemas.features import Features, numeric_features
from schemas.measured import MeasuredTurn
from tests.records import HOUR, T0, measured, received_turn

Scores = dict[str, dict[str, float]]
"""turn_id -> z by feature, of the turns that have any."""


def turn(number: int, features: Features, participant: str = "caller", *, start: int | None = None) -> MeasuredTurn:
    """Turn t<number>, of one second, at `number` seconds unless `start` [ms] says otherwise."""
    start = 1000 * number if start is None else start
    return measured(received_turn(start, start + 1000, f"t{number:04}", participant), features)


def levels(*values: float | None) -> list[MeasuredTurn]:
    """One speaker's turns in order, each with a level [dBFS], or none."""
    return [turn(i, Features(duration_s=1.0, level_dbfs=value)) for i, value in enumerate(values)]


def scores(turns: Iterable[MeasuredTurn]) -> Scores:
    """z of the turns, taken in one after the other and brought up to date once."""
    baselines = Baselines()
    ids = []
    for each in turns:
        baselines.put(each)
        ids.append(each.turn.turn_id)
    baselines.update()
    return {turn_id: z for turn_id in ids if (z := baselines.z(turn_id))}


# ----------------------------------------------------------------------------------------------------------------------
# The second implementation

UNITS = {
    name: typing.get_args(hint)[1].extra["unit"]
    for name, hint in typing.get_type_hints(Features, include_extras=True).items()
}
COUNTS = {"pause_count", "syllable_count", "emphasis_count"}


def least_spread(name: str, median: float) -> float:
    """The page's table of floors."""
    if name in COUNTS:
        return 1.0
    return {
        "": max(0.001, 0.05 * abs(median)),
        "s": 0.05,
        "1/s": max(0.1, 0.05 * abs(median)),
        "1/min": max(1.0, 0.05 * abs(median)),
        "Hz": max(1.0, 0.02 * abs(median)),
        "semitones": 0.25,
    }.get(UNITS[name], 0.5)


def reference(turns: Iterable[MeasuredTurn]) -> Scores:
    """z of a set of turns, ids unique."""
    found: Scores = {}
    heard: dict[str, list[Features]] = {}
    for each in sorted(turns, key=lambda each: (each.turn.started_at, each.turn.turn_id)):
        if each.features == Features():
            continue
        own = heard.setdefault(each.turn.participant, [])
        z = {}
        for name in numeric_features():
            value = getattr(each.features, name)
            before = [other for features in own[-64:] if (other := getattr(features, name)) is not None]
            if value is not None and len(before) >= 5:
                median = statistics.median(before)
                mad = statistics.median(abs(other - median) for other in before)
                spread = max(1.4826 * mad, least_spread(name, median))
                z[name] = round(min(20.0, max(-20.0, (value - median) / spread)), 3)
        if z:
            found[each.turn.turn_id] = z
        own.append(each.features)
    return found


def same(found: Mapping[str, Mapping[str, float]], expected: Mapping[str, Mapping[str, float]]) -> None:
    """Fail unless the same turns have z of the same features, equal but for the last decimal."""
    assert {turn_id: list(z) for turn_id, z in found.items()} == {turn_id: list(z) for turn_id, z in expected.items()}
    for turn_id, z in expected.items():
        assert found[turn_id] == pytest.approx(z, abs=0.0011)


# Levels, pitches, counts, a ratio; coarse, so that values repeat, spreads vanish and floors count.
FEATURES = st.just(Features()) | st.builds(
    Features,
    duration_s=st.integers(1, 8).map(lambda n: n / 4),
    level_dbfs=st.none() | st.integers(-120, -40).map(lambda n: n / 4),
    f0_median_hz=st.none() | st.floats(80, 300),
    f0_slope_st_per_s=st.none() | st.integers(-4, 4).map(float),
    clipped_ratio=st.none() | st.sampled_from([0.0, 0.0, 0.01]),
    syllable_count=st.none() | st.integers(0, 9),
    syllable_rate=st.none() | st.floats(0, 8),
    words_per_minute=st.none() | st.floats(0, 300),
)
TURNS = st.builds(
    lambda number, start, participant, features: turn(number, features, participant, start=1000 * start),
    st.integers(0, 11),
    st.integers(0, 8),
    st.sampled_from(["caller", "caller", "bot"]),
    FEATURES,
)


def newest(turns: Iterable[MeasuredTurn]) -> list[MeasuredTurn]:
    """The last of each id."""
    return list({each.turn.turn_id: each for each in turns}.values())


@given(st.lists(TURNS, max_size=40), st.data())
def test_z_is_that_of_the_newest_revisions_whatever_came_when(turns: list[MeasuredTurn], data: st.DataObject) -> None:
    """Turns in any order, revised in participant, start and features, losing their audio; updated in between or not."""
    baselines = Baselines()
    said: Scores = {}
    so_far: list[MeasuredTurn] = []
    for each in turns:
        baselines.put(each)
        so_far.append(each)
        if data.draw(st.booleans()):
            changed = baselines.update()
            now = {other.turn.turn_id: baselines.z(other.turn.turn_id) for other in newest(so_far)}
            assert changed == {turn_id for turn_id, z in now.items() if z != said.get(turn_id, {})}
            said = now
            same({turn_id: z for turn_id, z in now.items() if z}, reference(newest(so_far)))
    baselines.update()
    ids = [each.turn.turn_id for each in newest(turns)]
    same({turn_id: z for turn_id in ids if (z := baselines.z(turn_id))}, reference(newest(turns)))


def talk(count: int, seed: int = 1) -> list[MeasuredTurn]:
    """A long talk of two, every feature measured in most turns."""
    chance = random.Random(seed)
    turns = []
    for number in range(count):
        values = {
            name: chance.randrange(12) if name in COUNTS else chance.gauss(10, 3)
            for name in NAMES
            if chance.random() < 0.8
        }
        participant = "caller" if chance.random() < 0.7 else "bot"
        turns.append(turn(number, msgspec.convert(values, Features), participant))
    return turns


@pytest.mark.parametrize("batch", [1, 7, 1000])
def test_z_of_a_long_call_is_that_of_the_reference(batch: int) -> None:
    turns = talk(300)
    expected = reference(turns)
    random.Random(batch).shuffle(turns)
    baselines = Baselines()
    for first in range(0, len(turns), batch):
        for each in turns[first : first + batch]:
            baselines.put(each)
        baselines.update()
    same({turn_id: z for each in turns if (z := baselines.z(turn_id := each.turn.turn_id))}, expected)


def test_late_turn_changes_its_followers_within_the_window_and_no_other() -> None:
    turns = talk(250)
    late = next(each for each in turns[80:] if each.turn.participant == "caller")
    baselines = Baselines()
    for each in turns:
        if each is not late:
            baselines.put(each)
    baselines.update()
    baselines.put(late)
    changed = baselines.update()
    followers = [
        each.turn.turn_id for each in turns[turns.index(late) + 1 :] if each.turn.participant == late.turn.participant
    ]
    assert changed <= {late.turn.turn_id, *followers[:WINDOW]}
    assert len(changed) > WINDOW // 2
    same({each.turn.turn_id: baselines.z(each.turn.turn_id) for each in turns[20:]}, last(reference(turns), 230))


def test_turn_that_loses_its_audio_changes_its_followers_within_the_window() -> None:
    turns = [each for each in talk(150) if each.turn.participant == "caller"]
    lost = msgspec.structs.replace(turns[5], features=Features())
    baselines = Baselines()
    for each in turns:
        baselines.put(each)
    baselines.update()
    before = {each.turn.turn_id: baselines.z(each.turn.turn_id) for each in turns}
    baselines.put(lost)
    changed = baselines.update()
    after = {each.turn.turn_id: baselines.z(each.turn.turn_id) for each in turns}
    assert changed == {turn_id for turn_id, z in after.items() if z != before[turn_id]}
    assert {each.turn.turn_id for each in (turns[5], turns[6], turns[69])} <= changed
    assert {each.turn.turn_id for each in turns[70:]}.isdisjoint(changed)
    same({turn_id: z for turn_id, z in after.items() if z}, reference([*turns[:5], *turns[6:]]))


def test_turn_without_acoustics_takes_no_place_in_the_window() -> None:
    quiet = levels(*[-40.0] * WINDOW)
    silent = [turn(WINDOW + i, Features()) for i in range(WINDOW)]
    assert scores([*quiet, *silent, turn(999, Features(level_dbfs=-40.0))])["t0999"] == {"level_dbfs": 0.0}


def last(of: Scores, count: int) -> Scores:
    return dict(list(of.items())[-count:])


# ----------------------------------------------------------------------------------------------------------------------
# Laws


@given(st.lists(TURNS, max_size=30).map(newest), st.integers(-HOUR, HOUR))
def test_shifting_a_call_changes_no_z(turns: list[MeasuredTurn], by: int) -> None:
    moved = [
        turn(int(each.turn.turn_id[1:]), each.features, each.turn.participant, start=each.turn.started_at - T0 + by)
        for each in turns
    ]
    assert scores(moved) == scores(turns)


@given(st.lists(TURNS, max_size=30).map(newest), st.randoms())
def test_order_of_arrival_means_nothing(turns: list[MeasuredTurn], chance: random.Random) -> None:
    shuffled = list(turns)
    chance.shuffle(shuffled)
    assert scores(shuffled) == scores(turns)
    assert scores([*shuffled, *turns]) == scores(turns)


@given(st.lists(TURNS, max_size=30).map(newest), st.data())
def test_z_depends_on_no_later_turn(turns: list[MeasuredTurn], data: st.DataObject) -> None:
    turns.sort(key=lambda each: (each.turn.started_at, each.turn.turn_id))
    begun = turns[: data.draw(st.integers(0, len(turns)))]
    whole = scores(turns)
    ids = {each.turn.turn_id for each in begun}
    assert scores(begun) == {turn_id: z for turn_id, z in whole.items() if turn_id in ids}


@given(st.lists(TURNS, max_size=30).map(newest))
def test_another_participants_turns_change_nothing(turns: list[MeasuredTurn]) -> None:
    alone = [each for each in turns if each.turn.participant == "caller"]
    ids = {each.turn.turn_id for each in alone}
    assert scores(alone) == {turn_id: z for turn_id, z in scores(turns).items() if turn_id in ids}


@given(st.lists(FEATURES, max_size=20))
def test_turn_without_acoustics_has_no_z_and_is_in_no_baseline(features: Sequence[Features]) -> None:
    turns = [turn(number, each) for number, each in enumerate(features)]
    found = scores(turns)
    assert found == scores(each for each in turns if each.features != Features())
    assert found.keys() <= {each.turn.turn_id for each in turns if each.features != Features()}


def test_first_turns_have_no_z() -> None:
    found = scores(levels(-20, -21, -22, -23, -24, -25, -26))
    assert list(found) == ["t0005", "t0006"]
    assert MIN_TURNS == 5


def test_each_feature_waits_for_values_of_its_own() -> None:
    found = scores(levels(-20, None, -20, -20, None, -20, -20, -20))
    assert {turn_id: list(z) for turn_id, z in found.items()} == {
        "t0005": ["duration_s"],
        "t0006": ["duration_s"],
        "t0007": ["duration_s", "level_dbfs"],
    }


def test_z_is_the_deviation_in_robust_standard_deviations() -> None:
    # Median -22, absolute deviations 4 2 0 2 4: MAD 2
    found = scores(levels(-26, -24, -22, -20, -18, -22 + 3 * 1.4826 * 2))
    assert found["t0005"] == {"duration_s": 0.0, "level_dbfs": 3.0}


def test_constant_speaker_is_at_zero() -> None:
    turns = [turn(i, Features(duration_s=2.0, level_dbfs=-21.3, f0_median_hz=121.0, pause_count=0)) for i in range(9)]
    assert all(set(z.values()) == {0.0} for z in scores(turns).values())


@pytest.mark.parametrize(
    ("name", "usual", "step"),
    [
        ("level_dbfs", -20.0, 0.5),
        ("f0_median_hz", 200.0, 4.0),
        ("f0_median_hz", 10.0, 1.0),
        ("words_per_minute", 160.0, 8.0),
        ("speech_ratio", 0.8, 0.04),
        ("clipped_ratio", 0.0, 0.001),
        ("pause_count", 0, 1),
        ("duration_s", 3.0, 0.05),
        ("f0_range_st", 6.0, 0.25),
    ],
)
def test_constant_speakers_first_change_is_measured_in_steps_that_can_be_heard(
    name: str, usual: float, step: float
) -> None:
    values = [usual] * 5 + [usual + 3 * step]
    turns = [turn(i, msgspec.convert({name: value}, Features)) for i, value in enumerate(values)]
    assert scores(turns)["t0005"] == {name: 3.0}


def test_every_unit_has_its_floor() -> None:
    assert {UNITS[name] for name in NAMES} == FLOORS.keys()
    integers = {name for name, hint in typing.get_type_hints(Features).items() if int in typing.get_args(hint)}
    assert integers == COUNTS


@settings(max_examples=50)
@given(st.integers(0, 19), st.floats(-100, 0), st.floats(-40, -10))
def test_one_outlier_among_twenty_hardly_moves_a_z(which: int, outlier: float, value: float) -> None:
    """Median and MAD go to a neighbour in rank at the most, half a dB here; a mean would be 4 dB off."""
    usual = [-30 + number / 2 for number in range(20)]
    moved = [outlier if number == which else level for number, level in enumerate(usual)]
    before, after = (scores(levels(*those, value))["t0020"]["level_dbfs"] for those in (usual, moved))
    assert abs(after - before) <= max(0.3, 0.25 * abs(before))


def test_shouted_turn_does_not_hide_the_next() -> None:
    calm = [-20.0 + (i % 5) / 2 for i in range(20)]
    once = scores(levels(*calm, -10.0))["t0020"]["level_dbfs"]
    twice = scores(levels(*calm, -2.0, -10.0))["t0021"]["level_dbfs"]
    assert twice == pytest.approx(once, rel=0.1)
    assert once > 10


def test_z_is_held_within_its_limit() -> None:
    assert scores(levels(*[-20] * 5, -90))["t0005"]["level_dbfs"] == -LIMIT
    assert scores(levels(*[-90] * 5, -20))["t0005"]["level_dbfs"] == LIMIT


def test_baseline_follows_the_speaker() -> None:
    """After WINDOW turns at another level the old one is forgotten."""
    found = scores(levels(*[-40.0] * 100, *[-20.0] * WINDOW, -20.0))
    assert found["t0100"]["level_dbfs"] == LIMIT
    assert found[f"t{100 + WINDOW:04}"]["level_dbfs"] == 0.0
