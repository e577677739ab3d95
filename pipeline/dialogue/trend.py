"""The sentiment of each participant along the call: an exponential moving average over its turns.

    ema = sum(KEPT ** k * sentiment of the k-th turn before) / sum(KEPT ** k)        k from 0, over WINDOW turns

of the participant's turns whose words tell one. The weights add to 1 from the first turn on, so that a beginning does
not pull towards 0.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field
from typing import Final

from pipeline.dialogue.order import Place

KEPT: Final = 0.7
"""A turn weighs half of what it did after two more."""

WINDOW: Final = 16
"""Turns: 0.7 to the 16th is 0.3 %."""

DECIMALS: Final = 3

_WEIGHTS: Final = tuple(KEPT**back for back in reversed(range(WINDOW)))


@dataclass
class Trends:
    """The averages of a call's turns, kept up to date: a function of the turns, whatever the order of the changes.

    One more turn costs the turns of its participant after it, WINDOW at most. found : by turn_id, of turns that have
    a sentiment.
    """

    found: dict[str, float] = field(default_factory=dict)
    _known: dict[str, tuple[str, Place, float]] = field(default_factory=dict)
    _turns: dict[str, list[Place]] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)

    def put(self, turn_id: str, participant: str, started_at: int, sentiment: float | None) -> None:
        """Take a turn, or another revision of it. sentiment : None when it has none."""
        known = self._known.pop(turn_id, None)
        if known is not None:
            whose, place, _ = known
            own = self._turns[whose]
            at = bisect_left(own, place)
            del own[at]
            self._stale.update(one for _, one in own[at : at + WINDOW - 1])
            self._stale.add(turn_id)
        if sentiment is not None:
            place = (started_at, turn_id)
            self._known[turn_id] = participant, place, sentiment
            own = self._turns.setdefault(participant, [])
            insort(own, place)
            at = bisect_left(own, place)
            self._stale.update(one for _, one in own[at : at + WINDOW])

    def update(self) -> set[str]:
        """Bring all up to date; the turns whose average is another one now."""
        changed = set()
        for turn_id in self._stale:
            known = self._known.get(turn_id)
            now = None if known is None else self._ema(known[0], known[1])
            if now != self.found.get(turn_id):
                changed.add(turn_id)
            if now is None:
                self.found.pop(turn_id, None)
            else:
                self.found[turn_id] = now
        self._stale.clear()
        return changed

    def at_end(self, participant: str) -> float | None:
        """The average at the participant's last turn that has one."""
        own = self._turns.get(participant)
        return self.found[own[-1][1]] if own else None

    def _ema(self, participant: str, place: Place) -> float:
        own = self._turns[participant]
        end = bisect_left(own, place) + 1
        values = [self._known[turn_id][2] for _, turn_id in own[max(0, end - WINDOW) : end]]
        weights = _WEIGHTS[WINDOW - len(values) :]
        return round(
            sum(weight * value for weight, value in zip(weights, values, strict=True)) / sum(weights), DECIMALS
        )
