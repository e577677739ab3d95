"""The room: who is in it, and what each of them says."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from livekit import rtc
from livekit.agents import inference, vad

from mise_observer import Room
from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer_livekit.delivery import Delivery, Place
from mise_observer_livekit.ears import Ear, Heard
from mise_observer_livekit.people import AGENT, ON_BEHALF_ATTRIBUTE, UNSEEN, USER, People, Person, harmless
from mise_observer_livekit.speeches import Agent, Said, Speeches
from mise_observer_livekit.turns import AFTER_S, BEFORE_S, Draft

UNLINKED_SETTLED_S = 1.5
"""So long after the last word the turn of somebody to whom no session listens is sent: nobody commits it."""

EARS = 3
"""Tracks of one participant that are remembered: a turn may still be in the one before a reconnect."""


@dataclass(slots=True, eq=False)
class Voice:
    """What one participant says. until : the end of his last turn."""

    speeches: Speeches
    ears: list[Heard] = field(default_factory=list)
    until: float = float("-inf")


class RoomWatch:
    """linked : identity of the participant to whom the session listens; None when there is none.

    room : None for a session without one; then its user is `user`, the agent `agent`.
    """

    def __init__(
        self,
        room: rtc.Room | None,
        people: People,
        clock: Clock,
        guard: Guard,
        notices: Notices,
        linked: Callable[[], str | None],
    ) -> None:
        self._room = room
        self._people = people
        self._clock = clock
        self._guard = guard
        self._notices = notices
        self._linked = linked
        self._delivery: Delivery | None = None
        self.agent = Agent()
        self._voices: dict[str, Voice] = {}
        self._present: set[str] = set()
        self._transferred: set[str] = set()
        self._local: Person | None = None
        self._sid: str | None = None
        self._name: str | None = None
        self._vad: inference.VAD | None = None
        self._events = {
            "participant_connected": guard(self._joined),
            "participant_disconnected": guard(self._left),
            "participant_attributes_changed": guard(self._changed),
            "track_subscribed": guard(self._subscribed),
        }

    def open(self, delivery: Delivery) -> None:
        self._delivery = delivery
        if self._room is not None:
            for event, callback in self._events.items():
                self._room.on(event, callback)  # type: ignore[arg-type]  # its names are literals

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self._room is not None

    async def connected(self) -> str | None:
        """Wait until the room is; returns its SID. None for a session without a room."""
        if self._room is None:
            return None
        self._sid = await self._room.sid
        self._name = harmless(self._room.name)
        local = self._room.local_participant
        self._local = self._people.see(local, local=True, connected_at=_joined_at(local))
        for participant in list(self._room.remote_participants.values()):
            self._guard(self._joined)(participant)
            for publication in list(participant.track_publications.values()):
                if publication.track is not None:
                    self._guard(self._subscribed)(publication.track, publication, participant)
        return self._sid

    def place_of(self, who: str) -> Place:
        person = self._local if who == AGENT else self._people.get(who)
        if person is None or not person.sid:
            return Place("agent" if who == AGENT else "user", None)
        return Place(
            person.sid,
            Room(name=self._name, sid=self._sid, participant_sid=person.current_sid, connected_at=person.connected_at),
        )

    def voice(self, who: str) -> Voice:
        if who not in self._voices:
            self._voices[who] = Voice(Speeches(self.agent))
        return self._voices[who]

    def send(self, who: str, turns: list[Said], *, linked: bool = True) -> None:
        """Send turns of a participant, with what was heard of them."""
        voice = self.voice(who)
        person = self._people.get(who)
        for said in turns:
            metadata = {} if said.committed or not linked else {"uncommitted": "true"}
            start = max(said.started_at - BEFORE_S, min(voice.until, said.started_at))
            ear = _nearest(voice.ears, said.ended_at)
            sound = None if ear is None else ear.recording.cut(start, said.ended_at + AFTER_S)
            delays = [None if ear is None else ear.delay_s(at) for at in (said.started_at, said.ended_at)]
            if sound is not None and not sound.whole:
                metadata["audio"] = "too_long"
                sound = None
            if sound is None or None in delays or not said.exact:
                metadata["times"] = "vad" if said.exact else "estimated"
            voice.until = max(voice.until, said.ended_at)
            self._out.turn(
                Draft(
                    turn_id=said.turn_id,
                    who=who,
                    role="user" if person is None else person.role,
                    text=said.text,
                    started_at=said.started_at,
                    ended_at=said.ended_at,
                    sound=sound,
                    refine=True,
                    delay_s=(delays[0] or 0.0, delays[1] or 0.0),
                    language=said.language,
                    metadata=metadata,
                )
            )

    def typed(self, who: str, text: str) -> None:
        """Send what somebody typed, or the program said for him: a turn of no length, beside what he says."""
        now = self._clock.now()
        person = self._people.get(who)
        self._out.turn(
            Draft(
                turn_id=uuid.uuid4().hex,
                who=who,
                role="user" if person is None else person.role,
                text=text,
                started_at=now,
                ended_at=now,
                metadata={"times": "estimated"},
            )
        )

    def settle(self) -> None:
        """Send what is over; to be called about once a second."""
        now = self._clock.now()
        linked = self._linked()
        for who, voice in list(self._voices.items()):
            if who in (linked, USER):
                self.send(who, voice.speeches.settle(now))
            else:
                self.send(who, voice.speeches.settle(now, UNLINKED_SETTLED_S), linked=False)

    def finish(self) -> None:
        """Send what is left."""
        now = self._clock.now()
        linked = self._linked()
        for who, voice in list(self._voices.items()):
            self.send(who, voice.speeches.close(now), linked=who in (linked, USER))

    async def close(self) -> None:
        if self._room is not None:
            for event, callback in self._events.items():
                self._room.off(event, callback)  # type: ignore[arg-type]
        ears = [ear for voice in self._voices.values() for ear in voice.ears]
        await asyncio.gather(*(ear.close() for ear in ears), return_exceptions=True)

    @property
    def _out(self) -> Delivery:
        assert self._delivery is not None  # noqa: S101  # nothing happens before `open`
        return self._delivery

    def _joined(self, participant: rtc.RemoteParticipant) -> None:
        person = self._people.see(participant, connected_at=_joined_at(participant))
        if person.kind in UNSEEN or participant.identity in self._present:
            return
        self._present.add(participant.identity)
        at = self._clock.now() if person.connected_at is None else self._clock.of_wall(person.connected_at)
        self._out.event("participant_joined", at, participant.identity, kind=person.kind, role=person.role)
        self._tell_transfer(participant.identity, person, at)

    def _changed(self, _: object, participant: rtc.Participant) -> None:
        """His attributes did; his role may have."""
        if participant.identity in self._present:
            person = self._people.see(participant)
            self._tell_transfer(participant.identity, person, self._clock.now())

    def _tell_transfer(self, who: str, person: Person, at: float) -> None:
        if person.role == "human_agent" and who not in self._transferred:
            self._transferred.add(who)
            self._out.event("transfer", at, who, to="human_agent", kind=person.kind)

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        person = self._people.see(participant)
        if participant.identity not in self._present:
            return
        self._present.discard(participant.identity)
        reason = participant.disconnect_reason
        named = None if reason is None else rtc.DisconnectReason.Name(reason).lower()
        self._out.event("participant_left", self._clock.now(), participant.identity, kind=person.kind, reason=named)

    def _subscribed(
        self, track: rtc.Track, publication: rtc.RemoteTrackPublication, participant: rtc.RemoteParticipant
    ) -> None:
        self._joined(participant)
        person = self._people.see(participant)
        local = "" if self._room is None else self._room.local_participant.identity
        if (
            track.kind != rtc.TrackKind.KIND_AUDIO
            or publication.source == rtc.TrackSource.SOURCE_SCREENSHARE_AUDIO
            or person.kind in UNSEEN
            or participant.attributes.get(ON_BEHALF_ATTRIBUTE) == local
        ):
            return
        who = participant.identity
        voice = self.voice(who)
        if any(isinstance(ear, Ear) and ear.track is track for ear in voice.ears):
            return
        ear = Ear(
            track,
            self._clock,
            wanted=lambda: self._linked() != who,
            detector=self._detector,
            on_started=self._guard(lambda at: self.send(who, voice.speeches.started(at), linked=False)),
            on_stopped=self._guard(voice.speeches.stopped),
            notices=self._notices,
        )
        voice.ears = [*voice.ears[1 - EARS :], ear]
        ear.start()

    def _detector(self) -> vad.VADStream:
        self._vad = self._vad or inference.VAD()
        return self._vad.stream()


def _nearest(ears: list[Heard], at: float) -> Heard | None:
    """The ear that heard this moment, or heard nearest to it."""

    def away(ear: Heard) -> float:
        span = ear.recording.span
        return float("inf") if span is None else max(span[0] - at, at - span[1], 0.0)

    return min(ears, key=away, default=None)


def _joined_at(participant: rtc.Participant) -> float | None:
    return None if participant.joined_at is None else participant.joined_at.timestamp()
