"""Turns and call events on their way out: made whole in a thread, held until the call has an id, then the sender's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from mise_observer import CallEvent, EventType, Room, Sender, Stats, Turn, Value
from mise_observer.notices import Notices
from mise_observer_livekit.clock import Clock
from mise_observer_livekit.turns import Draft, audio_of, refined

PENDING = 200
"""Turns and events that wait for the thread or for the call's id; more of them are given up: `redact` hangs."""

Redact = Callable[[str], str]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Switches:
    """What leaves the process. redact : of every text; runs in a thread of the observer's, so it may take its time."""

    audio: bool = True
    text: bool = True
    redact: Redact | None = None


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
    """place_of : by the key of a participant; asked when the turn is sent."""

    def __init__(
        self, sender: Sender, clock: Clock, switches: Switches, place_of: Callable[[str], Place], notices: Notices
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._switches = switches
        self._place_of = place_of
        self._notices = notices
        self._call_id: str | None = None
        self._held: list[Draft | _Event] = []
        self._submitted = 0
        self._done = 0  # by the thread
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mise-observer-livekit")

    @property
    def stats(self) -> Stats:
        return self._sender.stats

    @property
    def call_id(self) -> str | None:
        return self._call_id

    def identify(self, call_id: str) -> None:
        """From now on everything goes out, what was held first. The first id that is given counts."""
        if self._call_id is None:
            self._call_id = call_id
            held, self._held = self._held, []
            for item in held:
                self._submit(call_id, item)

    def turn(self, draft: Draft) -> None:
        self._put(draft)

    def event(self, kind: EventType, at: float, who: str | None = None, /, **data: Value) -> None:
        self._put(_Event(kind, at, who, data))

    async def drain(self, deadline_s: float) -> None:
        """Wait until everything is with the sender, and until the sender has sent it; the rest goes its way."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        done = self._thread.submit(lambda: None)
        await asyncio.wait({asyncio.wrap_future(done)}, timeout=deadline_s / 2)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._notices.warn("livekit_given_up", "end", self._submitted - self._done, detail="redact takes too long")
        await self._sender.aclose(max(deadline_s - (loop.time() - began), 0.0))

    def _put(self, item: Draft | _Event) -> None:
        if self._call_id is not None:
            self._submit(self._call_id, item)
        elif len(self._held) < PENDING:
            self._held.append(item)
        else:
            self._notices.warn("livekit_given_up", "held", detail="the room has no id yet")

    def _submit(self, call_id: str, item: Draft | _Event) -> None:
        if self._submitted - self._done >= PENDING:
            self._notices.warn("livekit_given_up", "pending", detail="redact takes too long")
            return
        self._submitted += 1
        self._thread.submit(self._send, call_id, item)

    def _send(self, call_id: str, item: Draft | _Event) -> None:
        try:
            self._sender.send(self._made(call_id, item))
        except Exception as error:
            self._notices.warn("livekit_failed", "delivery", error=type(error).__name__)
        finally:
            self._done += 1

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
            text=self._text(draft.text),
            started_at=self._clock.epoch(draft.started_at),
            ended_at=self._clock.epoch(draft.ended_at),
            audio=audio_of(draft.sound) if self._switches.audio else None,
            language=draft.language,
            interrupted=draft.interrupted,
            room=place.room,
            metadata=draft.metadata or None,
        )

    def _text(self, text: str) -> str:
        if not self._switches.text:
            return ""
        if self._switches.redact is None or not text:
            return text
        try:
            redacted: object = self._switches.redact(text)
            if isinstance(redacted, str):
                return redacted
            error = f"it returned {type(redacted).__name__}"
        except Exception as failed:
            error = type(failed).__name__  # its message may hold the text
        # Never the text as it was.
        self._say_redact_failed(error)
        return ""

    def _say_redact_failed(self, error: str) -> None:
        self._notices.warn("redact_failed", detail="sent without text", error=error)
