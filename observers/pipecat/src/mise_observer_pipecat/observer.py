"""The observer: from Pipecat's frames to turns and call events."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from pipecat.frames.frames import (
    AggregatedTextFrame,
    AudioRawFrame,
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
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import PipelineSource
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.frame_processor import FrameDirection
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.utils.asyncio.task_manager import BaseTaskManager

from mise_observer import Limits, Sender, Stats
from mise_observer.notices import Notices
from mise_observer_pipecat import call_events
from mise_observer_pipecat.agent import AgentTurns
from mise_observer_pipecat.clock import CallClock
from mise_observer_pipecat.outgoing import Outgoing, Redact
from mise_observer_pipecat.recording import Samples
from mise_observer_pipecat.said import Said
from mise_observer_pipecat.users import UserTurns

FLUSH_WITHIN_S = 5.0

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

_observed: WeakKeyDictionary[PipelineWorker, set[tuple[str, str]]] = WeakKeyDictionary()
"""Which workers are observed for which gateway and key."""


class MiseObserver(BaseObserver):
    """Sends the turns and call events of one worker to the Mise Voice gateway at `url`, with an ingest `key`.

        worker = PipelineWorker(pipeline, observers=[MiseObserver(url, key, call_id=call_id)])

    call_id : groups what is sent; made when it is not given (`observer.call_id`). One observer for each worker.
    audio, text : whether they are sent at all; times are found in the audio either way.
    redact : applied to every text before it is sent; of a turn whose text it fails on an empty text is sent. It runs on
    the event loop, so it must be quick.
    flush_within_s : how long the end of the worker may wait for what is not sent yet.
    spool, limits : as of `mise_observer.Sender`.
    Raises ValueError for a url or a key that can't be one, here and nowhere later.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        call_id: str | None = None,
        audio: bool = True,
        text: bool = True,
        redact: Redact | None = None,
        flush_within_s: float = FLUSH_WITHIN_S,
        spool: Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(observe_every_push=False)
        self.call_id = call_id or uuid.uuid4().hex
        self._installation = (url, key)
        self._flush_within_s = flush_within_s
        self._notices = Notices()
        self._sender = Sender(url, key, spool=spool, limits=limits)
        self._clock = CallClock()
        self._outgoing = Outgoing(
            self._sender, self.call_id, self._clock, self._notices, audio=audio, text=text, redact=redact
        )
        self._users = UserTurns()
        self._agents: dict[str | None, AgentTurns] = {}
        self._calls = call_events.FunctionCalls()
        self._ending: tuple[str, str] = ("", "")
        self._clocks_apart: float | None = None
        self._worker: PipelineWorker | None = None
        self._idle = False
        self._started = False
        self._closed = False

    @property
    def stats(self) -> Stats:
        """What became of what was sent."""
        return self._sender.stats

    # --- what Pipecat calls

    async def setup(self, task_manager: BaseTaskManager) -> None:
        await super().setup(task_manager)
        self._guarded(self._sender.start)

    async def on_pipeline_started(self) -> None:
        self._guarded(self._start)

    async def on_push_frame(self, data: FramePushed) -> None:
        try:
            self._observe(data)
        except Exception:
            self._notices.warn("observer_failed", type(data.frame).__name__, frame=type(data.frame).__name__)

    async def cleanup(self) -> None:
        await super().cleanup()  # type: ignore[no-untyped-call]
        self._guarded(self._close)
        try:
            await self._sender.aclose(self._flush_within_s)
        except Exception:
            self._notices.warn("observer_failed", "flush")

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            self._notices.warn("observer_failed", step.__name__)

    # --- the call

    def _start(self) -> None:
        if not self._idle:
            self._started = True
            self._outgoing.event("room_started", self._clock.now(), {"platform": "pipecat"})

    def _close(self) -> None:
        if self._idle or self._closed:
            return
        self._closed = True
        if self._worker is not None:
            _observed[self._worker].discard(self._installation)
        now = self._clock.now()
        self._send(self._users.close(now))
        for agent in self._agents.values():
            self._send(agent.close(now))
        for began, call in self._calls.unsettled(now):
            self._outgoing.event("tool_call", began, call)
        how, reason = self._ending
        if self._started:
            reason = self._outgoing.text(reason)
            self._outgoing.event("call_ended", now, {"how": how or "unknown"} | ({"reason": reason} if reason else {}))

    def _observe(self, data: FramePushed) -> None:
        if self._idle or self._closed or not data.first_push or not self._is_ours(data):
            return
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
            self._note_event(frame, at)
        self._send(self._users.settled(at))
        for agent in self._agents.values():
            self._send(agent.settled(at))

    def _is_ours(self, data: FramePushed) -> bool:
        """Whether no other observer sends what this one would."""
        if self._worker is None:
            self._worker = data.source.pipeline_worker
            observed = _observed.setdefault(self._worker, set())
            self._idle = self._installation in observed
            observed.add(self._installation)
            if self._idle:
                self._notices.warn("worker_observed_twice", does="nothing; the other one sends everything")
        return not self._idle

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
            user_id = getattr(frame, "user_id", "") or ""
            if not self._users.audio(user_id, _one_channel(frame), frame.sample_rate, at):
                self._notices.warn("audio_not_kept", "user", why="a turn has more than fits")

    def _play(self, data: FramePushed, frame: OutputAudioRawFrame, at: float) -> None:
        agent = self._agent(frame)
        if not isinstance(data.source, BaseOutputTransport):
            if isinstance(frame, TTSAudioRawFrame):
                agent.script.synthesized(frame.context_id, frame.num_frames / frame.sample_rate)
        elif frame.audio:
            speech = isinstance(frame, TTSAudioRawFrame | SpeechOutputAudioRawFrame)
            if not agent.played(_one_channel(frame), frame.sample_rate, at, speech=speech):
                self._notices.warn("audio_not_kept", "agent", why="a turn has more than fits")

    def _agent(self, frame: Frame) -> AgentTurns:
        """By the transport's destination, of which there is one, unless a pipeline says otherwise."""
        agent = self._agents.get(frame.transport_destination)
        if agent is None:
            number = len(self._agents) + 1
            agent = AgentTurns("agent" if number == 1 else f"agent-{number}")
            self._agents[frame.transport_destination] = agent
        return agent

    # --- text and everything else

    def _note_text(self, frame: Frame, at: float) -> None:
        if isinstance(frame, TranscriptionFrame):
            language = None if frame.language is None else str(frame.language)
            self._users.transcribed(frame.user_id, frame.text, at, language)
        elif isinstance(frame, UserBackchannelFrame):
            self._users.transcribed(frame.user_id, frame.text, at)
        elif isinstance(frame, TTSTextFrame):
            played_at = None if not frame.pts else frame.pts / 1e9 + (self._clocks_apart or 0.0)
            self._agent(frame).script.spoken(
                frame.context_id, frame.text, spaced=frame.includes_inter_frame_spaces, at=played_at
            )
        elif isinstance(frame, AggregatedTextFrame):
            if frame.will_be_spoken:
                self._agent(frame).script.announced(frame.context_id, frame.text)
        elif isinstance(frame, TTSStoppedFrame):
            self._agent(frame).script.context_over(frame.context_id)
        elif isinstance(frame, LLMFullResponseStartFrame):
            self._agent(frame).script.answer_begins()
        elif isinstance(frame, LLMTextFrame) and not frame.skip_tts:
            self._agent(frame).script.answer(frame.text)

    def _note_event(self, frame: Frame, at: float) -> None:
        if isinstance(frame, MetricsFrame):
            for figures in call_events.metrics(frame):
                self._outgoing.event("metrics", at, figures)
        elif isinstance(frame, FunctionCallInProgressFrame):
            self._calls.began(frame, at)
        elif isinstance(frame, FunctionCallResultFrame | FunctionCallCancelFrame):
            settled = self._calls.settled(frame, at)
            if settled is not None:
                self._outgoing.event("tool_call", *settled)
        elif isinstance(frame, ErrorFrame):
            self._outgoing.event("error", at, call_events.error(frame))
        elif isinstance(frame, ClientConnectedFrame):
            self._outgoing.event("participant_joined", at, participant="user")
        elif isinstance(frame, BotConnectedFrame):
            self._outgoing.event("participant_joined", at, participant="agent")
        elif isinstance(frame, EndFrame | CancelFrame | StopFrame):
            # What was said before is still being played: the call ends when the worker does.
            self._ending = call_events.ending(frame)

    def _send(self, turns: list[Said]) -> None:
        for said in turns:
            self._outgoing.turn(said)


def _one_channel(frame: AudioRawFrame) -> Samples:
    """The samples, of several channels their mean."""
    whole = len(frame.audio) // (2 * frame.num_channels) * 2 * frame.num_channels
    samples = np.frombuffer(frame.audio[:whole], np.int16)
    if frame.num_channels == 1:
        return samples
    mixed: Samples = samples.reshape(-1, frame.num_channels).mean(axis=1).astype(np.int16)
    return mixed
