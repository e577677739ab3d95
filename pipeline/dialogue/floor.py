"""Who has the floor: transfers between speakers, and pauses within one.

Definitions: docs/dialogue.md. Source: Heldner & Edlund (2010), "Pauses, gaps and overlaps in conversations",
J. Phonetics 38.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from pipeline.dialogue.spurts import Spurt

QUANTILES = (5, 25, 50, 75, 95)


class Transfer(NamedTuple):
    """The floor goes from one participant to another. at : when the next one starts [ms]. offset_ms : from the stop of
    the one before to there; a gap when positive, an overlap when negative."""

    at: int
    before: str
    after: str
    offset_ms: int


class Floor(NamedTuple):
    """In order of time. pauses_ms : between neighbouring spurts of one participant."""

    transfers: Sequence[Transfer]
    pauses_ms: Sequence[int]


class Quantiles(NamedTuple):
    """Of some lengths [ms], interpolated linearly; None without any."""

    n: int
    p5: float | None
    p25: float | None
    p50: float | None
    p75: float | None
    p95: float | None


def floor(spurts: Iterable[Spurt]) -> Floor:
    """Transfers and pauses of a call. spurts : of everyone, in any order; those of one participant are disjoint.

    A spurt inside one of another participant does not have the floor; of equal ones the smallest name has it.
    n log n in the spurts.
    """
    holders: list[Spurt] = []
    # Who goes on longest so far, and who of the others: in one of these two a spurt lies if it lies in any.
    longest: tuple[str, float] = ("", -math.inf)
    runner_up = longest
    for spurt in sorted(spurts, key=lambda spurt: (spurt.start, -spurt.end, spurt.participant)):
        _, others_end = runner_up if longest[0] == spurt.participant else longest
        if spurt.end > others_end:
            holders.append(spurt)
        own = (spurt.participant, float(spurt.end))
        if own[0] == longest[0]:
            longest = max(longest, own, key=_end)
        elif spurt.end > longest[1]:
            longest, runner_up = own, longest
        else:
            runner_up = max(runner_up, own, key=_end)
    transfers: list[Transfer] = []
    pauses_ms: list[int] = []
    for before, after in pairwise(holders):
        if before.participant == after.participant:
            pauses_ms.append(after.start - before.end)
        else:
            offset_ms = after.start - before.end
            transfers.append(Transfer(after.start, before.participant, after.participant, offset_ms))
    return Floor(transfers, pauses_ms)


def quantiles(lengths_ms: Sequence[int]) -> Quantiles:
    """Quantiles of the lengths."""
    if not lengths_ms:
        return Quantiles(0, None, None, None, None, None)
    return Quantiles(len(lengths_ms), *np.percentile(lengths_ms, QUANTILES).tolist())


def _end(holder: tuple[str, float]) -> float:
    return holder[1]
