"""Whether a stage keeps up: how far it is behind, for how long, and whether its partitions still move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """A partition of a topic."""

    topic: str
    partition: int


class Progress(NamedTuple):
    """How far a partition is read. committed, end : the next offset to commit, and the one after the last record."""

    committed: int
    end: int


class Seen(NamedTuple):
    """What `Watch.observe` saw over all partitions.

    lag : records that are not committed. stuck_s : the longest that a partition with such records has not been
    committed any further. stuck : which one that is, None when there is none.
    """

    lag: int
    stuck_s: float
    stuck: Place | None


class Watch:
    """Follows the committed offsets of a process's partitions."""

    def __init__(self) -> None:
        self._moved: dict[Place, tuple[int, float]] = {}
        """Of partitions with records left the committed offset, and since when it has been that."""

    def observe(self, now_s: float, progress: Mapping[Place, Progress]) -> Seen:
        """Take in how far each partition is; partitions that are no longer there are forgotten. now_s : monotonic."""
        behind = {place: committed for place, (committed, end) in progress.items() if committed < end}
        self._moved = {
            place: known
            if (known := self._moved.get(place)) is not None and known[0] == committed
            else (committed, now_s)
            for place, committed in behind.items()
        }
        stuck_s = {place: now_s - since_s for place, (_, since_s) in self._moved.items()}
        stuck = max(stuck_s, key=lambda place: (stuck_s[place], place), default=None)
        lag = sum(max(0, end - committed) for committed, end in progress.values())
        return Seen(lag, 0.0 if stuck is None else stuck_s[stuck], stuck)
