"""An agent without a network: the framework's own base classes, with scripted STT, LLM and TTS; audio stays here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, llm, stt, tts, vad
from livekit.agents.types import NOT_GIVEN, NotGivenOr
from livekit.agents.voice import io
from numpy.typing import NDArray

RATE = 24_000
WORD_S = 0.1

Pcm = NDArray[np.int16]


def spoken(text: str, rate: int = RATE) -> Pcm:
    """Audio that tells one text from another: a tone whose pitch follows from the text, `WORD_S` a word."""
    n = round(WORD_S * len(text.split()) * rate)
    pitch = 200 + sum(text.encode()) % 300
    return np.asarray(8_000 * np.sin(2 * np.pi * pitch * np.arange(n) / rate), np.int16)


class Tts(tts.TTS[Any]):
    def __init__(self, sample_rate: int = RATE, *, fails: bool = False) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=False), sample_rate=sample_rate, num_channels=1)
        self.fails = fails

    def synthesize(self, text: str, *, conn_options: APIConnectOptions = APIConnectOptions(max_retry=0)) -> _Speech:  # noqa: B008
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        assert isinstance(self._tts, Tts)
        if self._tts.fails:
            raise APIConnectionError("the voice is away", retryable=False)
        output_emitter.initialize(
            request_id="speech", sample_rate=self._tts.sample_rate, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(spoken(self.input_text, self._tts.sample_rate).tobytes())
        output_emitter.flush()


class Llm(llm.LLM[Any]):
    """Answers the n-th user message with the n-th reply; a reply that is a call makes the agent call that tool."""

    def __init__(self, *replies: str | llm.FunctionToolCall) -> None:
        super().__init__()
        self.replies = replies

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = APIConnectOptions(max_retry=0),  # noqa: B008
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        response_format: Any = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> _Reply:
        return _Reply(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class _Reply(llm.LLMStream):
    async def _run(self) -> None:
        assert isinstance(self._llm, Llm)
        asked = sum(item.type == "message" and item.role == "user" for item in self._chat_ctx.items)
        answered = any(item.type == "function_call_output" for item in self._chat_ctx.items)
        replies = [one for one in self._llm.replies if isinstance(one, str) or not answered]
        reply = replies[min(max(asked, 1), len(replies)) - 1]
        delta = (
            llm.ChoiceDelta(role="assistant", content=reply)
            if isinstance(reply, str)
            else llm.ChoiceDelta(role="assistant", tool_calls=[reply])
        )
        self._event_ch.send_nowait(llm.ChatChunk(id="chunk", delta=delta))


class Speaker(io.AudioOutput):
    """Plays in real time to nobody, and reports as LiveKit's room output does.

    played : what was heard. given : set once it has a whole speech to play.
    """

    def __init__(self, *, reports_runs: bool = True) -> None:
        super().__init__(label="speaker", capabilities=io.AudioOutputCapabilities(pause=False), sample_rate=None)
        self.played: list[Pcm] = []
        self.given = asyncio.Event()
        self._runs = reports_runs
        self._frames: list[Pcm] = []
        self._rate = RATE
        self._began: float | None = None
        self._dry_at = 0.0
        self._playing: asyncio.Task[None] | None = None
        self._cleared = asyncio.Event()

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        self._frames.append(np.frombuffer(bytes(frame.data), np.int16))
        self._rate = frame.sample_rate
        if self._began is None:
            self._began = time.monotonic()
            self._cleared.clear()
            self.on_playback_started(created_at=time.time())
        # Frames come faster than they are heard: it runs dry when the last of them has been.
        captured_s = sum(map(len, self._frames)) / self._rate
        self._dry_at = time.time() + captured_s - (time.monotonic() - self._began)

    def flush(self) -> None:
        super().flush()
        if self._frames:
            self.given.set()
            self._playing = asyncio.create_task(self._play(np.concatenate(self._frames)))
            self._frames = []

    def clear_buffer(self) -> None:
        self._cleared.set()

    async def _play(self, audio: Pcm) -> None:
        began = time.monotonic() if self._began is None else self._began
        self._began = None
        length = len(audio) / self._rate
        try:
            await asyncio.wait_for(self._cleared.wait(), max(began + length - time.monotonic(), 0.0))
        except asyncio.TimeoutError:
            heard, interrupted = length, False
        else:
            heard, interrupted = min(time.monotonic() - began, length), True
        self.played.append(audio[: round(heard * self._rate)])
        if self._runs:
            started_at = min(time.time(), self._dry_at) - heard
            self.on_playback_progressed(started_at=started_at, offset=0.0, duration=heard)
        self.on_playback_finished(playback_position=heard, interrupted=interrupted)


class Microphone(io.AudioInput):
    """Silence, unless somebody speaks into it."""

    def __init__(self, rate: int = RATE) -> None:
        super().__init__(label="microphone")
        self._rate = rate
        self._frames: asyncio.Queue[rtc.AudioFrame] = asyncio.Queue()

    async def hear(self, audio: Pcm) -> None:
        """In real time, as a device does."""
        length = self._rate // 50
        quiet = np.zeros(10 * length, np.int16)
        heard = np.concatenate([quiet, audio, quiet])
        began = time.monotonic()
        for start in range(0, len(heard), length):
            piece = heard[start : start + length]
            await asyncio.sleep(max(began + (start + len(piece)) / self._rate - time.monotonic(), 0.0))
            self.give(rtc.AudioFrame(piece.tobytes(), self._rate, 1, len(piece)))

    def give(self, frame: rtc.AudioFrame) -> None:
        self._frames.put_nowait(frame)

    async def __anext__(self) -> rtc.AudioFrame:
        return await self._frames.get()


class Stt(stt.STT[Any]):
    """Says what it is told to: `final(text)`."""

    def __init__(self) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=True))
        self._streams: list[_Transcripts] = []

    def final(self, text: str) -> None:
        data = stt.SpeechData(language="en", text=text)  # type: ignore[arg-type]  # it makes one of a str
        for stream in self._streams:
            stream.say(stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[data]))

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = APIConnectOptions(max_retry=0),  # noqa: B008
    ) -> _Transcripts:
        stream = _Transcripts(stt=self, conn_options=conn_options)
        self._streams.append(stream)
        return stream


class _Transcripts(stt.RecognizeStream):
    def say(self, event: stt.SpeechEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _run(self) -> None:
        async for _ in self._input_ch:
            pass


class Vad(vad.VAD):
    """Hears speech when it is told to: `starts()`, `stops()`."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=0.05))
        self._streams: list[_Detections] = []

    def starts(self) -> None:
        for stream in self._streams:
            # The second is what makes the session stop for it: speech, for long enough.
            stream.say(_detected(vad.VADEventType.START_OF_SPEECH, speech=0.0))
            stream.say(_detected(vad.VADEventType.INFERENCE_DONE, speech=1.0))

    def stops(self) -> None:
        for stream in self._streams:
            stream.say(_detected(vad.VADEventType.END_OF_SPEECH, speech=1.0))

    def stream(self) -> _Detections:
        stream = _Detections(self)
        self._streams.append(stream)
        return stream


class _Detections(vad.VADStream):
    def say(self, event: vad.VADEvent) -> None:
        self._event_ch.send_nowait(event)

    async def _main_task(self) -> None:
        async for _ in self._input_ch:
            pass


def _detected(kind: vad.VADEventType, *, speech: float, silence: float = 0.0) -> vad.VADEvent:
    return vad.VADEvent(
        type=kind,
        samples_index=0,
        timestamp=time.time(),
        speech_duration=speech,
        silence_duration=silence,
        speaking=kind is not vad.VADEventType.END_OF_SPEECH,
        probability=1.0,
        raw_accumulated_speech=speech,
        raw_accumulated_silence=silence,
    )


@dataclass
class Inbox:
    """What the gateway was sent. news : set with every item."""

    turns: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, arrived: Callable[[Inbox], bool], within_s: float = 15.0) -> None:
        async def wait() -> None:
            while not arrived(self):
                self.news.clear()
                await self.news.wait()

        try:
            await asyncio.wait_for(wait(), within_s)
        except asyncio.TimeoutError:
            said = [(turn["role"], turn["text"]) for turn in self.turns]
            raise AssertionError(f"not arrived: turns {said}, events {[e['type'] for e in self.events]}") from None
