"""From what was said and heard to a turn: true times, its own audio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from mise_observer.recording import Pcm
from mise_observer.turn import Role
from mise_observer.voiced import bounds

BEFORE_S = 0.5
AFTER_S = 0.2
"""How far from where LiveKit's voice detection puts start and end the true ones are looked for; it is up to 170 ms late
at the start and 200 ms at the end (measured)."""


class Sound(Protocol):
    """Audio that is put together only when its turn is made. nbytes : what it holds in memory until then."""

    @property
    def nbytes(self) -> int: ...

    def pcm(self) -> Pcm | None: ...


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
    sound: Sound | None = None
    refine: bool = False
    delay_s: tuple[float, float] = (0.0, 0.0)
    language: str | None = None
    interrupted: bool | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def without_sound(draft: Draft) -> Draft:
    """The same when its audio has been given up."""
    metadata = {"times": "vad", **draft.metadata} if draft.refine else draft.metadata
    return replace(draft, sound=None, metadata=metadata)


def refined(draft: Draft, heard: Pcm | None) -> tuple[float, float, Pcm | None]:
    """Start and end where speech is heard to in what was `heard`, less the delay; and nothing but that of the audio."""
    start, end = draft.started_at, draft.ended_at
    sound = heard
    if heard is not None:
        begins_s, ends_s = bounds(heard.samples, heard.sample_rate)
        if begins_s is not None:
            start = heard.started_at + begins_s
        if ends_s is not None:
            end = heard.started_at + ends_s
        if end <= start:
            start, end = draft.started_at, draft.ended_at
        start = max(start, heard.started_at)
        sound = heard.between(start, end)
    started_at, ended_at = start - draft.delay_s[0], end - draft.delay_s[1]
    return started_at, max(started_at, ended_at), sound
