"""What was said: a turn before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mise_observer import Role
from mise_observer.recording import Pcm
from mise_observer.turn import new_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A turn on the clock of whoever built it.

    turn_id : the same turn under it again replaces it. interrupted : None where nobody says it.
    """

    turn_id: str = field(default_factory=new_id)
    participant: str
    role: Role
    text: str = field(repr=False)
    started_at: float
    ended_at: float
    audio: Pcm | None = None
    interrupted: bool | None = None
    language: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
