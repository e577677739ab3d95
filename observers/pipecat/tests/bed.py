"""A call on the real framework, without a network: real transports' base classes, voice activity and turn detection.

The user speaks real speech (`deploy/example`), listens to what the agent's output plays, and acts on it. What was
really spoken and played is noted beside: the truth that the observer is held against. Times are seconds of
`time.monotonic()`.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    EndFrame,
    Frame,
    FunctionCallFromLLM,
    InputAudioRawFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMRunFrame,
    LLMTextFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
)
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.turns.user_mute.base_user_mute_strategy import BaseUserMuteStrategy
from pipecat.turns.user_start.min_words_user_turn_start_strategy import MinWordsUserTurnStartStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from mise_observer.voiced import voiced

EXAMPLE = Path(__file__).parents[3] / "deploy" / "example"
RATE = 16_000
FRAME = 320
"""20 ms."""
TOOL = "look_up"
USER_ID = "+1 555 0100 200"

APART_S = 0.5
"""Between two turns of the agent's; a shorter silence is a busy machine."""

BUFFER_S = 0.2
"""Of the loudspeaker: samples that come later than that leave a silence."""

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Clip:
    text: str
    samples: Samples

    @property
    def bounds(self) -> tuple[float, float]:
        """Where in it somebody speaks, seconds."""
        found = voiced(self.samples, RATE)
        assert found is not None
        return found

    @property
    def words(self) -> list[tuple[str, float]]:
        """With the seconds at which they are said, as if all were of one length."""
        words = self.text.split()
        return [(word, k * len(self.samples) / RATE / len(words)) for k, word in enumerate(words)]


@cache
def clip(number: int) -> Clip:
    """A turn of the example call; from 1."""
    row = json.loads((EXAMPLE / "call.json").read_text())["turns"][number - 1]
    samples, rate = soundfile.read(EXAMPLE / "audio" / row["audio"], dtype="int16")
    assert rate == RATE
    return Clip(row["text"], samples)


def backchannel() -> Clip:
    """Two words, and the pause after them."""
    return Clip("But thou.", clip(6).samples[: round(0.86 * RATE)])


@dataclass
class Spoken:
    """What the user said: the clip, and when its first sample was at the microphone."""

    clip: Clip
    began_at: float

    @property
    def started_at(self) -> float:
        return self.began_at + self.clip.bounds[0]

    @property
    def ended_at(self) -> float:
        return self.began_at + self.clip.bounds[1]


@dataclass
class Played:
    """What the output played in a turn."""

    started_at: float
    ended_at: float
    samples: list[Samples] = field(default_factory=list)


@dataclass
class World:
    """Both ends of the line, outside the pipeline."""

    spoken: list[Spoken] = field(default_factory=list)
    played: list[Played] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    clock: float = 0.0
    """Until when the microphone has heard."""
    muted: bool = False
    """The track sends no frames."""
    hung_up_at: float = 0.0
    """When the agent's side of the line was told to close."""
    _speech: Samples = field(default_factory=lambda: np.zeros(0, np.int16))
    _noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    async def say(self, what: Clip) -> None:
        """Say it, from the next frame on. Returns when it was said."""
        self._speech = what.samples
        self.spoken.append(Spoken(what, self.clock))
        await self._until(lambda: not len(self._speech))

    async def silence(self, seconds: float) -> None:
        """Say nothing for so long."""
        until = self.clock + seconds
        await self._until(lambda: self.clock >= until)

    async def agent_has_spoken(self, turn: int, seconds: float) -> None:
        """Returns when the agent's turn (from 0) is so long."""

        def is_so_long() -> bool:
            return len(self.played) > turn and self.played[turn].ended_at - self.played[turn].started_at >= seconds

        await self._until(is_so_long)

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(holds), 30)

    async def microphone(self) -> Samples:
        """The next frame: speech, or the noise of a quiet room."""
        frame = self._noise.integers(-3, 4, FRAME, dtype=np.int16)
        speech, self._speech = self._speech[:FRAME], self._speech[FRAME:]
        frame[: len(speech)] = speech
        self.clock += FRAME / RATE
        await self._changed()
        return frame

    async def loudspeaker(self, samples: Samples, at: float) -> None:
        """The output plays samples from `at` on."""
        if not self.played or at - self.played[-1].ended_at > APART_S:
            self.played.append(Played(at, at))
        self.played[-1].samples.append(samples)
        self.played[-1].ended_at = at + len(samples) / RATE
        await self._changed()

    async def _changed(self) -> None:
        async with self.changed:
            self.changed.notify_all()


class Microphone(BaseInputTransport):
    """Pushes a frame every 20 ms, when it is complete."""

    def __init__(self, world: World, params: TransportParams) -> None:
        super().__init__(params)
        self._world = world
        self._capture: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._capture = self.create_task(self._run())

    async def cleanup(self) -> None:
        if self._capture is not None:
            await self.cancel_task(self._capture)
            self._capture = None
        await super().cleanup()  # type: ignore[no-untyped-call]

    async def _run(self) -> None:
        self._world.clock = time.monotonic()
        while True:
            samples = await self._world.microphone()
            await asyncio.sleep(self._world.clock - time.monotonic())
            if not self._world.muted:
                await self.push_audio_frame(InputAudioRawFrame(samples.tobytes(), RATE, 1))


class Loudspeaker(BaseOutputTransport):
    """Plays in real time: a write returns when it was played."""

    def __init__(self, world: World, params: TransportParams) -> None:
        super().__init__(params)
        self._world = world
        self._free_at = 0.0

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def stop(self, frame: EndFrame) -> None:
        await super().stop(frame)
        self._world.hung_up_at = time.monotonic()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = time.monotonic()
        begins = self._free_at if now - self._free_at < BUFFER_S else now
        samples = np.frombuffer(frame.audio, np.int16)
        self._free_at = begins + len(samples) / RATE
        await self._world.loudspeaker(samples, begins)
        await asyncio.sleep(self._free_at - now)
        return True


class Ears(SegmentedSTTService):
    """Knows what was said."""

    def __init__(self, world: World) -> None:
        super().__init__(settings=STTSettings(model="ears", language=None))
        self._world = world
        self._written = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        await asyncio.sleep(0.05)
        texts = [spoken.clip.text for spoken in self._world.spoken[self._written :]]
        self._written = len(self._world.spoken)
        if texts:
            yield TranscriptionFrame(" ".join(texts), USER_ID, "", finalized=True)


class Mind(LLMService):
    """Answers one after another; looks something up before the second answer."""

    def __init__(self, answers: list[str]) -> None:
        super().__init__(
            settings=LLMSettings(
                model="mind",
                system_instruction=None,
                temperature=None,
                max_tokens=None,
                top_p=None,
                top_k=None,
                frequency_penalty=None,
                presence_penalty=None,
                seed=None,
                filter_incomplete_user_turns=None,
                user_turn_completion_config=None,
            )
        )
        self._answers = answers
        self._given = 0
        self._looked_up = False

    def can_generate_metrics(self) -> bool:
        return True

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
        elif self._given == 1 and not self._looked_up:
            self._looked_up = True
            await self.run_function_calls([FunctionCallFromLLM(TOOL, "call-1", {"name": "John"}, frame.context)])
        elif self._given < len(self._answers):
            await self.start_ttfb_metrics()
            await self.push_frame(LLMFullResponseStartFrame())
            self._given += 1
            await asyncio.sleep(0.02)  # as if it thought: 0 ms would be no figure
            for word in self._answers[self._given - 1].split():
                await self.stop_ttfb_metrics()
                await self.push_frame(LLMTextFrame(f"{word} "))
            await self.push_frame(LLMFullResponseEndFrame())


class Voice(TTSService):
    """Reads a sentence with the voice of the recording.

    words : says of each word when it is spoken, instead of the text of a sentence after its sound.
    """

    def __init__(self, clips: list[Clip], *, words: bool) -> None:
        super().__init__(
            push_start_frame=True,
            push_stop_frames=True,
            push_text_frames=not words,
            settings=TTSSettings(model="voice", voice="a reader", language=None),
        )
        self._clips = {spoken.text: spoken for spoken in clips}
        self._words = words
        self._read_s: dict[str, float] = {}

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        spoken = self._clips[text.strip()]
        begins_s = self._read_s.get(context_id, 0.0)
        self._read_s[context_id] = begins_s + len(spoken.samples) / RATE
        for first in range(0, len(spoken.samples), 1600):
            yield TTSAudioRawFrame(spoken.samples[first : first + 1600].tobytes(), RATE, 1, context_id=context_id)
        if self._words:
            times = [(word, begins_s + at) for word, at in spoken.words]
            await self.add_word_timestamps(times, context_id)


@dataclass
class Call:
    """A call that can be run, and what is in it."""

    world: World
    worker: PipelineWorker

    async def run(self, user: Callable[[Call], Awaitable[None]]) -> None:
        """Until the pipeline has ended. user : what the user does."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.worker)

        async def act() -> None:
            try:
                await user(self)
            except BaseException:
                await self.worker.cancel(reason="the user's script failed")
                raise

        acting: list[asyncio.Task[None]] = []

        async def begin(*_: Any) -> None:
            acting.append(asyncio.create_task(act()))

        self.worker.add_event_handler("on_pipeline_started", begin)
        await runner.run()
        for task in acting:
            await task


def observed_by(observers: list[BaseObserver]) -> Callable[[Pipeline], PipelineWorker]:
    """A worker with these observers, and with metrics."""
    return lambda pipeline: PipelineWorker(pipeline, params=PipelineParams(enable_metrics=True), observers=observers)


def call(
    observed: Callable[[Pipeline], PipelineWorker],
    agent: list[list[Clip]],
    *,
    greets: bool = True,
    words: bool = False,
    mutes: Sequence[BaseUserMuteStrategy] = (),
) -> Call:
    """A call with an agent that says these turns, of one sentence or several; the first one unasked if it greets."""
    world = World()
    mind = Mind([" ".join(sentence.text for sentence in turn) for turn in agent])

    async def look_up(params: FunctionCallParams) -> None:
        await params.result_callback({"found": "Mister John Dashwood"})

    mind.register_function(TOOL, look_up)
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(sample_rate=RATE),
            user_mute_strategies=list(mutes),
            user_turn_strategies=UserTurnStrategies(start=[MinWordsUserTurnStartStrategy(min_words=3)]),
        ),
    )
    params = TransportParams(
        audio_in_enabled=True,
        audio_out_enabled=True,
        audio_out_sample_rate=RATE,
        audio_out_10ms_chunks=2,
        audio_out_end_silence_secs=0,
    )
    pipeline = Pipeline(
        [
            Microphone(world, params),
            Ears(world),
            aggregators.user(),
            mind,
            Voice([sentence for turn in agent for sentence in turn], words=words),
            Loudspeaker(world, params),
            aggregators.assistant(),
        ]
    )
    worker = observed(pipeline)

    async def greet(*_: Any) -> None:
        await worker.queue_frame(LLMRunFrame())

    if greets:
        worker.add_event_handler("on_pipeline_started", greet)
    return Call(world, worker)
