"""Speech recognition, language model and voice of a scripted agent, on the real base classes of livekit-agents."""

from __future__ import annotations

import uuid
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import llm, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, APIConnectOptions, NotGivenOr
from livekit.agents.utils import AudioBuffer

RATE = 16_000
VOICE_RATE = 24_000
"""Both of `tests.livekit.conversation`, which the agent's interpreter can't import."""
LOUD_RMS = 250.0
"""Of int16, over a frame: between the noise of the line after gain control and soft speech."""
QUIET_S = 0.4
"""Longer than the pauses inside the recordings, shorter than what ends a turn."""
WORD_S = 0.25


class Ears(stt.STT[Any]):
    """Recognises what the script says, in order: word by word while it hears speech, all of it once it is quiet.

    It tells, too, when speech begins and ends, which an agent with turn detection "stt" goes by. Of a noise, which has
    no words, it says nothing.
    """

    def __init__(self, hears: Sequence[str]) -> None:
        super().__init__(
            capabilities=stt.STTCapabilities(streaming=True, interim_results=True, offline_recognize=False)
        )
        self.left = list(hears)

    async def _recognize_impl(
        self, buffer: AudioBuffer, *, language: NotGivenOr[str] = NOT_GIVEN, conn_options: APIConnectOptions
    ) -> stt.SpeechEvent:
        raise NotImplementedError("it only streams")

    def stream(
        self,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
    ) -> stt.RecognizeStream:
        return _Hearing(self, conn_options)


class _Hearing(stt.RecognizeStream):
    def __init__(self, ears: Ears, conn_options: APIConnectOptions) -> None:
        super().__init__(stt=ears, conn_options=conn_options, sample_rate=RATE)
        self._ears = ears

    async def _run(self) -> None:
        words: list[str] | None = None
        spoken_s = quiet_s = 0.0
        told = 0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            samples = np.frombuffer(frame.data, np.int16).astype(np.float32)
            loud = float(np.sqrt(np.mean(samples**2))) > LOUD_RMS
            if words is None and loud:
                words = (self._ears.left.pop(0) if self._ears.left else "and so on").split()
                spoken_s, told = 0.0, 0
                if words:
                    self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.START_OF_SPEECH))
            if words is None:
                continue
            spoken_s += frame.duration
            quiet_s = 0.0 if loud else quiet_s + frame.duration
            if quiet_s >= QUIET_S:
                if words:
                    self._tell(stt.SpeechEventType.FINAL_TRANSCRIPT, words)
                    self._event_ch.send_nowait(stt.SpeechEvent(type=stt.SpeechEventType.END_OF_SPEECH))
                words = None
            elif (known := min(len(words), 1 + int(spoken_s / WORD_S))) > told and loud:
                told = known
                self._tell(stt.SpeechEventType.INTERIM_TRANSCRIPT, words[:known])

    def _tell(self, kind: stt.SpeechEventType, words: Sequence[str]) -> None:
        data = stt.SpeechData(language="en", text=" ".join(words), confidence=1.0)  # type: ignore[arg-type]
        self._event_ch.send_nowait(stt.SpeechEvent(type=kind, request_id=uuid.uuid4().hex, alternatives=[data]))


class Mind(llm.LLM[Any]):
    """Answers by how many messages the user has sent: it may be asked for the same answer more than once."""

    def __init__(self, replies: Sequence[str]) -> None:
        super().__init__()
        self.replies = replies

    def chat(
        self,
        *,
        chat_ctx: llm.ChatContext,
        tools: list[llm.Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        parallel_tool_calls: NotGivenOr[bool] = NOT_GIVEN,
        tool_choice: NotGivenOr[llm.ToolChoice] = NOT_GIVEN,
        extra_kwargs: NotGivenOr[dict[str, Any]] = NOT_GIVEN,
    ) -> llm.LLMStream:
        said = sum(item.type == "message" and item.role == "user" for item in chat_ctx.items)
        return _Thought(self, self.replies[(said - 1) % len(self.replies)], chat_ctx, tools or [], conn_options)


class _Thought(llm.LLMStream):
    def __init__(
        self, mind: Mind, text: str, chat_ctx: llm.ChatContext, tools: list[llm.Tool], conn_options: APIConnectOptions
    ) -> None:
        super().__init__(mind, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._text = text

    async def _run(self) -> None:
        for number, word in enumerate(self._text.split(" ")):
            content = word if number == 0 else f" {word}"
            self._event_ch.send_nowait(
                llm.ChatChunk(id="scripted", delta=llm.ChoiceDelta(role="assistant", content=content))
            )


class Voice(tts.TTS[Any]):
    """Plays the recording of a text."""

    def __init__(self, recordings: Mapping[str, str]) -> None:
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=VOICE_RATE, num_channels=1)
        self.recordings = recordings

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        raise NotImplementedError("it only streams")

    def stream(self, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS) -> tts.SynthesizeStream:
        return _Speaking(self, conn_options)


class _Speaking(tts.SynthesizeStream):
    def __init__(self, voice: Voice, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=voice, conn_options=conn_options)
        self._voice = voice

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        output_emitter.initialize(
            request_id=uuid.uuid4().hex, sample_rate=VOICE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        text = ""
        async for piece in self._input_ch:
            if isinstance(piece, str):
                text += piece
            elif text.strip():
                self._mark_started()
                output_emitter.start_segment(segment_id=uuid.uuid4().hex)
                with wave.open(str(Path(self._voice.recordings[text.strip()])), "rb") as file:
                    output_emitter.push(file.readframes(file.getnframes()))
                output_emitter.end_segment()
                text = ""
