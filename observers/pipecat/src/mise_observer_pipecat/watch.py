"""One worker's call, from Pipecat's frames: who speaks when, what of it is heard, and what else happens."""

from __future__ import annotations

from pipecat.frames.frames import (
    AggregatedTextFrame,
    BotConnectedFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    CancelFrame,
    ClientConnectedFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    MetricsFrame,
    OutputAudioRawFrame,
    SpeechOutputAudioRawFrame,
    StopFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSStoppedFrame,
    TTSTextFrame,
    UserBackchannelFrame,
    UserMuteStartedFrame,
    UserMuteStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import FramePushed
from pipecat.pipeline.pipeline import PipelineSource
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport

from mise_observer.clock import Clock
from mise_observer.notices import Notices
from mise_observer.recording import mono
from mise_observer_pipecat import call_events
from mise_observer_pipecat.agent import AgentTurns
from mise_observer_pipecat.delivery import Delivery
from mise_observer_pipecat.room import Room
from mise_observer_pipecat.said import Said
from mise_observer_pipecat.users import UserTurns

AGENT = "agent"
USER = "user"

SPEECH = (
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    InterruptionFrame,
)
"""Sent both ways, as two frames, of which not all know of each other (`broadcast_sibling_id`)."""


class Watch:
    """Told of every frame when it is pushed first; hands what it makes of them to `delivery`."""

    def __init__(self, delivery: Delivery, clock: Clock, notices: Notices) -> None:
        self._delivery = delivery
        self._clock = clock
        self._room = Room(clock, notices)
        self._users = UserTurns(self._room.delay_s)
        self._agents: dict[str | None, AgentTurns] = {}
        self._calls = call_events.FunctionCalls()
        self._ending = "unknown"
        self._clocks_apart: float | None = None

    def started(self) -> None:
        """The pipeline runs."""
        self._delivery.event("room_started", self._clock.now(), {"source": "pipecat"})

    def ended(self) -> None:
        """The worker is done: what is being said is cut off, and there is nothing more."""
        now = self._clock.now()
        self._room.close()
        self._send(self._users.close(now))
        for agent in self._agents.values():
            self._send(agent.close(now))
        for began, call in self._calls.unsettled(now):
            self._delivery.event("tool_call", began, call, participant=AGENT)
        self._delivery.event("call_ended", now, reason=self._ending)

    def observe(self, data: FramePushed) -> None:
        """Take a frame in."""
        frame, downstream = data.frame, data.direction == FrameDirection.DOWNSTREAM
        at = self._moment(data)
        if isinstance(frame, InputAudioRawFrame):
            self._hear(data, frame, at)
        elif isinstance(frame, OutputAudioRawFrame):
            self._play(data, frame, at)
        elif isinstance(frame, SPEECH):
            if downstream:
                self._mark(frame, at)
        elif downstream or frame.broadcast_sibling_id is None:
            self._note_text(frame, at)
            self._note_event(data, frame, at)
        self._send(self._users.settled(at))
        for agent in self._agents.values():
            self._send(agent.settled(at))

    def _moment(self, data: FramePushed) -> float:
        """When the frame was pushed. It waits in a queue since, so the time now is later."""
        now = self._clock.now()
        if self._clocks_apart is None:
            self._clocks_apart = now - data.source.get_clock().get_time() / 1e9
        pushed = data.timestamp / 1e9 + self._clocks_apart
        return pushed if data.timestamp and pushed <= now else now

    # --- speech

    def _mark(self, frame: Frame, at: float) -> None:
        if isinstance(frame, VADUserStartedSpeakingFrame):
            self._users.speech_started(at, frame.start_secs)
        elif isinstance(frame, VADUserStoppedSpeakingFrame):
            self._users.speech_stopped(at, frame.stop_secs)
        elif isinstance(frame, UserStartedSpeakingFrame):
            self._users.turn_started(at)
        elif isinstance(frame, UserStoppedSpeakingFrame):
            self._users.turn_stopped(at)
        elif isinstance(frame, BotStartedSpeakingFrame):
            self._send(self._agent(frame).started(at))
        elif isinstance(frame, BotStoppedSpeakingFrame):
            self._agent(frame).stopped(at)
        else:
            for agent in self._agents.values():
                agent.interrupted(at)

    def _hear(self, data: FramePushed, frame: InputAudioRawFrame, at: float) -> None:
        # What a processor makes of the audio comes as frames of its own, beside those of the transport.
        if frame.audio and isinstance(data.source, BaseInputTransport | PipelineSource):
            self._room.watch(data.source)
            user_id = getattr(frame, "user_id", "") or ""
            self._users.audio(user_id, mono(frame.audio, frame.num_channels), frame.sample_rate, at)

    def _play(self, data: FramePushed, frame: OutputAudioRawFrame, at: float) -> None:
        agent = self._agent(frame)
        if not isinstance(data.source, BaseOutputTransport):
            if isinstance(frame, TTSAudioRawFrame):
                agent.script.synthesized(frame.context_id, frame.num_frames / frame.sample_rate)
        elif frame.audio:
            speech = isinstance(frame, TTSAudioRawFrame | SpeechOutputAudioRawFrame)
            agent.played(mono(frame.audio, frame.num_channels), frame.sample_rate, at, speech=speech)

    def _agent(self, frame: Frame) -> AgentTurns:
        """By the transport's destination, of which there is one, unless a pipeline says otherwise."""
        agent = self._agents.get(frame.transport_destination)
        if agent is None:
            number = len(self._agents) + 1
            agent = AgentTurns(AGENT if number == 1 else f"{AGENT}-{number}")
            self._agents[frame.transport_destination] = agent
        return agent

    # --- text and everything else

    def _note_text(self, frame: Frame, at: float) -> None:
        if isinstance(frame, TranscriptionFrame):
            language = None if frame.language is None else str(frame.language)
            self._users.transcribed(frame.user_id, frame.text, at, language)
        elif isinstance(frame, UserMuteStartedFrame | UserMuteStoppedFrame):
            self._users.muted = isinstance(frame, UserMuteStartedFrame)
        elif isinstance(frame, UserBackchannelFrame):
            self._users.transcribed(frame.user_id, frame.text, at)
        elif isinstance(frame, TTSTextFrame):
            played_at = None if not frame.pts else frame.pts / 1e9 + (self._clocks_apart or 0.0)
            self._agent(frame).script.spoken(
                frame.context_id, frame.text, spaced=frame.includes_inter_frame_spaces, at=played_at
            )
        elif isinstance(frame, AggregatedTextFrame):
            if frame.will_be_spoken:
                self._agent(frame).script.announced(frame.context_id, frame.text, lasting=not frame.interruptible)
        elif isinstance(frame, TTSStoppedFrame):
            self._agent(frame).script.context_over(frame.context_id)
        elif isinstance(frame, LLMFullResponseStartFrame):
            self._agent(frame).script.answer_begins()
        elif isinstance(frame, LLMTextFrame) and not frame.skip_tts:
            self._agent(frame).script.answer(frame.text)

    def _note_event(self, data: FramePushed, frame: Frame, at: float) -> None:
        if isinstance(frame, MetricsFrame):
            for figures in call_events.metrics(frame, data.source):
                self._delivery.event("metrics", at, figures, participant=AGENT)
        elif isinstance(frame, FunctionCallInProgressFrame):
            self._calls.began(frame, at)
        elif isinstance(frame, FunctionCallResultFrame | FunctionCallCancelFrame):
            settled = self._calls.settled(frame, at)
            if settled is not None:
                self._delivery.event("tool_call", *settled, participant=AGENT)
        elif isinstance(frame, ErrorFrame):
            self._delivery.event("error", at, call_events.error(frame), participant=AGENT)
        elif isinstance(frame, ClientConnectedFrame):
            self._delivery.event("participant_joined", at, {"role": "user"}, participant=USER)
        elif isinstance(frame, BotConnectedFrame):
            self._delivery.event("participant_joined", at, {"role": "agent"}, participant=AGENT)
        elif isinstance(frame, EndFrame | CancelFrame | StopFrame):
            # What was said before is still being played: the call ends when the worker does.
            self._ending = call_events.ending(frame)

    def _send(self, turns: list[Said]) -> None:
        for said in turns:
            self._delivery.turn(said)
