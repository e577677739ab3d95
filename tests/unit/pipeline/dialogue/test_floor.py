"""Quantiles of the floor's lengths are those of numpy, long silences are where nobody speaks.

The rest of the floor is held against the raster.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dialogue.annotate import annotate
from pipeline.dialogue.floor import QUANTILES, quantiles
from pipeline.dialogue.spurts import Utterance


@given(st.lists(st.integers(-(10**7), 10**7), min_size=1, max_size=200))
def test_quantiles_are_numpys(lengths_ms: list[int]) -> None:
    found = quantiles(sorted(lengths_ms))
    assert found.n == len(lengths_ms)
    assert list(found[1:]) == np.percentile(lengths_ms, QUANTILES).tolist()


def test_of_nothing_there_are_none() -> None:
    assert quantiles([]) == (0, None, None, None, None, None)


SPOKEN = st.lists(
    st.tuples(st.integers(0, 400), st.integers(1, 60), st.sampled_from(["ann", "bot", "desk", "eve"])), max_size=14
)
ROLES = {"ann": "user", "bot": "agent", "desk": "human_agent", "eve": ""}


@given(SPOKEN)
def test_long_silences_are_where_nobody_speaks_for_three_seconds(spoken: list[tuple[int, int, str]]) -> None:
    said = [
        Utterance(100 * at, 100 * (at + length), f"t{number}", who, None, "", ROLES[who])
        for number, (at, length, who) in enumerate(spoken)
    ]
    silent = np.ones(500, dtype=bool)
    for at, length, _ in spoken:
        silent[at : at + length] = False
    expected = []
    end = min((at for at, *_ in spoken), default=0)
    for at, length, _ in sorted(spoken):
        if at - end >= 30:
            expected.append((100 * end, 100 * (at - end)))
            assert silent[end:at].all()
        end = max(end, at + length)
    found = annotate(said).floor.silences
    assert [(one.at, one.duration_ms) for one in found] == expected
    for one in found:
        assert one.before in {who for at, length, who in spoken if 100 * (at + length) == one.at}
        assert one.after in {who for at, _, who in spoken if 100 * at == one.at + one.duration_ms}
        due = ROLES[one.after] if one.after != one.before else OTHER_SIDE[ROLES[one.before]]
        assert one.due == due


OTHER_SIDE = {"user": "agent", "agent": "user", "human_agent": "user", "": ""}
