"""When a stage stops rather than drain its topic into the dead letters."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.dead_letter_limit import AT_MOST, IN_A_ROW, LAST, Dead, Excess, Limit


def dead(offsets: Iterable[int], reason: str = "invalid") -> list[Dead]:
    return [Dead(offset, reason) for offset in offsets]


def one_by_one(limit: Limit, offsets: Iterable[int]) -> Excess | None:
    """The first excess of batches of one record each, those without a letter left out: they change nothing."""
    return next((excess for offset in offsets if (excess := limit.take(offset, dead([offset])))), None)


def test_two_hundredth_in_a_row_is_one_too_many() -> None:
    limit = Limit()
    assert limit.take(10, dead(range(10, 10 + IN_A_ROW - 1))) is None
    assert limit.take(10 + IN_A_ROW - 1, dead([10 + IN_A_ROW - 1])) == Excess(
        10 + IN_A_ROW - 1, IN_A_ROW, IN_A_ROW, {"invalid": IN_A_ROW}
    )


def test_record_that_is_processed_ends_the_row() -> None:
    # offsets  0 ………… 198  199    200 ………… 398  399
    # dead     |--------|  (ok)   |----------|  (ok)
    limit = Limit()
    assert limit.take(0, dead(range(199))) is None
    assert limit.take(199, dead(range(200, 399))) is None


def test_fifty_first_of_the_last_thousand_is_one_too_many() -> None:
    at = range(5_000, 5_000 + 20 * AT_MOST, 20)  # one of twenty: 50 within 981 records
    limit = Limit()
    assert one_by_one(limit, at) is None
    assert limit.take(5_990, dead([5_999])) == Excess(5_999, 1, AT_MOST + 1, {"invalid": AT_MOST + 1})
    assert limit.take(6_000, dead([6_000])) is None, "the first of them is 1,000 records back"


def test_one_of_ten_is_not_too_many_before_there_are_a_thousand() -> None:
    limit = Limit()
    assert one_by_one(limit, range(0, LAST - 1, 10)) is None
    excess = limit.take(LAST - 1, dead([LAST - 1]))
    assert excess is not None
    assert (excess.offset, excess.dead) == (LAST - 1, LAST // 10 + 1)


def test_batch_that_is_too_much_is_not_counted_at_all() -> None:
    limit = Limit(dead([3]))
    assert limit.take(100, dead(range(100, 100 + IN_A_ROW))) is not None
    assert limit.dead == tuple(dead([3]))


def test_reasons_are_counted_the_most_frequent_first() -> None:
    limit = Limit(dead(range(50), "not_json"))
    excess = limit.take(50, dead(range(50, 50 + IN_A_ROW), "row_rejected"))
    assert excess is not None
    assert list(excess.reasons.items()) == [("row_rejected", 150), ("not_json", 50)]


def test_records_before_the_resumption_may_all_be_dead_and_are_not_counted_after_it() -> None:
    limit = Limit(dead(range(199)), since=5_000)
    assert limit.take(199, dead(range(199, 5_000))) is None
    assert limit.take(5_000, dead(range(5_000, 5_199))) is None
    excess = limit.take(5_199, dead([5_199]))
    assert excess is not None
    assert (excess.in_a_row, excess.dead) == (200, 200)


def test_topic_that_was_made_anew_is_counted_anew() -> None:
    limit = Limit(dead(range(150, 300)))
    assert limit.take(0, []) is None
    assert limit.dead == ()


OUTCOMES = st.lists(st.sampled_from([True] * 3 + [False]), max_size=60)


@given(OUTCOMES, st.lists(st.integers(1, 20), max_size=20), st.data())
def test_batches_crashes_and_restarts_change_no_count(
    outcomes: list[bool], cuts: list[int], data: st.DataObject
) -> None:
    """However the records are cut into batches, and whichever come again: what is remembered is the dead ones."""
    limit, at = Limit(), 0
    for cut in cuts:
        batch = [offset for offset in range(at, min(at + cut, len(outcomes))) if outcomes[offset]]
        assert limit.take(at, dead(batch)) is None
        if data.draw(st.booleans(), "saved and read again"):
            limit = Limit(limit.dead)
        if data.draw(st.booleans(), "acknowledged"):
            at = min(at + cut, len(outcomes))
    known = [offset for offset in range(at) if outcomes[offset]]
    assert [entry.offset for entry in limit.dead if entry.offset < at] == known


@pytest.mark.parametrize("start", [0, 700, 123_456])
@given(gaps=st.lists(st.integers(1, 40), min_size=1, max_size=300))
def test_limit_is_the_rule_as_it_is_written(start: int, gaps: list[int]) -> None:
    offsets = [start + sum(gaps[:number]) for number in range(1, len(gaps) + 1)]
    excess = one_by_one(Limit(), offsets)
    expected = None
    for number, offset in enumerate(offsets, 1):
        last = [other for other in offsets[:number] if other > offset - LAST]
        row = offsets[number - IN_A_ROW : number] if number >= IN_A_ROW else []
        if (len(last) > AT_MOST and offset >= LAST - 1) or (row and row[-1] - row[0] == IN_A_ROW - 1):
            expected = offset
            break
    assert (excess.offset if excess else None) == expected
