"""The room: who is in it, and what each of them says."""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from livekit import rtc
from livekit.agents import inference, vad

from mise_observer import Room
from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer.recording import Recording
from mise_observer_livekit.delivery import Delivery, Place
from mise_observer_livekit.ears import Ear, Heard
from mise_observer_livekit.people import AGENT, ON_BEHALF_ATTRIBUTE, UNSEEN, USER, People, Person, harmless
from mise_observer_livekit.speeches import SETTLED_S, Agent, RoughTurn, Speeches
from mise_observer_livekit.turns import AFTER_S, BEFORE_S, Draft

UNLINKED_SETTLED_S = 1.5
"""So long after the last word the turn of somebody to whom no session listens is sent: nobody commits it."""

EARS = 3
"""Tracks of one participant that are remembered: a turn may still be in the one before a reconnect."""

KEEP_S = 10.0
"""Audio of somebody who says nothing, and how long he is away before he is gone: longer than a detector takes to find
that he speaks, a session to commit it, or a client to connect anew."""

KEEP_BYTES = 64 * 2**20
"""Audio of all participants: seven times what one has at most. Of more the oldest goes."""


@dataclass(slots=True, eq=False)
class Voice:
    """What one participant says.

    until : the end of his last turn. late : that turn, if it was sent uncommitted and may still be committed.
    """

    speeches: Speeches
    ears: list[Heard] = field(default_factory=list)
    until: float = float("-inf")
    late: Draft | None = None


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
        self._closing: set[asyncio.Task[None]] = set()
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

    @property
    def heard_bytes(self) -> int:
        """Of the audio that is kept of everybody."""
        return sum(ear.recording.nbytes for voice in self._voices.values() for ear in voice.ears)

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

    def send(self, who: str, turns: list[RoughTurn], *, linked: bool = True) -> None:
        """Send turns of a participant, with what was heard of them."""
        voice = self.voice(who)
        for turn in turns:
            draft = voice.late
            # What was sent is sent again as it was: its audio may be gone from the recording by now.
            if draft is None or draft.turn_id != turn.turn_id:
                draft = self._draft(who, voice, turn)
                voice.until = max(voice.until, turn.ended_at)
            metadata = dict(draft.metadata)
            if linked and not turn.committed:
                metadata["uncommitted"] = "true"
            else:
                metadata.pop("uncommitted", None)
            draft = replace(draft, text=turn.text, language=turn.language, metadata=metadata)
            voice.late = draft if linked and not turn.committed else None
            self._out.turn(draft)

    def _draft(self, who: str, voice: Voice, turn: RoughTurn) -> Draft:
        person = self._people.get(who)
        start = max(turn.started_at - BEFORE_S, min(voice.until, turn.started_at))
        ear = _nearest(voice.ears, turn.ended_at)
        sound = None if ear is None else ear.recording.clip(start, turn.ended_at + AFTER_S)
        delays = [None if ear is None else ear.delay_s(at) for at in (turn.started_at, turn.ended_at)]
        metadata = {}
        if sound is not None and not sound.whole:
            metadata["audio"] = "too_long"
            sound = None
        if sound is None or None in delays or not turn.exact:
            metadata["times"] = "vad" if turn.exact else "estimated"
        return Draft(
            turn_id=turn.turn_id,
            who=who,
            role="user" if person is None else person.role,
            text=turn.text,
            started_at=turn.started_at,
            ended_at=turn.ended_at,
            sound=sound,
            refine=True,
            delay_s=(delays[0] or 0.0, delays[1] or 0.0),
            metadata=metadata,
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
        """Send what is over, and let go of what nothing more will be sent of; to be called about once a second."""
        now = self._clock.now()
        linked = self._linked()
        for who, voice in list(self._voices.items()):
            listened_to = who in (linked, USER)
            gone_since = self._gone_since(who, now)
            if gone_since is not None:
                voice.speeches.stopped(gone_since)
            closed = voice.speeches.settle(now, SETTLED_S if listened_to else UNLINKED_SETTLED_S)
            self.send(who, closed, linked=listened_to)
            if gone_since is not None and voice.speeches.since is None:
                del self._voices[who]
                self._close_ears(voice.ears)
            else:
                self._let_go(voice, now, listened_to)
        self._make_room()

    def finish(self) -> None:
        """Send what is left."""
        now = self._clock.now()
        linked = self._linked()
        for who, voice in list(self._voices.items()):
            self.send(who, voice.speeches.close(now), linked=who in (linked, USER))

    def unhook(self) -> None:
        """Undo `open`."""
        if self._room is not None:
            for event, callback in self._events.items():
                self._room.off(event, callback)  # type: ignore[arg-type]

    async def close(self) -> None:
        """Hear nothing more."""
        voices, self._voices = self._voices, {}
        for voice in voices.values():
            self._close_ears(voice.ears)
        await asyncio.gather(*self._closing)

    def _gone_since(self, who: str, now: float) -> float | None:
        """Since when he has been away, if that is for too long to be a reconnect."""
        person = self._people.get(who)
        away_s = 0.0 if person is None or person.left_at is None else now - person.left_at
        return now - away_s if away_s > KEEP_S else None

    def _let_go(self, voice: Voice, now: float, listened_to: bool) -> None:
        """Of what he was heard to say, all that nothing which is still to be sent is in."""
        since = voice.speeches.since
        needed_from = now - KEEP_S if since is None else min(now - KEEP_S, since - BEFORE_S)
        done = [ear for ear in voice.ears if ear.over and _ended_at(ear) < needed_from]
        voice.ears = [ear for ear in voice.ears if ear not in done]
        self._close_ears(done)
        if not listened_to:
            for ear in voice.ears:
                ear.recording.forget_before(needed_from)

    def _make_room(self) -> None:
        excess = self.heard_bytes - KEEP_BYTES
        if excess <= 0:
            return
        recordings = [ear.recording for voice in self._voices.values() for ear in voice.ears]
        oldest = [(_began_at(recording), number) for number, recording in enumerate(recordings)]
        heapq.heapify(oldest)
        given_up = 0
        while excess > 0:
            number = oldest[0][1]
            recording = recordings[number]
            before = recording.nbytes
            recording.make_room()
            excess -= before - recording.nbytes
            heapq.heapreplace(oldest, (_began_at(recording), number))
            given_up += 1
        self._notices.warn("audio_given_up", "heard", given_up, detail="too many speak, or too long")

    def _close_ears(self, ears: Iterable[Heard]) -> None:
        for ear in ears:
            task = asyncio.create_task(self._close_ear(ear), name="mise-observer-close-ear")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _close_ear(self, ear: Heard) -> None:
        try:
            await ear.close()
        except Exception as error:
            self._notices.warn("observer_failed", "close", error=type(error).__name__)

    @property
    def _out(self) -> Delivery:
        assert self._delivery is not None  # noqa: S101  # nothing happens before `open`
        return self._delivery

    def _joined(self, participant: rtc.RemoteParticipant) -> None:
        person = self._people.see(participant, connected_at=_joined_at(participant))
        if person.kind in UNSEEN or person.present:
            return
        person.present, person.left_at = True, None
        at = self._clock.now() if person.connected_at is None else self._clock.of_wall(person.connected_at)
        self._out.event("participant_joined", at, participant.identity, kind=person.kind, role=person.role)
        self._tell_transfer(participant.identity, person, at)

    def _changed(self, _: object, participant: rtc.Participant) -> None:
        """His attributes did; his role may have."""
        person = self._people.get(participant.identity)
        if person is not None and person.present and person is not self._local:
            self._tell_transfer(participant.identity, self._people.see(participant), self._clock.now())

    def _tell_transfer(self, who: str, person: Person, at: float) -> None:
        if person.role == "human_agent" and not person.transferred:
            person.transferred = True
            self._out.event("transfer", at, who, to="human_agent", kind=person.kind)

    def _left(self, participant: rtc.RemoteParticipant) -> None:
        person = self._people.see(participant)
        if not person.present:
            return
        person.present, person.left_at = False, self._clock.now()
        reason = _reason(participant)
        self._out.event("participant_left", person.left_at, participant.identity, kind=person.kind, reason=reason)

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
        self._close_ears(voice.ears[: 1 - EARS])
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


def _began_at(recording: Recording) -> float:
    return float("inf") if recording.span is None else recording.span[0]


def _ended_at(ear: Heard) -> float:
    return float("-inf") if ear.recording.span is None else ear.recording.span[1]


def _joined_at(participant: rtc.Participant) -> float | None:
    return None if participant.joined_at is None else participant.joined_at.timestamp()


def _reason(participant: rtc.RemoteParticipant) -> str | None:
    """Why he left: LiveKit's name of it, or its number where a newer server gives one that has none here."""
    number = participant.disconnect_reason
    if number is None:
        return None
    try:
        return rtc.DisconnectReason.Name(number).lower()
    except ValueError:
        return str(int(number))
