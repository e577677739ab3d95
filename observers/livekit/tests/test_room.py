"""Participants of a room."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer_livekit.people import AGENT, USER, People
from mise_observer_livekit.room import RoomWatch


@dataclass
class Named:
    """A remote participant."""

    identity: str
    sid: str = "PA_remote"
    kind: int = 0
    attributes: dict[str, str] = field(default_factory=dict)


@pytest.mark.parametrize("identity", ["agent", "user"])
async def test_participant_who_is_called_like_one_of_ours_is_himself(identity: str) -> None:
    notices, people = Notices(), People()
    room = RoomWatch(None, people, Clock(), Guard(notices), notices, lambda: None)
    people.see(Named(identity))
    assert room.place_of(identity).sid == "PA_remote"
    assert [room.place_of(key).sid for key in (AGENT, USER)] == ["agent", "user"]
