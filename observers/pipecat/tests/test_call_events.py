"""The names under which figures and faults are sent: those of docs/integrations/observed.md."""

from __future__ import annotations

import pytest
from bed import Ears, Mind, Voice, World
from pipecat.frames.frames import ErrorFrame, MetricsFrame
from pipecat.metrics.metrics import (
    LLMTokenUsage,
    LLMUsageMetricsData,
    STTUsage,
    STTUsageMetricsData,
    TTFBMetricsData,
    TTSUsageMetricsData,
)
from pipecat.processors.frame_processor import FrameProcessor

from mise_observer_pipecat.call_events import error, metrics

EARS, MIND, VOICE = Ears(World()), Mind([]), Voice([], words=False)


@pytest.mark.parametrize(
    ("source", "name"),
    [(EARS, "stt_ttfb_ms"), (MIND, "llm_ttft_ms"), (VOICE, "tts_ttfb_ms"), (FrameProcessor(), "ttfb_ms")],
)
def test_latency_says_of_what_it_is(source: FrameProcessor, name: str) -> None:
    (sent,) = metrics(MetricsFrame([TTFBMetricsData(processor="p", model="m", value=0.25)]), source)
    assert sent == {"processor": "p", "model": "m", name: 250.0}


def test_what_models_were_used_for_has_the_names_of_all_observers() -> None:
    tokens = LLMTokenUsage(prompt_tokens=5, completion_tokens=3, total_tokens=8, cache_read_input_tokens=2)
    frame = MetricsFrame(
        [
            LLMUsageMetricsData(processor="p", value=tokens),
            TTSUsageMetricsData(processor="p", value=40),
            STTUsageMetricsData(processor="p", value=STTUsage(audio_seconds=1.5)),
        ]
    )
    assert metrics(frame, MIND) == [
        {
            "processor": "p",
            "model": None,
            "input_tokens": 5,
            "output_tokens": 3,
            "total_tokens": 8,
            "input_cached_tokens": 2,
        },
        {"processor": "p", "model": None, "characters": 40},
        {"processor": "p", "model": None, "audio_s": 1.5},
    ]


def test_fault_says_where_and_of_which_kind_and_not_what() -> None:
    fault = error(ErrorFrame("John's card", processor=VOICE, exception=ValueError("John's card")))
    assert (fault["kind"], fault["error"]) == ("tts_error", "ValueError")
    assert "John" not in str(fault)
    assert error(ErrorFrame("no idea")) == {"kind": None, "error": None, "processor": None, "category": None}
