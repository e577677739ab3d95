"""The average sentiment along a call: its formula, and that it is the same whatever the order of the changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.trend import KEPT, WINDOW, Trends

Put = tuple[str, str, int, float | None]

PUTS = st.lists(
    st.tuples(
        st.integers(0, 30).map(lambda number: f"t{number:02}"),
        st.sampled_from(["ann", "bot"]),
        st.integers(0, 50),
        st.none() | st.floats(-1, 1).map(lambda value: round(value, 3)),
    ),
    max_size=60,
)


def by_hand(puts: list[Put]) -> dict[str, float]:
    newest = {put[0]: put for put in puts}
    found = {}
    for turn_id, participant, at, sentiment in newest.values():
        if sentiment is None:
            continue
        own = sorted((one[2], one[0], one[3]) for one in newest.values() if one[1] == participant)
        until = [value for *place, value in own if tuple(place) <= (at, turn_id) and value is not None][-WINDOW:]
        weights = [KEPT**back for back in range(len(until))]
        found[turn_id] = sum(w * v for w, v in zip(weights, reversed(until), strict=True)) / sum(weights)
    return found


@given(PUTS, st.integers(1, 5))
def test_average_is_its_formula_in_whatever_steps(puts: list[Put], step: int) -> None:
    trends = Trends()
    for number, put in enumerate(puts):
        trends.put(*put)
        if number % step == 0:
            before = dict(trends.found)
            changed = trends.update()
            assert changed == {
                one for one in before.keys() | trends.found.keys() if before.get(one) != trends.found.get(one)
            }
    trends.update()
    expected = by_hand(puts)
    assert trends.found.keys() == expected.keys()
    for turn_id, value in expected.items():
        assert trends.found[turn_id] == pytest.approx(value, abs=1e-3)


def test_it_begins_at_the_first_turn_and_forgets() -> None:
    trends = Trends()
    trends.put("t1", "ann", 0, -0.8)
    trends.put("t2", "bot", 5, 0.4)
    trends.put("t3", "ann", 10, 0.2)
    trends.put("t4", "ann", 20, None)
    trends.update()
    assert trends.found == {"t1": -0.8, "t2": 0.4, "t3": round((0.2 - 0.8 * KEPT) / (1 + KEPT), 3)}
    assert (trends.at_end("ann"), trends.at_end("bot"), trends.at_end("eve")) == (trends.found["t3"], 0.4, None)
