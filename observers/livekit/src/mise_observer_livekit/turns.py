"""From what was said and heard to a turn: true times, its own audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from mise_observer.recording import Pcm
from mise_observer.turn import Role
from mise_observer.voiced import bounds

BEFORE_S = 0.5
AFTER_S = 0.2
"""How far from where LiveKit's voice detection puts start and end the true ones are looked for; it is up to 170 ms late
at the start and 200 ms at the end (measured)."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn on its way out. Times are on the call's clock.

    who : the key of a participant. sound : audio that has the turn in it, with some more on both sides when `refine`.
    delay_s : how long the audio was under way, at its start and at its end.
    """

    turn_id: str
    who: str
    role: Role
    text: str
    started_at: float
    ended_at: float
    sound: Pcm | None = None
    refine: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    language: str | None = None
    interrupted: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def refined(draft: Draft) -> Draft:
    """With start and end where speech is heard to, less the delay, and nothing but that in its audio."""
    start, end = draft.started_at, draft.ended_at
    sound = draft.sound
    if sound is not None:
        begins_s, ends_s = bounds(sound.samples, sound.sample_rate)
        if begins_s is not None:
            start = sound.started_at + begins_s
        if ends_s is not None:
            end = sound.started_at + ends_s
        if end <= start:
            start, end = draft.started_at, draft.ended_at
        start = max(start, sound.started_at)
        sound = sound.between(start, end)
    started_at, ended_at = start - draft.delay_s[0], end - draft.delay_s[1]
    return replace(draft, started_at=started_at, ended_at=max(started_at, ended_at), sound=sound)
