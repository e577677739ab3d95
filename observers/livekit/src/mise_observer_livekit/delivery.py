"""Turns and call events on their way out: held until the call has an id, and made whole beside the loop."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mise_observer import CallEvent, EventType, Room, Stats, Turn, Value
from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.recording import audio_of
from mise_observer.switches import Switches
from mise_observer_livekit.turns import Draft, refined, without_sound


@dataclass(frozen=True, slots=True)
class Place:
    """What is known of a participant when his turn is sent. sid : his id in the call."""

    sid: str
    room: Room | None


class Delivery:
    """outbox : held; it goes once the call has an id. place_of : by the key of a participant, asked in a thread."""

    def __init__(
        self, outbox: Outbox, clock: Clock, switches: Switches, place_of: Callable[[str], Place], notices: Notices
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._switches = switches
        self._place_of = place_of
        self._notices = notices
        self._call_id: str | None = None

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
            self._outbox.release()

    def turn(self, draft: Draft) -> None:
        mute = without_sound(draft)
        self._outbox.put(
            lambda: self._turn(draft),
            text_bytes=sys.getsizeof(draft.text),
            audio_bytes=0 if draft.sound is None else draft.sound.nbytes,
            without_audio=lambda: self._turn(mute),
        )

    def event(self, kind: EventType, at: float, who: str | None = None, /, **data: Value) -> None:
        self._outbox.put(lambda: self._event(kind, at, who, data), is_turn=False)

    async def drain(self, deadline_s: float) -> None:
        """As `Outbox.drain`."""
        await self._outbox.drain(deadline_s)

    # --- in the thread of the outbox, when the call has an id

    @property
    def _known_call_id(self) -> str:
        assert self._call_id is not None  # noqa: S101  # the outbox is held until then
        return self._call_id

    def _event(self, kind: EventType, at: float, who: str | None, data: Mapping[str, Value]) -> CallEvent:
        return CallEvent(
            call_id=self._known_call_id,
            type=kind,
            at=self._clock.epoch(at),
            participant=None if who is None else self._place_of(who).sid,
            data=data or None,
        )

    def _turn(self, draft: Draft) -> Turn:
        sound = None if draft.sound is None else draft.sound.pcm()
        started_at, ended_at = draft.started_at, draft.ended_at
        metadata = draft.metadata
        if sound is not None and not sound.whole:
            metadata = {**metadata, "audio": "too_long"}
        if draft.refine:
            started_at, ended_at, sound = refined(draft, sound)
        place = self._place_of(draft.who)
        return Turn(
            call_id=self._known_call_id,
            turn_id=draft.turn_id,
            participant=place.sid,
            role=draft.role,
            text=self._switches.text_of(draft.text, self._notices),
            started_at=self._clock.epoch(started_at),
            ended_at=self._clock.epoch(ended_at),
            audio=audio_of(sound) if self._switches.audio else None,
            language=draft.language,
            interrupted=draft.interrupted,
            room=place.room,
            metadata=metadata or None,
        )
