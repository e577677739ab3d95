"""What happens in a pipeline beside speech, as the data of call events. No text of anybody, no arguments or results."""

from __future__ import annotations

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    FunctionCallCancelFrame,
    FunctionCallInProgressFrame,
    FunctionCallResultFrame,
    MetricsFrame,
    StopFrame,
)
from pipecat.metrics.metrics import (
    LLMUsageMetricsData,
    MetricsData,
    ProcessingMetricsData,
    STTUsageMetricsData,
    TextAggregationMetricsData,
    TTFAMetricsData,
    TTFATMetricsData,
    TTFBMetricsData,
    TTSUsageMetricsData,
    TurnMetricsData,
)
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.services.llm_service import LLMService
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService

from mise_observer import Value

Data = dict[str, Value]

MOST_RUNNING = 1_000
"""Function calls; of one that is forgotten the length is not known."""

SETTLED = FunctionCallResultFrame | FunctionCallCancelFrame


class FunctionCalls:
    """When the calls that run now began."""

    def __init__(self) -> None:
        self._running: dict[str, tuple[str, float]] = {}

    def began(self, frame: FunctionCallInProgressFrame, at: float) -> None:
        if len(self._running) < MOST_RUNNING:
            self._running.setdefault(frame.tool_call_id, (frame.function_name, at))

    def settled(self, frame: SETTLED, at: float) -> tuple[float, Data] | None:
        """When it began, and what became of it; None while it goes on."""
        if isinstance(frame, FunctionCallCancelFrame):
            # Pipecat says of a timed out call that inference is to be run, of no other that is cancelled.
            outcome = "timed_out" if frame.run_llm else "cancelled"
        elif frame.properties is not None and not frame.properties.is_final:
            return None
        else:
            outcome = "failed" if frame.error else "completed"
        _, began = self._running.pop(frame.tool_call_id, (frame.function_name, at))
        return began, _call(frame.function_name, frame.tool_call_id, outcome, at - began)

    def unsettled(self, at: float) -> list[tuple[float, Data]]:
        """Those that still run, at the end."""
        left, self._running = self._running, {}
        return [(began, _call(name, call, "unfinished", at - began)) for call, (name, began) in left.items()]


def _call(name: str, tool_call_id: str, outcome: str, seconds: float) -> Data:
    return {
        "name": name,
        "failed": outcome != "completed",
        "outcome": outcome,
        "duration_ms": _ms(seconds),
        "tool_call_id": tool_call_id,
    }


USED = {
    "prompt_tokens": "input_tokens",
    "completion_tokens": "output_tokens",
    "cache_read_input_tokens": "input_cached_tokens",
    "cache_creation_input_tokens": "input_cache_creation_tokens",
    "cache_read_input_audio_tokens": "input_cached_audio_tokens",
    "reasoning_tokens": "output_reasoning_tokens",
    "audio_seconds": "audio_s",
}
"""Pipecat's names of what all observers send under one."""


def stage(processor: FrameProcessor | None) -> str | None:
    """What it does in an agent; None for what is none of the three."""
    match processor:
        case STTService():
            return "stt"
        case LLMService():
            return "llm"
        case TTSService():
            return "tts"
    return None


def metrics(frame: MetricsFrame, source: FrameProcessor) -> list[Data]:
    """Latencies in ms, and what was used (tokens, characters, seconds of audio); not those that say nothing.

    source : pushed it.
    """
    found = []
    for item in frame.data:
        figures = _figures(item, stage(source))
        if any(figures.values()):
            found.append({"processor": item.processor, "model": item.model, **figures})
    return found


def _figures(item: MetricsData, stage: str | None) -> Data:
    figures: Data = {}
    match item:
        case TTFBMetricsData():
            name = {"stt": "stt_ttfb_ms", "llm": "llm_ttft_ms", "tts": "tts_ttfb_ms"}.get(stage or "", "ttfb_ms")
            figures = {name: _ms(item.value)}
        case TTFAMetricsData():
            figures = {"ttfa_ms": _ms(item.ttfa), "leading_silence_ms": _ms(item.leading_silence)}
        case TTFATMetricsData():
            figures = {"ttfat_ms": _ms(item.ttfat), "thinking_time_ms": _ms(item.thinking_time)}
        case ProcessingMetricsData():
            figures = {"processing_ms": _ms(item.value)}
        case TextAggregationMetricsData():
            figures = {"text_aggregation_ms": _ms(item.value)}
        case TTSUsageMetricsData():
            figures = {"characters": item.value}
        case LLMUsageMetricsData() | STTUsageMetricsData():
            figures = {USED.get(name, name): value for name, value in item.value.model_dump().items() if value}
        case TurnMetricsData():
            figures = {
                "turn_complete": item.is_complete,
                "turn_probability": round(item.probability, 3),
                "turn_detection_ms": round(item.e2e_processing_time_ms, 1),
            }
    return figures


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def error(frame: ErrorFrame) -> Data:
    """Where and of which kind. Its message may quote what was said."""
    kind = stage(frame.processor)
    return {
        "kind": None if kind is None else f"{kind}_error",
        "error": None if frame.exception is None else type(frame.exception).__name__,
        "processor": None if frame.processor is None else frame.processor.name,
        "category": None if frame.category is None else frame.category.value,
    }


def ending(frame: EndFrame | CancelFrame | StopFrame) -> str:
    """Why the pipeline ends: the reason that was given for it, or how it ends."""
    if isinstance(frame, StopFrame):
        return "stopped"
    if frame.reason is not None:
        return str(frame.reason)[:200]
    return "cancelled" if isinstance(frame, CancelFrame) else "ended"
