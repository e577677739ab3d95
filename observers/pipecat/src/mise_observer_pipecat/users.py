"""The turns of whoever speaks to the agent, from what Pipecat says of them and from their audio. Pure.

    # voice activity    |-----|   |--------|         |--|
    # user turn            |-----------------|
    # turns             |------------------|         |--|      the second one a back-channel: Pipecat made no turn of it

Voice activity tells roughly when, the audio exactly; the user turn tells which stretches belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from mise_observer.recording import Pcm, Recording, Samples
from mise_observer.voiced import bounds
from mise_observer_pipecat.said import Said

BEFORE_S = 0.6
"""Speech begins up to so long before a detector's own idea of it: Silero needs 200 ms beside `start_secs`, and more on
a busy machine."""

BEFORE_TURN_S = 1.0
"""The same where there is no voice activity, only a turn (detected by the STT or by a speech-to-speech model)."""

KEEP_S = 3.0
"""Audio kept while nobody speaks: longer than any detector takes to say that somebody does."""

SETTLE_S = 2.0
"""So long a turn without text waits for its transcription, before it is sent without."""

LATE_S = 10.0
"""A transcription that comes so long after such a turn has been sent still is its: the turn is sent again with it."""

SETTLED_S = 0.5
"""So long a turn with text waits for more of it, or for Pipecat to make it part of a user turn."""

TIDY_EVERY_S = 1.0
"""So often what streams that bring no more audio have is looked through."""

TRANSCRIBED_AFTER_S = 1.0
"""Of speech that began later than this before its transcription: that one is rather of what was said before."""


@dataclass(slots=True)
class _Turn:
    """began, ended : as far as is known without the audio; not before `earliest`, not after `latest`.

    claimed : Pipecat makes a user turn of it. committed : that turn is over. heard : not by its transcription alone.
    doubtful : voice activity, which there is in this call, knows nothing of it; without a text it is none.
    """

    began: float
    earliest: float
    ended: float | None = None
    latest: float = 0.0
    claimed: bool = False
    committed: bool = False
    heard: bool = True
    doubtful: bool = False
    texts: dict[str, list[str]] = field(default_factory=dict)
    language: str | None = None
    settles: float = 0.0


@dataclass(slots=True)
class _Late:
    """A turn that was sent without text, or with what of it came late. again : it is to be sent again."""

    said: Said
    until: float
    again: bool = False

    def is_of(self, participant: str, at: float) -> bool:
        return participant == self.said.participant and at <= self.until

    def add(self, text: str, language: str | None) -> None:
        known = f"{self.said.text} {text.strip()}".strip()
        self.said = replace(self.said, text=known, language=language or self.said.language)
        self.again = True


class UserTurns:
    """Told of one thing after another, each with its time in seconds on one clock; `settled` gives the turns.

    delay_s : how long the audio of a user (by id) that came at a moment had been under way; it was spoken before.
    muted : the agent does not listen, so what is transcribed of no speech that it has heard is no turn.
    """

    def __init__(self, delay_s: Callable[[str, float], float] = lambda _user_id, _at: 0.0) -> None:
        self._delay_s = delay_s
        self.muted = False
        self._recordings: dict[str, Recording] = {}
        self._participants: dict[str, str] = {}
        self._has_voice_activity = False
        self._turn: _Turn | None = None
        self._waiting: list[_Turn] = []
        self._late: _Late | None = None
        self._ended_last = float("-inf")
        self._decided_last = float("-inf")
        self._tidied_last = float("-inf")

    def participant(self, user_id: str) -> str:
        """An anonymous name, by the order in which ids appear; who has no id is the first."""
        if not user_id:
            return "user"
        number = len(self._participants) + 1
        return self._participants.setdefault(user_id, "user" if number == 1 else f"user-{number}")

    def audio(self, user_id: str, samples: Samples, sample_rate: int, at: float) -> None:
        """One channel, the last sample at `at`."""
        self.participant(user_id)
        recording = self._recordings.get(user_id)
        if recording is None or recording.sample_rate != sample_rate:
            recording = self._recordings[user_id] = Recording(sample_rate)
        recording.forget_before(self._needed_from(at))
        recording.append(samples, at)

    def speech_started(self, at: float, after_s: float) -> None:
        """Voice activity: decided at `at`, after so many seconds of speech."""
        self._has_voice_activity = True
        if self._turn is not None and self._turn.claimed:
            self._turn.ended = None
            self._turn.doubtful = False
            return
        if self._turn is not None and self._turn.ended is None:
            # Its stop was lost; it ended before this began.
            self.speech_stopped(max(self._turn.began, at - after_s - BEFORE_S), 0.0)
        self._put_aside()
        self._turn = self._new(at - after_s, BEFORE_S)

    def speech_stopped(self, at: float, after_s: float) -> None:
        """Voice activity: decided at `at`, after so many seconds of silence."""
        turn = self._turn
        if turn is None:
            return
        turn.ended, turn.latest = at - after_s, at
        if not turn.claimed:
            turn.settles = at + (SETTLED_S if turn.texts else SETTLE_S)

    def turn_started(self, at: float) -> None:
        """Pipecat's user turn: what is being said, or was just said, is of it."""
        if self._turn is None:
            self._turn = self._new(at, BEFORE_TURN_S)
            self._turn.doubtful = self._has_voice_activity
            if self._waiting and not self._waiting[-1].heard:  # it begins with its transcription
                begun = self._waiting.pop()
                self._turn.texts, self._turn.earliest = begun.texts, begun.earliest
        self._turn.claimed = True

    def turn_stopped(self, at: float) -> None:
        turn = self._turn
        if turn is None or not turn.claimed:
            return
        turn.committed = True
        if turn.ended is None:
            turn.ended = turn.latest = at
        turn.settles = at + (SETTLED_S if turn.texts else SETTLE_S)
        self._put_aside()

    def transcribed(self, user_id: str, text: str, at: float, language: str | None = None) -> None:
        """A final transcription."""
        if not text.strip():
            return
        participant, turn = self.participant(user_id), self._transcribed_turn(at)
        if turn is None:
            # A typed message; or speech too short for any detector, which is found in the audio.
            earliest = max(at - KEEP_S, self._decided_last)
            turn = _Turn(began=at, earliest=earliest, ended=at, latest=at, heard=False)
            silent = self._audio_of(turn, user_id or self._speaker(turn)) is None
            if silent and self._late is not None and self._late.is_of(participant, at):
                self._late.add(text, language)
                return
            if self.muted:
                return
            self._waiting.append(turn)
        turn.texts.setdefault(user_id, []).append(text)
        turn.language = language or turn.language
        if turn.ended is not None and (not turn.claimed or turn in self._waiting):
            turn.settles = at + SETTLED_S

    def settled(self, at: float) -> list[Said]:
        """The turns to which nothing more is added, oldest first; those that are sent again among them."""
        turn = self._turn
        if turn is not None and not turn.claimed and turn.ended is not None and turn.settles <= at:
            self._put_aside()
        ready = 0
        while ready < len(self._waiting) and self._waiting[ready].settles <= at:
            ready += 1
        done, self._waiting = self._waiting[:ready], self._waiting[ready:]
        said = self._once_more(at)
        for turn in done:
            made = list(self._said(turn))
            said += made
            if made and not turn.texts:
                self._late = _Late(made[0], at + LATE_S)
        if at - self._tidied_last >= TIDY_EVERY_S:
            self._tidied_last = at
            self._tidy(at)
        return said

    def close(self, at: float) -> list[Said]:
        """Whatever there is; what is being said ends now."""
        if self._turn is not None and self._turn.ended is None:
            self._turn.ended = self._turn.latest = at
        self._put_aside()
        done, self._waiting = self._waiting, []
        return [*self._once_more(at), *(said for turn in done for said in self._said(turn))]

    def _once_more(self, at: float) -> list[Said]:
        """What is to be sent again."""
        late = self._late
        if late is None:
            return []
        if at > late.until:
            self._late = None
        if not late.again:
            return []
        late.again = False
        return [late.said]

    def _new(self, began: float, before_s: float) -> _Turn:
        return _Turn(began=began, earliest=max(began - before_s, self._ended_last))

    def _put_aside(self) -> None:
        if self._turn is not None:
            self._ended_last = max(self._ended_last, self._turn.ended or self._turn.began)
            self._decided_last = max(self._decided_last, self._turn.latest)
            self._waiting.append(self._turn)
            self._turn = None

    def _transcribed_turn(self, at: float) -> _Turn | None:
        """Which turn it is of, of those that are not sent yet."""
        now = self._turn
        before = next((turn for turn in self._waiting if turn.heard and not turn.texts), None)
        if now is not None and (before is None or now.texts or at - now.began >= TRANSCRIBED_AFTER_S):
            return now
        return before or (self._waiting[-1] if self._waiting else None)

    def _needed_from(self, at: float) -> float:
        turns = self._waiting if self._turn is None else [*self._waiting, self._turn]
        return min([at - KEEP_S, *(turn.earliest - BEFORE_S for turn in turns)])

    def _tidy(self, at: float) -> None:
        """Forget what is needed no more also of who has left, and then the stream itself."""
        needed_from = self._needed_from(at)
        for user_id, recording in list(self._recordings.items()):
            recording.forget_before(needed_from)
            if not recording.nbytes:
                del self._recordings[user_id]

    def _said(self, turn: _Turn) -> Iterator[Said]:
        """One turn for each participant who was transcribed in it, or one without text."""
        nobody: dict[str, list[str]] = {} if turn.doubtful else {"": []}
        for named, texts in (turn.texts or nobody).items():
            user_id = named or self._speaker(turn)
            audio = self._audio_of(turn, user_id)
            began, ended = turn.began, max(turn.ended or turn.began, turn.began)
            metadata = {} if turn.committed else {"uncommitted": "true"}
            if audio is not None and not audio.whole:
                metadata["audio"] = "too_long"
                audio = None
            if audio is not None:
                began, ended = audio.started_at, audio.ended_at
            else:
                metadata["times"] = "vad" if turn.heard else "estimated"
            if audio is not None or turn.heard:
                began, ended = began - self._delay_s(user_id, began), ended - self._delay_s(user_id, ended)
            yield Said(
                participant=self.participant(user_id),
                role="user",
                text=" ".join(text.strip() for text in texts if text.strip()),
                started_at=began,
                ended_at=ended,
                audio=audio,
                language=turn.language,
                metadata=metadata,
            )

    def _speaker(self, turn: _Turn) -> str:
        """Whose turn it is, when nobody is named: the only one with a stream, or of several the only one heard."""
        heard = list(self._recordings)
        if len(heard) > 1:
            heard = [user_id for user_id in heard if self._speaks(turn, user_id)]
        return heard[0] if len(heard) == 1 else ""

    def _speaks(self, turn: _Turn, user_id: str) -> bool:
        pcm = self._recordings[user_id].cut(turn.earliest, turn.latest)
        return pcm is not None and any(edge is not None for edge in bounds(pcm.samples, pcm.sample_rate))

    def _audio_of(self, turn: _Turn, user_id: str) -> Pcm | None:
        """From the stream of that user, or the one that is of all; never from another's."""
        recording = self._recordings.get(user_id) or self._recordings.get("")
        pcm = None if recording is None else recording.cut(turn.earliest, turn.latest)
        return None if pcm is None else _trimmed(pcm, turn)


def _trimmed(pcm: Pcm, turn: _Turn) -> Pcm | None:
    """The audio from where somebody begins to speak to where they end, by voice activity where that is not heard.

    None of a turn that only its transcription tells of, and in which no beginning or no end is heard.
    """
    begins_s, ends_s = bounds(pcm.samples, pcm.sample_rate)
    if not turn.heard and (begins_s is None or ends_s is None):
        return None
    start = turn.began if begins_s is None else pcm.started_at + begins_s
    end = (turn.ended or turn.latest) if ends_s is None else pcm.started_at + ends_s
    return pcm.between(start, end)
