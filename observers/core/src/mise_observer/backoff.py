"""How long to wait before sending again. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

FIRST_S = 0.5
LONGEST_S = 60.0
"""A gateway that was away for hours is found again within a minute."""


@dataclass(frozen=True)
class Backoff:
    """Exponential, with jitter: many agents that lost the gateway together must not come back together.

    random : where the jitter comes from; tests give one with a seed.
    """

    first_s: float = FIRST_S
    longest_s: float = LONGEST_S
    random: random.Random = field(default_factory=random.Random)

    def wait_s(self, failures: int, after_s: float | None) -> float:
        """Seconds to wait after so many failures in a row (1 or more).

        Between half and all of first_s * 2 ** (failures - 1), at most longest_s. after_s : what the gateway asked for;
        never less than that, and up to half of it more.
        """
        # The exponent is bounded: after some hours it would be a number that no float holds.
        most = min(self.longest_s, self.first_s * 2.0 ** min(failures - 1, 32))
        wait = self.random.uniform(most / 2, most)
        return wait if after_s is None else max(wait, after_s * self.random.uniform(1.0, 1.5))
