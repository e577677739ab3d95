"""How many records of a partition may go to the dead letters until its stage stops. No I/O and no clock.

A stage that could read nothing any more (a gateway of a newer version, a column that is missing) would drain its topic
into the dead letters. So it stops at the record that is one too many, and stops there again after each restart, until
the record can be processed or an operator lets it pass.

The offsets of the topics that stages read have no gaps (they are neither compacted nor written in transactions), and a
stage finishes with them in their order. So the dead ones are all that has to be remembered: whatever lies between them
was processed.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

LAST = 1_000
"""Records that the share is of."""

AT_MOST = 50
"""Dead ones among them: 5 %. The share counts only once there are LAST records: before, 1 of 10 would be too many."""

IN_A_ROW = 200
"""So many dead ones without any other between them are too many, also among the first LAST records."""


class Dead(NamedTuple):
    """A record that went to the dead letters."""

    offset: int
    reason: str


class Excess(NamedTuple):
    """The record that is one too many, and the dead ones among the LAST records up to it, itself included."""

    offset: int
    in_a_row: int
    dead: int
    reasons: dict[str, int]


class Limit:
    """The limit of one partition of a source topic.

    dead : what is remembered, in order. since : the offset from which records count; those before it may all be dead.
    """

    def __init__(self, dead: Iterable[Dead] = (), since: int = 0) -> None:
        self.dead = tuple(dead)
        self._since = since

    def take(self, first: int, dead: Iterable[Dead]) -> Excess | None:
        """Count the dead ones of a batch; None when they may go to the dead letters, else nothing is counted.

        first : offset of the partition's first record in the batch. Records that come again, after a crash or because
        offsets were set back or the topic was made anew, are judged anew: what was known from `first` on is forgotten.
        dead : in order, none before `first`.
        """
        kept = [entry for entry in self.dead if entry.offset < first]
        window: deque[Dead] = deque(entry for entry in kept if entry.offset >= self._since)
        in_a_row = _in_a_row(window)
        for entry in dead:
            kept.append(entry)
            if entry.offset < self._since:
                continue
            in_a_row = in_a_row + 1 if window and window[-1].offset == entry.offset - 1 else 1
            window.append(entry)
            while window[0].offset <= entry.offset - LAST:
                window.popleft()
            too_many_of_last = len(window) > AT_MOST and entry.offset - self._since >= LAST - 1
            if in_a_row >= IN_A_ROW or too_many_of_last:
                reasons = Counter(other.reason for other in window)
                return Excess(entry.offset, in_a_row, len(window), dict(reasons.most_common()))
        self.dead = tuple(entry for entry in kept if entry.offset > kept[-1].offset - LAST)
        return None


def _in_a_row(window: Sequence[Dead]) -> int:
    """Dead ones at the end without any other record between them."""
    count = 0
    for entry in reversed(window):
        if count and entry.offset != window[-1].offset - count:
            break
        count += 1
    return count
