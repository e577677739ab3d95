"""Who is in the room, without who they are: participants go by LiveKit's random SIDs, nothing else of them leaves."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, get_args

from mise_observer.turn import Role

AGENT = "\0agent"
USER = "\0user"
"""Keys of the session's own agent, and of the user of a session without a room; no identity has a NUL in it."""

ROLES: tuple[Role, ...] = get_args(Role)
ROLE_ATTRIBUTE = "mise.role"
ON_BEHALF_ATTRIBUTE = "lk.publish_on_behalf"
"""Set by LiveKit on an avatar that speaks for an agent: what it says is the agent's."""

KINDS = ("standard", "ingress", "egress", "sip", "agent", "connector", "bridge")
"""By LiveKit's numbers of them."""

UNSEEN = ("egress", "ingress")
"""Recorders and media that is fed in: nobody speaks there."""

REMEMBERED = 1_000
"""People of a call; of more, those who have been gone longest are forgotten, and are somebody new when they return."""


class Participant(Protocol):
    """What is looked at of a `livekit.rtc.Participant`."""

    @property
    def sid(self) -> str: ...
    @property
    def identity(self) -> str: ...
    @property
    def kind(self) -> int: ...
    @property
    def attributes(self) -> Mapping[str, str]: ...


RoleOf = Callable[[object], "Role | None"]


@dataclass(slots=True, eq=False)
class Person:
    """sid : the first one seen of this identity; it stays when he connects anew. current_sid : the last one.

    present, left_at : whether he is in the room, and since when no more. transferred : whether the call went to him.
    """

    sid: str
    current_sid: str
    role: Role
    kind: str
    connected_at: float | None = None
    present: bool = False
    left_at: float | None = None
    transferred: bool = False


class People:
    """The people of a room by their identities, which never leave it."""

    def __init__(self, role_of: RoleOf | None = None) -> None:
        self._role_of = role_of
        self._people: dict[str, Person] = {}

    def see(self, participant: Participant, *, local: bool = False, connected_at: float | None = None) -> Person:
        """The person whom this participant is."""
        person = self._people.get(participant.identity)
        if person is None:
            kind = kind_of(participant)
            role: Role = "agent" if local or kind == "agent" else "user"
            person = Person(participant.sid, participant.sid, role, kind, connected_at, present=local)
            self._forget()
            self._people[participant.identity] = person
            if not local:
                person.role = self._told_role(participant) or role
        elif not local:
            person.role = self._told_role(participant) or person.role
        person.current_sid = participant.sid or person.current_sid
        person.sid = person.sid or person.current_sid
        person.connected_at = connected_at or person.connected_at
        return person

    def get(self, identity: str) -> Person | None:
        return self._people.get(identity)

    def _forget(self) -> None:
        if len(self._people) >= REMEMBERED:
            gone = {identity: person.left_at or 0.0 for identity, person in self._people.items() if not person.present}
            if gone:
                del self._people[min(gone, key=gone.__getitem__)]

    def _told_role(self, participant: Participant) -> Role | None:
        told = None if self._role_of is None else self._role_of(participant)
        return _as_role(told) or _as_role(participant.attributes.get(ROLE_ATTRIBUTE))


def _as_role(told: str | None) -> Role | None:
    return next((role for role in ROLES if role == told), None)


def kind_of(participant: Participant) -> str:
    return KINDS[participant.kind] if 0 <= participant.kind < len(KINDS) else "unknown"


PRIVATE = re.compile(r"@|\+\d{6}|\d(?:[ ().-]?\d){8}")
"""An address, or what may be a phone number: + and six digits, or nine digits. A date has eight."""


def harmless(name: str) -> str | None:
    """The name of a room, unless a phone number or an address seems to be in it: LiveKit's SIP rules put them there."""
    return None if not name or PRIVATE.search(name) else name
