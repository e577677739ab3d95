"""Turns and call events on their way out: made whole in a thread, without what is not to leave the process."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from mise_observer import CallEvent, EventType, Stats, Turn, Value
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.recording import audio_of
from mise_observer.switches import Switches
from mise_observer_pipecat.said import Said


@dataclass(frozen=True, slots=True)
class Happening:
    """A call event before it is sent. reason : in words of somebody's, so that it is redacted like what was said."""

    type: EventType
    at: float
    participant: str | None
    data: dict[str, Value]
    reason: str | None = None


class Delivery:
    """Takes what happened in a call, on its clock, and has it sent."""

    def __init__(self, outbox: Outbox, call_id: str, clock: Clock, switches: Switches, notices: Notices) -> None:
        self._outbox = outbox
        self._call_id = call_id
        self._clock = clock
        self._switches = switches
        self._notices = notices

    @property
    def stats(self) -> Stats:
        return self._outbox.stats

    def turn(self, said: Said) -> None:
        mute = replace(said, audio=None)
        self._outbox.put(
            lambda: self.made(said),
            text_bytes=sys.getsizeof(said.text),
            audio_bytes=0 if said.audio is None else said.audio.samples.nbytes,
            without_audio=lambda: self.made(mute),
        )

    def event(
        self,
        kind: EventType,
        at: float,
        data: dict[str, Value] | None = None,
        *,
        participant: str | None = None,
        reason: str | None = None,
    ) -> None:
        happening = Happening(kind, at, participant, data or {}, reason)
        self._outbox.put(lambda: self.made(happening), is_turn=False)

    async def drain(self, deadline_s: float) -> None:
        """As `Outbox.drain`."""
        await self._outbox.drain(deadline_s)

    def made(self, item: Said | Happening) -> Turn | CallEvent:
        """As it is sent."""
        if isinstance(item, Happening):
            reason: dict[str, Value] = {} if item.reason is None else {"reason": self._text(item.reason) or "not told"}
            return CallEvent(
                call_id=self._call_id,
                type=item.type,
                at=self._clock.epoch(item.at),
                participant=item.participant,
                data=item.data | reason or None,
            )
        return Turn(
            call_id=self._call_id,
            turn_id=item.turn_id,
            participant=item.participant,
            role=item.role,
            text=self._text(item.text),
            started_at=self._clock.epoch(item.started_at),
            ended_at=self._clock.epoch(max(item.started_at, item.ended_at)),
            audio=audio_of(item.audio) if self._switches.audio else None,
            interrupted=item.interrupted,
            language=item.language,
            metadata=item.metadata or None,
        )

    def _text(self, text: str) -> str:
        return self._switches.text_of(text, self._notices)
