"""Turns and call events on their way out: held until the call has an id, and made whole beside the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mise_observer import CallEvent, EventType, Room, Stats, Turn, Value
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.recording import audio_of
from mise_observer.switches import Switches
from mise_observer_livekit.turns import Draft, refined

HELD = 200
"""Turns and events that wait until the call has an id; more of them are given up."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a participant when his turn is sent. sid : his id in the call."""

    sid: str
    room: Room | None


@dataclass(frozen=True, slots=True)
class _Event:
    type: EventType
    at: float
    who: str | None
    data: Mapping[str, Value]


class Delivery:
    """place_of : by the key of a participant; asked, in a thread, when his turn is sent."""

    def __init__(
        self, outbox: Outbox, clock: Clock, switches: Switches, place_of: Callable[[str], Place], notices: Notices
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._switches = switches
        self._place_of = place_of
        self._notices = notices
        self._call_id: str | None = None
        self._held: list[Draft | _Event] = []

    @property
    def stats(self) -> Stats:
        return self._outbox.stats

    @property
    def call_id(self) -> str | None:
        return self._call_id

    def identify(self, call_id: str) -> None:
        """From now on everything goes out, what was held first. The first id that is given counts."""
        if self._call_id is None:
            self._call_id = call_id
            held, self._held = self._held, []
            for item in held:
                self._put(item)

    def turn(self, draft: Draft) -> None:
        self._put(draft)

    def event(self, kind: EventType, at: float, who: str | None = None, /, **data: Value) -> None:
        self._put(_Event(kind, at, who, data))

    async def drain(self, deadline_s: float) -> None:
        """As `Outbox.drain`."""
        await self._outbox.drain(deadline_s)

    def _put(self, item: Draft | _Event) -> None:
        call_id = self._call_id
        if call_id is not None:
            self._outbox.put(lambda: self._made(call_id, item))
        elif len(self._held) < HELD:
            self._held.append(item)
        else:
            self._notices.warn("given_up", "held", detail="the call has no id yet")

    def _made(self, call_id: str, item: Draft | _Event) -> Turn | CallEvent:
        if isinstance(item, _Event):
            who = None if item.who is None else self._place_of(item.who).sid
            return CallEvent(
                call_id=call_id, type=item.type, at=self._clock.epoch(item.at), participant=who, data=item.data or None
            )
        draft = refined(item) if item.refine else item
        place = self._place_of(draft.who)
        return Turn(
            call_id=call_id,
            turn_id=draft.turn_id,
            participant=place.sid,
            role=draft.role,
            text=self._switches.text_of(draft.text, self._notices),
            started_at=self._clock.epoch(draft.started_at),
            ended_at=self._clock.epoch(draft.ended_at),
            audio=audio_of(draft.sound) if self._switches.audio else None,
            language=draft.language,
            interrupted=draft.interrupted,
            room=place.room,
            metadata=draft.metadata or None,
        )
