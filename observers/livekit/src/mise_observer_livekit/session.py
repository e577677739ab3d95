"""The session: what it says of the user's turns, and the agent's own."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from livekit.agents import AgentSession, llm, voice

from mise_observer import Value
from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer_livekit.delivery import Delivery
from mise_observer_livekit.people import AGENT, USER
from mise_observer_livekit.playback import Playback, Played, Segment, heard_span
from mise_observer_livekit.room import RoomWatch
from mise_observer_livekit.speeches import Committed
from mise_observer_livekit.tap import InputTap, Tap, is_in
from mise_observer_livekit.turns import Draft

LATENCIES = {
    "transcription_delay": "transcription_delay_ms",
    "end_of_turn_delay": "end_of_turn_delay_ms",
    "on_user_turn_completed_delay": "on_user_turn_completed_delay_ms",
    "llm_node_ttft": "llm_ttft_ms",
    "llm_node_ttfs": "llm_ttfs_ms",
    "tts_node_ttfb": "tts_ttfb_ms",
    "playback_latency": "playback_latency_ms",
    "e2e_latency": "e2e_latency_ms",
}
TOKENS_A_SECOND = "llm_node_tps"
USED = {"characters_count": "characters", "audio_duration": "audio_s", "session_duration": "session_s"}
"""LiveKit's names of what all observers send under one."""


class SessionWatch:
    """Listens to one session. keep_audio : of the agent."""

    def __init__(
        self,
        session: AgentSession[Any],
        clock: Clock,
        guard: Guard,
        notices: Notices,
        *,
        keep_audio: bool,
    ) -> None:
        self._session = session
        self._clock = clock
        self._guard = guard
        self._notices = notices
        self._keep_audio = keep_audio
        self._playback = Playback()
        self._tap: Tap | None = None
        self._handles: dict[str, voice.SpeechHandle] = {}
        self._usage: voice.SessionUsageUpdatedEvent | None = None
        self._linked: str | None = None
        self._room: RoomWatch
        self._delivery: Delivery
        self._events = {
            "user_state_changed": guard(self._user_state),
            "agent_state_changed": guard(self._agent_state),
            "user_input_transcribed": guard(self._transcribed),
            "conversation_item_added": guard(self._item),
            "speech_created": guard(self._speech),
            "function_tools_executed": guard(self._tools),
            "session_usage_updated": guard(self._used),
            "agent_false_interruption": guard(self._false_interruption),
            "error": guard(self._error),
        }

    def open(self, room: RoomWatch, delivery: Delivery) -> None:
        self._room = room
        self._delivery = delivery
        for event, callback in self._events.items():
            self._session.on(event, callback)  # type: ignore[arg-type]  # its names are literals

    def install(self) -> None:
        """Put the taps where they are possible already; the others follow with the first speech."""
        if self.started:
            self._install()
        else:
            self._install_input()

    def unhook(self) -> None:
        """Undo `open`."""
        for event, callback in self._events.items():
            self._session.off(event, callback)  # type: ignore[arg-type]

    @property
    def started(self) -> bool:
        try:
            return self._session.current_agent is not None
        except RuntimeError:
            return False

    def linked(self) -> str | None:
        """The identity of the participant to whom the session listens; at its end, to whom it did."""
        try:
            participant = self._session.room_io.linked_participant
        except RuntimeError:  # not started, without a room, or closed
            return self._linked
        if participant is not None:
            self._linked = participant.identity
        return self._linked

    def finish(self) -> None:
        """Send what is left of the agent, and what the models were used for."""
        now = self._clock.now()
        self._send_uncommitted(self._playback.end_all(now))
        if self._usage is not None:
            for usage in self._usage.usage.model_usage:
                counts = {
                    USED.get(name, name): value
                    for name, value in usage.model_dump().items()
                    if isinstance(value, str) or (isinstance(value, int | float) and value)
                }
                self._delivery.event("metrics", now, AGENT, **counts)

    # --- the user

    @property
    def _user(self) -> str:
        return self.linked() or USER

    def _user_state(self, event: voice.UserStateChangedEvent) -> None:
        who = self._user
        at = self._clock.of_wall(event.created_at)
        if event.new_state == "speaking":
            self._room.send(who, self._room.voice(who).speeches.started(at))
        elif event.old_state == "speaking":
            self._room.voice(who).speeches.stopped(at)

    def _transcribed(self, event: voice.UserInputTranscribedEvent) -> None:
        if event.is_final:
            who, at = self._user, self._clock.of_wall(event.created_at)
            language = None if event.language is None else str(event.language)
            self._room.send(who, self._room.voice(who).speeches.final(event.transcript, at, language))

    def _user_item(self, item: llm.ChatMessage) -> None:
        who = self._user
        started_at, ended_at = self._times(item)
        if started_at is None and self._is_typed(item):
            self._room.typed(who, item.text_content or "")
            return
        committed = Committed(item.text_content or "", started_at, ended_at)
        self._room.send(who, self._room.voice(who).speeches.committed(committed, self._clock.now()))
        self._measured(who, item)

    def _is_typed(self, item: llm.ChatMessage) -> bool:
        """Spoken words have a confidence; those of realtime models not in every release."""
        return item.transcript_confidence is None and not isinstance(self._session.llm, llm.RealtimeModel)

    # --- the agent

    def _agent_state(self, event: voice.AgentStateChangedEvent) -> None:
        if event.new_state == "speaking":
            self._room.agent.started(self._clock.of_wall(event.created_at))
        else:
            self._room.agent.stopped(self._clock.of_wall(event.created_at))
            self._install()

    def _speech(self, event: voice.SpeechCreatedEvent) -> None:
        handle = event.speech_handle
        self._handles[handle.id] = handle
        handle.add_done_callback(self._guard(self._speech_done))
        self._install()

    def _speech_done(self, handle: voice.SpeechHandle) -> None:
        self._send_uncommitted(self._playback.end(handle.id, self._clock.now()))
        self._handles.pop(handle.id, None)

    def _agent_item(self, item: llm.ChatMessage) -> None:
        speech = self._session.current_speech
        segments = [] if speech is None else self._playback.take(speech.id)
        segments = segments or self._playback.take()
        self._send_agent(segments, item)
        self._measured(AGENT, item)

    def _send_uncommitted(self, segments: Sequence[Segment]) -> None:
        if heard_span(segments) is not None:
            self._send_agent(segments, None)

    def _send_agent(self, segments: Sequence[Segment], item: llm.ChatMessage | None) -> None:
        span = heard_span(segments)
        metadata = {} if item is not None else {"uncommitted": "true"}
        if span is None:
            now = self._clock.now()
            started_at, ended_at = (now, now) if item is None else self._times(item)
            ended_at = now if ended_at is None else ended_at
            span = (ended_at if started_at is None else min(started_at, ended_at), ended_at)
            metadata["times"] = "estimated"
        if item is not None:
            text = item.text_content or ""
        else:
            text = " ".join(segment.transcript.strip() for segment in segments if segment.transcript)
        self._delivery.turn(
            Draft(
                turn_id=uuid.uuid4().hex,
                who=AGENT,
                role="agent",
                text=text,
                started_at=span[0],
                ended_at=span[1],
                sound=Played(segments) if self._keep_audio else None,
                interrupted=self._interrupted(segments),
                metadata=metadata,
            )
        )

    def _interrupted(self, segments: Sequence[Segment]) -> bool:
        """By the handle: an item says so also when its TTS failed."""
        ids = {segment.speech_id for segment in segments}
        current = self._session.current_speech
        handles = [self._handles[one] for one in ids if one in self._handles] or ([] if current is None else [current])
        if handles:
            return any(handle.interrupted for handle in handles)
        return any(segment.interrupted for segment in segments)

    def _install(self) -> None:
        """Put the tap in front of the outputs, unless it is there, or it would be in the middle of a speech."""
        self._install_input()
        output = self._session.output.audio
        if self._tap is not None and is_in(self._tap, output):
            return
        if output is None:
            if self._tap is None and self.started:
                self._notices.warn(
                    "livekit_no_output", detail="the session plays no audio; agent turns have times alone"
                )
            return
        if self._session.agent_state == "speaking":
            return
        if self._tap is not None:
            self._notices.warn("livekit_output_replaced", detail="tapped anew")
        self._tap = Tap(output, self._playback, self._clock, self._guard, self._speech_id, keep=self._keep_audio)
        self._session.output.audio = self._tap

    def _install_input(self) -> None:
        source = self._session.input.audio
        if not self._room.exists and source is not None and not isinstance(source, InputTap):
            tap = InputTap(source, self._clock, self._guard)
            self._room.voice(USER).ears = [tap]
            self._session.input.audio = tap

    def _speech_id(self) -> str | None:
        speech = self._session.current_speech
        return None if speech is None else speech.id

    # --- both

    def _item(self, event: voice.ConversationItemAddedEvent) -> None:
        item = event.item
        if isinstance(item, llm.ChatMessage):
            if item.role == "user":
                self._user_item(item)
            elif item.role == "assistant":
                self._agent_item(item)
        elif isinstance(item, llm.AgentHandoff) and item.old_agent_id is not None:
            self._delivery.event("system", self._clock.now(), AGENT, what="agent_handoff", to=item.new_agent_id)

    def _times(self, item: llm.ChatMessage) -> tuple[float | None, float | None]:
        started_at, ended_at = item.metrics.get("started_speaking_at"), item.metrics.get("stopped_speaking_at")
        return (
            None if started_at is None else self._clock.of_wall(started_at),
            None if ended_at is None else self._clock.of_wall(ended_at),
        )

    def _measured(self, who: str, item: llm.ChatMessage) -> None:
        data: dict[str, Value] = {}
        for name, sent_as in LATENCIES.items():
            seconds = item.metrics.get(name)
            if isinstance(seconds, int | float):
                data[sent_as] = round(1000 * seconds, 1)
        tokens_a_second = item.metrics.get(TOKENS_A_SECOND)
        if isinstance(tokens_a_second, int | float):
            data["llm_tokens_per_s"] = round(tokens_a_second, 1)
        if data:
            self._delivery.event("metrics", self._clock.now(), who, **data)

    # --- the rest

    def _tools(self, event: voice.FunctionToolsExecutedEvent) -> None:
        # Names alone: arguments and results hold what callers said.
        for call, output in event.zipped():
            self._delivery.event(
                "tool_call",
                self._clock.of_wall(call.created_at),
                AGENT,
                name=call.name,
                failed=output.is_error,
                outcome="failed" if output.is_error else "completed",
                duration_ms=round(1000 * max(output.created_at - call.created_at, 0.0), 1),
                tool_call_id=call.call_id,
            )

    def _used(self, event: voice.SessionUsageUpdatedEvent) -> None:
        self._usage = event

    def _false_interruption(self, event: voice.AgentFalseInterruptionEvent) -> None:
        at = self._clock.of_wall(event.created_at)
        self._delivery.event("system", at, AGENT, what="false_interruption", resumed=event.resumed)

    def _error(self, event: voice.ErrorEvent) -> None:
        # Its kind alone: messages may hold what was said.
        cause = getattr(event.error, "error", event.error)
        self._delivery.event(
            "error",
            self._clock.of_wall(event.created_at),
            AGENT,
            kind=str(getattr(event.error, "type", type(event.error).__name__)),
            error=type(cause).__name__,
            recoverable=bool(getattr(event.error, "recoverable", False)),
        )
