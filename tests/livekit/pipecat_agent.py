"""A scripted Pipecat agent in a LiveKit room, and a record of what it did; ends when the caller leaves.

    python -m tests.livekit.pipecat_agent SCRIPT

Reads LIVEKIT_URL, LIVEKIT_TOKEN, and LIVEKIT_API_KEY and LIVEKIT_API_SECRET for the room's SID. Into the script's
folder it writes `events.jsonl` (what Pipecat says of who speaks, when) and in the end `sent.npz` (its track as it was
sent).
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
import wave
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from livekit import rtc
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    EndFrame,
    Frame,
    FunctionCallFromLLM,
    InterimTranscriptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    LLMTextFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import FunctionCallParams, LLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TextAggregationMode, TTSService
from pipecat.transports.livekit.transport import LiveKitParams, LiveKitTransport
from pipecat.turns.user_start.min_words_user_turn_start_strategy import MinWordsUserTurnStartStrategy
from pipecat.turns.user_stop.speech_timeout_user_turn_stop_strategy import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.workers.runner import WorkerRunner

from mise_observer_pipecat import MiseObserver
from tests.livekit.recording import Recorder

PAGE = Path("docs/integrations/pipecat.md")

RATE = 16_000
VOICE_RATE = 24_000
"""Both of `tests.livekit.conversation`, which the agent's interpreter can't import."""
SENT_RATE = 24_000
FRAME_MS = 10
CHUNK = VOICE_RATE // 10

LOUD_RMS = 150.0
"""Of int16, over a frame: between the noise of the line and soft speech."""
QUIET_S = 0.4
"""Longer than the pauses inside the recordings, shorter than what ends a turn."""
WORD_S = 0.25

TOOL = "look_up"

MARKS = {
    VADUserStartedSpeakingFrame: "voice_started",
    VADUserStoppedSpeakingFrame: "voice_stopped",
    BotStartedSpeakingFrame: "bot_started",
    BotStoppedSpeakingFrame: "bot_stopped",
}


class Ears(STTService):
    """Recognises what the script says, in order: word by word while it hears speech, all of it once it is quiet."""

    def __init__(self, hears: Sequence[str]) -> None:
        super().__init__(settings=STTSettings(model="ears", language=None))
        self._left = list(hears)
        self._words: list[str] = []
        self._spoken_s = self._quiet_s = 0.0
        self._told = 0

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame | None, None]:
        samples = np.frombuffer(audio, np.int16).astype(np.float32)
        loud = float(np.sqrt(np.mean(samples**2))) > LOUD_RMS
        if not self._words and loud:
            self._words = (self._left.pop(0) if self._left else "and so on").split()
            self._spoken_s, self._told = 0.0, 0
        if not self._words:
            return
        self._spoken_s += len(samples) / RATE
        self._quiet_s = 0.0 if loud else self._quiet_s + len(samples) / RATE
        known = min(len(self._words), 1 + int(self._spoken_s / WORD_S))
        if self._quiet_s >= QUIET_S:
            text, self._words = " ".join(self._words), []
            yield TranscriptionFrame(text, self._user_id, "", finalized=True)
        elif known > self._told and loud:
            self._told = known
            yield InterimTranscriptionFrame(" ".join(self._words[:known]), self._user_id, "")


class Mind(LLMService):
    """Answers one after another; looks something up before the first answer."""

    def __init__(self, replies: Sequence[str]) -> None:
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
        self._left = list(replies)
        self._looked_up = False
        self.register_function(TOOL, self._look_up)

    def can_generate_metrics(self) -> bool:
        return True

    async def _look_up(self, params: FunctionCallParams) -> None:
        await params.result_callback({"found": params.arguments["name"]})

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
        elif not self._looked_up:
            self._looked_up = True
            await self.run_function_calls([FunctionCallFromLLM(TOOL, "call-1", {"name": "John"}, frame.context)])
        elif self._left:
            await self.start_ttfb_metrics()
            await self.push_frame(LLMFullResponseStartFrame())
            await asyncio.sleep(0.02)  # as if it thought: 0 ms would be no figure
            await self.stop_ttfb_metrics()
            await self.push_frame(LLMTextFrame(self._left.pop(0)))
            await self.push_frame(LLMFullResponseEndFrame())


class Voice(TTSService):
    """Plays the recording of a text."""

    def __init__(self, recordings: Mapping[str, str]) -> None:
        super().__init__(
            sample_rate=VOICE_RATE,
            push_start_frame=True,
            push_stop_frames=True,
            text_aggregation_mode=TextAggregationMode.TOKEN,  # a recording is of a whole answer
            settings=TTSSettings(model="voice", voice="a reader", language=None),
        )
        self._recordings = recordings

    def can_generate_metrics(self) -> bool:
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        with wave.open(self._recordings[text.strip()], "rb") as file:
            while chunk := file.readframes(CHUNK):
                yield TTSAudioRawFrame(chunk, VOICE_RATE, 1, context_id=context_id)


class Witness(BaseObserver):
    """Writes down what Pipecat says and what is sent; knows nothing of the other observer."""

    def __init__(self, folder: Path) -> None:
        super().__init__(observe_every_push=False)
        self._folder = folder
        self._events: TextIO = (folder / "events.jsonl").open("a", buffering=1)
        self._sent = Recorder(SENT_RATE)
        self._listening: asyncio.Task[None] | None = None

    async def on_push_frame(self, data: FramePushed) -> None:
        kind = MARKS.get(type(data.frame))
        if kind is not None and data.direction == FrameDirection.DOWNSTREAM:
            self.write(kind, at=getattr(data.frame, "timestamp", time.time()))

    def write(self, kind: str, **values: object) -> None:
        print(json.dumps({"kind": kind, "written_at": time.time(), **values}), file=self._events)

    def listen(self, room: rtc.Room) -> None:
        (publication,) = room.local_participant.track_publications.values()
        assert publication.track is not None
        self._listening = asyncio.create_task(self._record(publication.track))

    async def _record(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream.from_track(track=track, sample_rate=SENT_RATE, num_channels=1, frame_size_ms=FRAME_MS)
        async for event in stream:
            self._sent.add(np.frombuffer(event.frame.data, np.int16).copy(), time.time())

    def save(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
        self._sent.recording.save(self._folder / "sent.npz")
        self.write("saved")


def documented() -> Callable[[str], Awaitable[MiseObserver]]:
    """`observer_of`, as the page on Pipecat has it."""
    snippets: list[str] = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (snippet,) = [snippet for snippet in snippets if "def observer_of" in snippet]
    module: dict[str, Any] = {"__name__": "agent"}
    exec(compile(snippet, str(PAGE), "exec"), module)  # noqa: S102 - it is our own
    found: Callable[[str], Awaitable[MiseObserver]] = module["observer_of"]
    return found


async def converse(script: dict[str, Any]) -> None:
    """One call, until the caller has left."""
    room_name = Path(script["folder"]).name
    os.environ["MISE_VOICE_URL"] = script["observed"]["endpoint"]
    os.environ["MISE_VOICE_KEY"] = script["observed"]["api_key"]
    token = os.environ.pop("LIVEKIT_TOKEN")  # LiveKit's API would take it, instead of the key
    witness = Witness(Path(script["folder"]))
    transport = LiveKitTransport(
        os.environ["LIVEKIT_URL"],
        token,
        room_name,
        LiveKitParams(audio_in_enabled=True, audio_out_enabled=True),
    )
    aggregators = LLMContextAggregatorPair(
        LLMContext(),
        user_params=LLMUserAggregatorParams(
            vad_analyzer=SileroVADAnalyzer(sample_rate=RATE),
            user_turn_strategies=UserTurnStrategies(
                start=[MinWordsUserTurnStartStrategy(min_words=2)],
                stop=[SpeechTimeoutUserTurnStopStrategy()],
            ),
        ),
    )
    pipeline = Pipeline(
        [
            transport.input(),
            Ears(script["hears"]),
            aggregators.user(),
            Mind(script["replies"]),
            Voice(script["voice"]),
            transport.output(),
            aggregators.assistant(),
        ]
    )
    worker = PipelineWorker(
        pipeline,
        params=PipelineParams(enable_metrics=True, enable_usage_metrics=True),
        observers=[await documented()(room_name), witness],
    )

    async def connected(_: LiveKitTransport) -> None:
        witness.listen(transport._client.room)

    async def heard(_: LiveKitTransport, _participant: str) -> None:
        await worker.queue_frame(TTSSpeakFrame(script["greeting"]))

    async def left(_: LiveKitTransport, _participant: str) -> None:
        await worker.queue_frame(EndFrame(reason="the caller has left"))

    transport.add_event_handler("on_connected", connected)
    transport.add_event_handler("on_audio_track_subscribed", heard)
    transport.add_event_handler("on_participant_disconnected", left)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    await runner.run()
    witness.save()


if __name__ == "__main__":
    asyncio.run(converse(json.loads(Path(sys.argv[1]).read_text())))
    sys.stdout.flush()
    os._exit(0)  # the native library may panic in the interpreter's own exit
