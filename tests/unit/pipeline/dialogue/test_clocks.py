"""Clocks that go wrong are told of where there is reason to, and only there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.clocks import delay_p50, skews


@pytest.mark.parametrize(
    ("delays", "found"),
    [
        ({}, {}),
        ({"a": [], "b": [100]}, {}),
        ({"a": [100, 150, 400], "b": [90, 200, 300]}, {}),
        ({"a": [-4_800, -4_700], "b": [100, 150, 200]}, {"a": -4_800}),  # what is received before it ends
        ({"a": [-500], "b": [100, 150, 200]}, {}),  # a sender's rounding
        ({"a": [5_100, 5_150, 5_200], "b": [100, 150, 200]}, {"a": 5_000}),
        ({"a": [5_100, 5_150], "b": [100, 150, 200]}, {}),  # two turns say too little
        ({"a": [5_100, 9_000, 14_000], "b": [100, 150, 200]}, {}),  # sent in batches
        ({"a": [5_100, 5_150, 5_200]}, {}),  # nobody to compare with
        ({"a": [2_150, 2_150, 2_150], "b": [150, 150, 150]}, {}),
        ({"a": [2_151, 2_151, 2_151], "b": [150, 150, 150]}, {"a": 2_001}),
    ],
)
def test_skews(delays: dict[str, Sequence[int]], found: dict[str, int]) -> None:
    assert skews(delays) == found


def test_median_is_the_lower_of_two() -> None:
    assert [delay_p50(rising) for rising in ([], [3], [1, 2], [1, 2, 9])] == [None, 3, 1, 2]


RISING = st.lists(st.integers(0, 20_000), max_size=9).map(sorted)


@given(st.dictionaries(st.sampled_from("abc"), RISING), st.integers(501, 60_000))
def test_clock_that_is_set_ahead_is_told_by_at_least_what_shows(delays: dict[str, list[int]], ahead: int) -> None:
    """Nobody else is told of for it."""
    delays["x"] = [-ahead, -ahead + 10]
    found = skews(delays)
    assert found.pop("x") == -ahead
    assert found == skews({name: rising for name, rising in delays.items() if name != "x"})
