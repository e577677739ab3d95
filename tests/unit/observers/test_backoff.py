"""How long to wait."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from mise_observer.backoff import FIRST_S, LONGEST_S, Backoff


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_grows_to_the_longest_and_no_further(failures: int, seed: int) -> None:
    wait = Backoff(random=random.Random(seed)).wait_s(failures, None)
    most = min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 30))
    assert most / 2 <= wait <= most


@given(st.integers(1, 100), st.floats(0, 600), st.integers(0, 10**6))
def test_never_before_the_gateway_said(failures: int, after_s: float, seed: int) -> None:
    assert Backoff(random=random.Random(seed)).wait_s(failures, after_s) >= after_s


def test_senders_spread() -> None:
    waits = {Backoff(random=random.Random(seed)).wait_s(5, 2.0) for seed in range(100)}
    assert len(waits) == 100
