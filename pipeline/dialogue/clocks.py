"""Clocks that go wrong, as far as it can be told. Definitions: docs/dialogue.md.

Skew between two participants' clocks can't be told from their intervals: a late answer and a late clock look alike. But
every turn was received at a time of the gateway's clock. Nothing is ever corrected by it: it is a warning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

AHEAD_MS: Final = 500
"""A turn received so long before its end was sent by a clock that is ahead; less may be the sender's rounding."""

LEAST_TURNS: Final = 3

STEADY_MS: Final = 1_000
"""Turns that are sent as they are spoken take much the same time each; those of a batch take as long as it lasts."""

BEHIND_MS: Final = 2_000
"""More than that between two who both send as they speak is hardly the network, or a recogniser."""


def delay_p50(rising_ms: Sequence[int]) -> int | None:
    """The median of delays, from the end of a turn to its reception, in rising order; the lower one of two."""
    return rising_ms[(len(rising_ms) - 1) // 2] if rising_ms else None


def skews(delays: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How far clocks seem to be behind [ms], ahead when negative, of the participants where there is reason to say so.

    delays : of each participant, in rising order [ms].
    """
    found: dict[str, int] = {}
    steady: dict[str, int] = {}
    for participant, rising in delays.items():
        middle = delay_p50(rising)
        if middle is None:
            continue
        if rising[0] < -AHEAD_MS:
            found[participant] = rising[0]
        elif len(rising) >= LEAST_TURNS and middle - rising[0] <= STEADY_MS:
            steady[participant] = middle
    least = min(steady.values(), default=0)
    return found | {participant: middle - least for participant, middle in steady.items() if middle - least > BEHIND_MS}
