"""Turns and call events on their way out: made whole in a thread, without what is not to leave the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mise_observer import Audio, CallEvent, EventType, Sender, Turn, Value
from mise_observer.notices import Notices
from mise_observer_pipecat.clock import Clock
from mise_observer_pipecat.said import Said

PENDING = 200
"""Turns and events that wait for the thread; more of them are given up: `redact` hangs."""

Redact = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Switches:
    """What leaves the process. redact : of every text; runs in a thread of the observer's, so it may take its time."""

    audio: bool = True
    text: bool = True
    redact: Redact | None = None


@dataclass(frozen=True, slots=True)
class Happening:
    """A call event before it is sent. reason : in words of somebody's, so that it is redacted like what was said."""

    type: EventType
    at: float
    participant: str | None
    data: dict[str, Value]
    reason: str | None = None


class Delivery:
    """Takes what happened in a call, on its clock, and gives it to the sender."""

    def __init__(self, sender: Sender, call_id: str, clock: Clock, switches: Switches, notices: Notices) -> None:
        self._sender = sender
        self._call_id = call_id
        self._clock = clock
        self._switches = switches
        self._notices = notices
        self._pending = 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mise-observer-pipecat")

    def turn(self, said: Said) -> None:
        self._put(said)

    def event(
        self,
        kind: EventType,
        at: float,
        data: dict[str, Value] | None = None,
        *,
        participant: str | None = None,
        reason: str | None = None,
    ) -> None:
        self._put(Happening(kind, at, participant, data or {}, reason))

    async def drain(self, deadline_s: float) -> None:
        """Wait until everything is with the sender, and until the sender has sent it; the rest goes its way."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        done = self._thread.submit(lambda: None)
        await asyncio.wait({asyncio.wrap_future(done)}, timeout=deadline_s / 2)
        self._thread.shutdown(wait=False, cancel_futures=True)
        await self._sender.aclose(max(deadline_s - (loop.time() - began), 0.0))

    def _put(self, item: Said | Happening) -> None:
        if self._pending >= PENDING:
            self._notices.warn("pipecat_given_up", detail="redact takes too long")
            return
        self._pending += 1
        self._thread.submit(self._send, item)

    def _send(self, item: Said | Happening) -> None:
        try:
            self._sender.send(self.made(item))
        except Exception as error:
            self._notices.warn("pipecat_failed", "delivery", error=type(error).__name__)
        finally:
            self._pending -= 1

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
            participant=item.participant,
            role=item.role,
            text=self._text(item.text),
            started_at=self._clock.epoch(item.started_at),
            ended_at=self._clock.epoch(max(item.started_at, item.ended_at)),
            audio=self._audio(item),
            interrupted=item.interrupted,
            language=item.language,
        )

    def _audio(self, said: Said) -> Audio | None:
        if not self._switches.audio or said.audio is None or not len(said.audio.samples):
            return None
        return Audio(data=said.audio.samples.tobytes(), format="pcm_s16le", sample_rate=said.audio.sample_rate)

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
            error = type(failed).__name__
        # Never the text as it was. And outside the handler: the exception may quote it, and a traceback would show it.
        self._notices.warn("redact_failed", detail="sent without text", error=error)
        return ""
