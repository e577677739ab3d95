"""A stage's partitions: whether they move is told of those that have something left, and of no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agents.watch import Place, Progress, Seen, Watch

A, B = Place("turns.received", 0), Place("turns.received", 1)


def test_partition_that_is_not_committed_further_is_told_of_until_it_is() -> None:
    watch = Watch()
    assert watch.observe(0, {A: Progress(5, 8), B: Progress(3, 3)}) == Seen(3, 0, A)
    assert watch.observe(10, {A: Progress(5, 9), B: Progress(3, 4)}) == Seen(5, 10, A)
    assert watch.observe(15, {A: Progress(9, 9), B: Progress(3, 4)}) == Seen(1, 5, B)
    assert watch.observe(16, {A: Progress(9, 9), B: Progress(4, 4)}) == Seen(0, 0, None)


def test_time_without_records_does_not_count() -> None:
    watch = Watch()
    watch.observe(0, {A: Progress(5, 5)})
    assert watch.observe(3_600, {A: Progress(5, 6)}) == Seen(1, 0, A)
    assert watch.observe(3_602, {A: Progress(5, 6)}) == Seen(1, 2, A)


def test_partition_that_went_away_and_came_back_begins_anew() -> None:
    watch = Watch()
    watch.observe(0, {A: Progress(5, 6)})
    watch.observe(5, {})
    assert watch.observe(9, {A: Progress(5, 6)}) == Seen(1, 0, A)


NOTHING = Progress(-1, -1)
PROGRESS = st.dictionaries(
    st.sampled_from([A, B]), st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda pair: Progress(*pair))
)


@given(st.lists(PROGRESS, max_size=20))
def test_stuck_for_no_longer_than_it_has_had_the_same_offset_and_records_left(
    steps: list[dict[Place, Progress]],
) -> None:
    watch = Watch()
    for now, progress in enumerate(steps):
        seen = watch.observe(now, progress)
        ages = {}
        for place, (committed, end) in progress.items():
            if committed < end:
                since = now
                while since and steps[since - 1].get(place, NOTHING)[0] == committed < steps[since - 1][place].end:
                    since -= 1
                ages[place] = now - since
        assert seen.lag == sum(max(0, end - committed) for committed, end in progress.values())
        assert seen.stuck_s == max(ages.values(), default=0)
        assert (seen.stuck is None) == (not ages)
