"""Quantiles of the floor's lengths are those of numpy; the floor itself is held against the raster."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.floor import QUANTILES, quantiles


@given(st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=200))
def test_quantiles_are_numpys(lengths_ms: list[int]) -> None:
    found = quantiles(sorted(lengths_ms))
    assert found.n == len(lengths_ms)
    assert list(found[1:]) == np.percentile(lengths_ms, QUANTILES).tolist()


def test_of_nothing_there_are_none() -> None:
    assert quantiles([]) == (0, None, None, None, None, None)
