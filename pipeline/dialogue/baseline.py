"""How a turn sounds against its speaker so far: the z of each feature, kept up to date as turns come and change.

The baseline of a turn is made of its participant's WINDOW turns before it that were measured, in order of (started_at,
turn_id). For each feature, of the values that are not None among these:

    z = (value - median) / max(1.4826 * MAD, floor)        MAD: median of |value - median|

rounded to 3 decimals and held within ±LIMIT. There is no z where the turn has no value, or fewer than MIN_TURNS of the
others have one. Median and MAD, since one shouted turn should not hide the next; 1.4826 makes the MAD of a normal
distribution its standard deviation (Rousseeuw & Croux 1993, JASA 88). Nothing that comes later in the call enters a z,
nor anything of another participant.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import isnan
from operator import attrgetter
from typing import Any, Final, NamedTuple, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from schemas.features import Features, numeric_features
from schemas.measured import MeasuredTurn

Floats = NDArray[np.float64]

WINDOW: Final = 64
"""Turns before: some 5 to 10 minutes of talk, so the baseline follows a change of room or line; it bounds the cost."""

MIN_TURNS: Final = 5
"""Fewer say too little of a spread: of a speaker with nothing but chance in its voice (normal values, simulated) 41 %
of the turns would lie beyond ±2 after 3 turns; 26 % do after 5, 14 % after 10, 9 % after 20, 6 % after 64."""

LIMIT: Final = 20.0
"""Farther out than that the spread of few turns is what is measured; and an average over z survives it."""

NAMES: Final = numeric_features()
"""The features that have a z, in the order of the table."""


class Floor(NamedTuple):
    """The least spread of a feature: `absolute`, in its unit, or `relative` to the median, whichever is greater."""

    absolute: float
    relative: float = 0.0


COUNT: Final = Floor(1.0)
"""Counts come in whole steps."""

FLOORS: Final[dict[str, Floor]] = {
    # Without a floor the first change of a constant voice would be infinitely far out. A spread below what can be heard
    # or measured is no trait of the speaker, so each unit has the just noticeable difference where one is known, else
    # what the measurement resolves: a z is never more than the number of such steps.
    "": Floor(0.001, 0.05),  # ratios: 5 % of themselves, as speech rate; 0.1 % where they are usually 0 (clipping)
    "s": Floor(0.05),  # the bounds of speech are no finer than its frames of 40 ms
    "1/s": Floor(0.1, 0.05),  # 5 % in speech rate is just noticeable (Quené 2007, J. Phonetics 35)
    "1/min": Floor(1.0, 0.05),
    "dB": Floor(0.5),  # about 1 dB in level is just noticeable, half of that under good conditions
    "dBFS": Floor(0.5),
    "LUFS": Floor(0.5),
    "dB/s": Floor(0.5),
    "dB/octave": Floor(0.5),
    "Hz": Floor(1.0, 0.02),  # pitch: about a third of a semitone
    "semitones": Floor(0.25),
    "semitones/s": Floor(0.5),
}


def _floor(hint: Any) -> Floor:
    """hint : Annotated[..., Meta] of a feature. Raises KeyError for a unit that FLOORS lacks."""
    kind, meta = get_args(hint)
    return COUNT if int in get_args(kind) else FLOORS[meta.extra["unit"]]


_HINTS = get_type_hints(Features, include_extras=True)
_ABSOLUTE, _RELATIVE = np.array([_floor(_HINTS[name]) for name in NAMES]).T
_values = attrgetter(*NAMES)

_INDEX: Final = {name: index for index, name in enumerate(NAMES)}

NO_FEATURES: Final = Features()
NO_Z: Final = np.full(len(NAMES), np.nan)

_AT_ONCE = 256
"""Turns scored in one go: 6 MB of windows."""


def z_scores(values: Floats, before: Floats) -> Floats:
    """z of turns, each against those before it.

    values : float64 [n, len(NAMES)], NaN where not measured. before : float64 [n, window, len(NAMES)], of the turns
    before each, in any order, NaN also where there are fewer. Returns float64 [n, len(NAMES)], NaN where there is no z.
    """
    rising = np.sort(before.transpose(0, 2, 1))  # NaN sorts last
    count = rising.shape[-1] - np.isnan(rising).sum(axis=-1)
    median = _median(rising, count)
    spread = 1.4826 * _median(np.sort(np.abs(rising - median[..., np.newaxis])), count)
    spread = np.maximum(spread, np.maximum(_ABSOLUTE, _RELATIVE * np.abs(median)))
    z: Floats = np.clip((values - median) / spread, -LIMIT, LIMIT)
    z[count < MIN_TURNS] = np.nan
    return z.round(3) + 0.0  # and -0.0 becomes 0.0


def _median(rising: Floats, count: NDArray[np.intp]) -> Floats:
    """Median of the first `count` of the last axis; NaN where that is 0."""
    width = rising.shape[-1]
    # Places in the flat array: np.take_along_axis costs five times as much on windows as small as these.
    begins = np.arange(0, rising.size, width).reshape(count.shape)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, width - 1)
    flat = rising.reshape(-1)
    return np.asarray((flat[begins + low] + flat[begins + high]) / 2)


class Baselines:
    """The z of a call's turns: whatever the order of `put` and `update`, a function of the turns as they are now.

    A turn at the end of the call costs the same however long that is; one that comes late, or is revised, costs its
    followers within WINDOW as well.
    """

    def __init__(self) -> None:
        self._speakers: defaultdict[str, _Speaker] = defaultdict(_Speaker)
        self._places: dict[str, tuple[str, _Place]] = {}
        """turn_id -> participant and place, of the turns that are in a baseline."""
        self._z: dict[str, Floats] = {}
        self._stale: set[str] = set()
        """Turns whose z has to be looked at: those that came or left, and their followers."""
        self._changed: set[str] = set()

    def put(self, measured: MeasuredTurn) -> None:
        """Take a turn in, in place of the revision that was there."""
        turn = measured.turn
        self.take_out(turn.turn_id)
        if measured.features == NO_FEATURES:
            return
        place = _Place(turn.started_at, turn.turn_id)
        self._places[turn.turn_id] = turn.participant, place
        speaker = self._speakers[turn.participant]
        index = bisect_left(speaker.places, place)
        speaker.places.insert(index, place)
        speaker.values.insert(index, np.array(_values(measured.features), dtype=np.float64))  # None becomes NaN
        self._stale.update(follower.turn_id for follower in speaker.places[index : index + 1 + WINDOW])

    def update(self) -> set[str]:
        """Bring every z up to date; the ids of the turns whose z is another one than at the last update."""
        score([self])
        changed, self._changed = self._changed, set()
        return changed

    def stale(self) -> Iterator[tuple[str, _Place, _Speaker]]:
        """The turns whose z has to be made anew, and no more from now on."""
        for turn_id in self._stale:
            if turn_id in self._places:
                participant, place = self._places[turn_id]
                yield turn_id, place, self._speakers[participant]
            elif _differ(self._z.pop(turn_id, NO_Z), NO_Z):
                self._changed.add(turn_id)
        self._stale.clear()

    def take(self, turn_id: str, z: Floats) -> None:
        """Note a turn's z, made anew."""
        if _differ(self._z.get(turn_id, NO_Z), z):
            self._z[turn_id] = z
            self._changed.add(turn_id)

    def z(self, turn_id: str) -> dict[str, float]:
        """z by feature, as of the last `update`, in the order of the table; {} for a turn without acoustics."""
        z = self._z.get(turn_id, NO_Z).tolist()
        return {name: value for name, value in zip(NAMES, z, strict=True) if not isnan(value)}

    def z_of(self, turn_id: str, names: Iterable[str]) -> dict[str, float]:
        """The same of some features only."""
        z = self._z.get(turn_id)
        if z is None:
            return {}
        found = ((name, float(z[_INDEX[name]])) for name in names)
        return {name: value for name, value in found if not isnan(value)}

    def take_out(self, turn_id: str) -> None:
        """Forget a turn, if it is there: it has no z, and is in no baseline."""
        known = self._places.pop(turn_id, None)
        if known is None:
            return
        participant, place = known
        speaker = self._speakers[participant]
        index = bisect_left(speaker.places, place)
        del speaker.places[index], speaker.values[index]
        self._stale.add(turn_id)
        self._stale.update(follower.turn_id for follower in speaker.places[index : index + WINDOW])


class _Place(NamedTuple):
    """What a participant's turns are ordered by."""

    started_at: int
    turn_id: str


class _Speaker:
    """One participant's measured turns, in order: places, and the values of each."""

    def __init__(self) -> None:
        self.places: list[_Place] = []
        self.values: list[Floats] = []

    def before(self, place: _Place) -> list[Floats]:
        """The values of the turns in the place's window, and last those of the turn there."""
        index = bisect_left(self.places, place)
        return self.values[max(0, index - WINDOW) : index + 1]


def score(many: Iterable[Baselines]) -> None:
    """Make anew what z of these calls are out of date, all at once: most of the cost of a few is that of the calls to
    numpy."""
    stale = [(baselines, *turn) for baselines in many for turn in baselines.stale()]
    for first in range(0, len(stale), _AT_ONCE):
        some = stale[first : first + _AT_ONCE]
        windows = [speaker.before(place) for _, _, place, speaker in some]
        values = np.array([window[-1] for window in windows])
        before = np.full((len(some), max(1, max(map(len, windows)) - 1), len(NAMES)), np.nan)
        for row, window in zip(before, windows, strict=True):
            if len(window) > 1:
                np.stack(window[:-1], out=row[: len(window) - 1])
        for (baselines, turn_id, *_), z in zip(some, z_scores(values, before), strict=True):
            baselines.take(turn_id, z.copy())  # not a view: that would keep all of them as long as any


def _differ(one: Floats, other: Floats) -> bool:
    return not np.array_equal(one, other, equal_nan=True)
