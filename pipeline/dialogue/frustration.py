"""A user's frustration along a call, from signs that are named and kept. What it is and is not: docs/dialogue.md.

Each sign is a number from 0 to 1. A turn's *load* is 1 minus the product of (1 - weight * sign) over its signs: signs
add up without passing 1. Frustration goes on from turn to turn and fades:

    frustration = 1 - (1 - KEPT * frustration of the user's turn before) * (1 - load)

over the user's WINDOW latest turns. The weights are choices of ours; nobody labelled calls for us to fit them to. Signs
of trouble in spoken dialogue with machines: louder, higher and over-articulated speech, repetition, negative words
(Batliner et al. 2003, "How to find trouble in communication", Speech Communication 40; Ang et al. 2002, ICSLP). Who is
not understood speaks slower, and pauses more (Oviatt et al. 1998, "Predicting hyperarticulate speech during
human-computer error resolution", Speech Communication 24).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Final, NamedTuple

from pipeline.dialogue.order import START, Place
from schemas.annotated import FrustrationSign, Turning
from schemas.turn import ReceivedTurn

WEIGHTS: Final[Mapping[FrustrationSign, float]] = {
    "raised_voice": 0.35,
    "faster_speech": 0.15,
    "over_articulated": 0.15,
    "negative_words": 0.35,
    "repeats": 0.35,
    "interrupts": 0.2,
    "kept_waiting": 0.25,
    "not_understood": 0.3,
}

KEPT: Final = 0.6
"""Of a turn's frustration, what is left at the user's next turn: a tenth after five calm ones."""

WINDOW: Final = 16
"""Turns: 0.6 to the 15th is less than the last decimal kept."""

DECIMALS: Final = 3
THOUSAND: Final = 1_000

MINUTE_MS: Final = 60_000

Z_FROM, Z_TO = 1.0, 4.0
"""How far a voice is from its baseline before it counts, and where it counts wholly [robust standard deviations]."""

WAIT_FROM_MS, WAIT_TO_MS = 2_000, 8_000

RAISED_VOICE: Final = ("active_level_dbfs", "f0_median_hz")
FASTER_SPEECH: Final = ("articulation_rate",)
LESS_SPEECH: Final = "speech_ratio"
SIGNS_OF_VOICE: Final = (*RAISED_VOICE, *FASTER_SPEECH, LESS_SPEECH)

RISES_TO, FALLS_TO = 0.5, 0.25
"""Where a frustration counts as risen, and where as fallen again: two, so that it does not flicker between them."""


class Frustration(NamedTuple):
    """value : 0 to 1. signs : what each adds to the turn's load, weight times sign; those of 0 are left out."""

    value: float
    signs: Mapping[FrustrationSign, float]


class Told(NamedTuple):
    """What other parts of the dialogue say of a user's turn, for its signs.

    z : of its features. sentiment : of its words, None when it is not told. repeats : whether it says the same again.
    interruption : the greatest probability that it interrupts somebody. waited_ms : the longest that the user waited
    for an agent since the turn before. not_understood : whether an agent said since then that it did not understand.
    """

    z: Mapping[str, float]
    sentiment: float | None
    repeats: bool
    interruption: float
    waited_ms: int
    not_understood: bool


def signs(told: Told) -> dict[FrustrationSign, float]:
    """What each sign adds to the load of a turn."""
    found: dict[FrustrationSign, float] = {
        "raised_voice": _beyond(told.z, RAISED_VOICE),
        "faster_speech": _beyond(told.z, FASTER_SPEECH),
        "over_articulated": _over_articulated(told.z),
        "negative_words": max(0.0, -(told.sentiment or 0.0)),
        "repeats": float(told.repeats),
        "interrupts": told.interruption,
        "kept_waiting": _share(told.waited_ms, WAIT_FROM_MS, WAIT_TO_MS),
        "not_understood": float(told.not_understood),
    }
    added = {sign: round(WEIGHTS[sign] * value, DECIMALS) for sign, value in found.items()}
    return {sign: value for sign, value in added.items() if value}


def load(added: Mapping[FrustrationSign, float]) -> float:
    """The load of a turn with these signs, 0 to 1."""
    calm = 1.0
    for value in added.values():
        calm *= 1 - value
    return 1 - calm


def course(loads: Iterable[float]) -> float:
    """The frustration at the last of a user's turns. loads : of its latest turns, in order, WINDOW at most."""
    value = 0.0
    for one in loads:
        value = 1 - (1 - KEPT * value) * (1 - one)
    return round(value, DECIMALS)


def _beyond(z: Mapping[str, float], names: Sequence[str]) -> float:
    found = [z[name] for name in names if name in z]
    return _share(sum(found) / len(found), Z_FROM, Z_TO) if found else 0.0


def _over_articulated(z: Mapping[str, float]) -> float:
    """Slower than before, and with more pauses: one alone is not meant."""
    slower = max((-z[name] for name in FASTER_SPEECH if name in z), default=0.0)
    return _share(min(slower, -z.get(LESS_SPEECH, 0.0)), Z_FROM, Z_TO)


def _share(value: float, begin: float, end: float) -> float:
    return min(1.0, max(0.0, (value - begin) / (end - begin)))


@dataclass
class Line:
    """Least squares over points of whole numbers: sums, and so exact, whatever points come and go in what order."""

    n: int = 0
    x: int = 0
    y: int = 0
    xx: int = 0
    xy: int = 0

    def add(self, x: int, y: int, step: int) -> None:
        """Put a point, or with -1 take it away."""
        self.n += step
        self.x += step * x
        self.y += step * y
        self.xx += step * x * x
        self.xy += step * x * y

    @property
    def slope(self) -> float | None:
        """None where points do not differ in x."""
        spread = self.n * self.xx - self.x * self.x
        return (self.n * self.xy - self.x * self.y) / spread if spread else None


@dataclass
class Courses:
    """The frustration of a call's users, kept up to date as turns come and change.

    A function of the turns and of what is told of them, whatever the order of the changes. One more turn costs the
    turns of its user after it, WINDOW at most. found : by turn_id, of users' turns.
    """

    found: dict[str, Frustration] = field(default_factory=dict)
    _places: dict[str, Place] = field(default_factory=dict)
    _users: dict[str, list[Place]] = field(default_factory=dict)
    _user_of: dict[str, str] = field(default_factory=dict)
    _signs: dict[str, dict[FrustrationSign, float]] = field(default_factory=dict)
    _stale: set[str] = field(default_factory=set)
    """Turns whose signs, or whose place among their user's, may be others now."""
    _gone: dict[str, list[Place]] = field(default_factory=dict)
    """Places of each user at which there is no turn any more, since the latest update."""
    _turnings: dict[str, list[Turning]] = field(default_factory=dict)
    _rising: list[int] = field(default_factory=list)
    """All values, in thousandths, in rising order."""
    _line: Line = field(default_factory=Line)

    def put(self, turn: ReceivedTurn, *, speaks: bool) -> None:
        """Take a turn, of anybody, or another revision of it. speaks : whether it is speech; else it does not count."""
        turn_id = turn.turn_id
        known = self._places.pop(turn_id, None)
        if known is not None:
            self._take_out(turn_id, known)
        place = self._places[turn_id] = (turn.started_at, turn_id)
        if turn.role == "user" and speaks:
            self._user_of[turn_id] = turn.participant
            insort(self._users.setdefault(turn.participant, []), place)
            self._stale.add(turn_id)
        self.mark_after(place)

    def mark(self, turn_id: str) -> None:
        """Something else is said of a turn than before."""
        if turn_id in self._user_of:
            self._stale.add(turn_id)

    def mark_after(self, place: Place) -> None:
        """Something else happens there than before: it may be a sign at each user's next turn."""
        for own in self._users.values():
            index = bisect_right(own, place)
            if index < len(own):
                self._stale.add(own[index][1])

    def update(self, told: Callable[[str, Place], Told]) -> set[str]:
        """Bring all up to date.

        told : of a user's turn what is said of it, given the place of its user's turn before, or START. Returns the
        turns whose frustration is another one now.
        """
        later: dict[Place, str] = {}
        for turn_id in self._stale:
            own, index = self._where(turn_id)
            self._signs[turn_id] = signs(told(turn_id, own[index - 1] if index else START))
            later.update((place, self._user_of[turn_id]) for place in own[index : index + WINDOW])
        self._stale.clear()
        changed, self._gone = self._gone, {}
        moved = set()
        for place, user in later.items():
            own, turn_id = self._users[user], place[1]
            end = bisect_right(own, place)
            now = Frustration(
                course(load(self._signs[one]) for _, one in own[max(0, end - WINDOW) : end]), self._signs[turn_id]
            )
            before = self.found.get(turn_id)
            if before == now:
                continue
            moved.add(turn_id)
            self._count(place, before, -1)
            self.found[turn_id] = now
            self._count(place, now, 1)
            if before is None or before.value != now.value:
                changed.setdefault(user, []).append(place)
        for user, places in changed.items():
            self._turn(user, min(places), max(places))
        return moved

    @property
    def turnings(self) -> list[Turning]:
        """Where users' frustration rises and falls, in order of time."""
        return sorted(chain.from_iterable(self._turnings.values()))

    def at_start(self) -> float | None:
        """The frustration at the first turn of any user; None without users."""
        first = min((own[0] for own in self._users.values() if own), default=None)
        return None if first is None else self.found[first[1]].value

    def at_end(self) -> float | None:
        """The frustration at the last turn of any user; None without users."""
        last = max((own[-1] for own in self._users.values() if own), default=None)
        return None if last is None else self.found[last[1]].value

    def greatest(self) -> float | None:
        """None without users."""
        return self._rising[-1] / THOUSAND if self._rising else None

    def slope_per_minute(self) -> float | None:
        """By least squares over the users' turns; None with fewer than two, or all at once."""
        slope = self._line.slope
        return None if slope is None else round(slope * MINUTE_MS / THOUSAND, DECIMALS)

    def _count(self, place: Place, found: Frustration | None, step: int) -> None:
        """Put a value among those of the call, or with -1 take it away."""
        if found is None:
            return
        value = round(THOUSAND * found.value)
        self._line.add(place[0], value, step)
        if step > 0:
            insort(self._rising, value)
        else:
            del self._rising[bisect_left(self._rising, value)]

    def _turn(self, user: str, first: Place, last: Place) -> None:
        """Find a user's turnings anew, from a change at `first` on, until they are what they were after `last`."""
        own, old = self._users[user], self._turnings.get(user, [])
        begin = later = bisect_left(old, first, key=_place)
        found = old[:begin]
        is_high = was_high = bool(found) and found[-1].kind == "escalation"
        for place in own[bisect_left(own, first) :]:
            while later < len(old) and _place(old[later]) <= place:
                was_high = old[later].kind == "escalation"
                later += 1
            value = self.found[place[1]].value
            stays_or_rises = value > FALLS_TO if is_high else value >= RISES_TO
            if stays_or_rises != is_high:
                is_high = stays_or_rises
                found.append(Turning(place[0], "escalation" if is_high else "de_escalation", user, place[1], value))
            if place >= last and is_high == was_high:
                break
        else:
            later = len(old)
        self._turnings[user] = found + old[later:]

    def _where(self, turn_id: str) -> tuple[list[Place], int]:
        own = self._users[self._user_of[turn_id]]
        return own, bisect_left(own, self._places[turn_id])

    def _take_out(self, turn_id: str, place: Place) -> None:
        user = self._user_of.pop(turn_id, None)
        if user is not None:
            own = self._users[user]
            del own[bisect_left(own, place)]
            self._stale.discard(turn_id)
            self._count(place, self.found.pop(turn_id, None), -1)
            self._signs.pop(turn_id, None)
            self._gone.setdefault(user, []).append(place)
        self.mark_after(place)


def _place(turning: Turning) -> Place:
    return turning.at, turning.turn_id
