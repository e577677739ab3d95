"""From what was said to the turns that are sent, without what is not to leave the process."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mise_observer import Audio, CallEvent, EventType, Sender, Turn, Value
from mise_observer.notices import Notices
from mise_observer_pipecat.clock import CallClock
from mise_observer_pipecat.said import Said

Redact = Callable[[str], str]


class Outgoing:
    """audio, text : whether they are sent at all. redact : applied to every text before it is sent."""

    def __init__(
        self,
        sender: Sender,
        call_id: str,
        clock: CallClock,
        notices: Notices,
        *,
        audio: bool = True,
        text: bool = True,
        redact: Redact | None = None,
    ) -> None:
        self._sender = sender
        self._call_id = call_id
        self._clock = clock
        self._notices = notices
        self._audio = audio
        self._with_text = text
        self._redact = redact

    def turn(self, said: Said) -> None:
        audio = None
        if self._audio and said.audio is not None and len(said.audio.samples):
            audio = Audio(data=said.audio.samples.tobytes(), format="pcm_s16le", sample_rate=said.audio.sample_rate)
        self._sender.send(
            Turn(
                call_id=self._call_id,
                participant=said.participant,
                role=said.role,
                text=self.text(said.text),
                started_at=self._clock.epoch(said.started_at),
                ended_at=self._clock.epoch(max(said.started_at, said.ended_at)),
                audio=audio,
                interrupted=said.interrupted,
                language=said.language,
            )
        )

    def event(
        self, kind: EventType, at: float, data: Mapping[str, Value] | None = None, participant: str | None = None
    ) -> None:
        self._sender.send(
            CallEvent(
                call_id=self._call_id, type=kind, at=self._clock.epoch(at), participant=participant, data=data or None
            )
        )

    def text(self, text: str) -> str:
        """What may be sent of a text: nothing if the redaction fails."""
        if not self._with_text or not text:
            return ""
        if self._redact is None:
            return text
        try:
            redacted: object = self._redact(text)
            failure = f"it returned {type(redacted).__name__}, not str"
        except Exception as error:
            redacted, failure = None, f"it raised {type(error).__name__}"
        if isinstance(redacted, str):
            return redacted
        # Outside the handler: the exception may quote the text, and a traceback would show it.
        self._notices.warn("redact_failed", why=failure, sent="an empty text")
        return ""
