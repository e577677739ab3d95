"""How aroused a turn sounds: louder, higher and faster than its speaker so far, or less so.

Activation shows in loudness, pitch and rate above all (Scherer 2003, "Vocal communication of emotion", Speech
Communication 40); each differs between people, so it is their z that counts. It says nothing of pleasure or anger.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FEATURES: Final = ("active_level_dbfs", "f0_median_hz", "articulation_rate")

LEAST_FEATURES: Final = 2
"""One alone has other causes: a step towards the telephone, a question, a number spelt out."""

WHOLE_Z: Final = 4.0
"""How far from the speaker's baseline arousal is 1 [robust standard deviations]; a choice of ours."""

DECIMALS: Final = 3


def arousal(z: Mapping[str, float]) -> float | None:
    """Mean of the z of FEATURES over WHOLE_Z, within -1 to 1; None where fewer than two of them are known."""
    known = [z[name] for name in FEATURES if name in z]
    if len(known) < LEAST_FEATURES:
        return None
    return round(max(-1.0, min(1.0, sum(known) / len(known) / WHOLE_Z)), DECIMALS) + 0.0
