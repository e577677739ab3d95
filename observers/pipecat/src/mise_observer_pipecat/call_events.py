"""What happens in a pipeline beside speech, as the data of call events. No text of anybody, no arguments or results."""

from __future__ import annotations

from collections.abc import Mapping

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
    return {"name": name, "tool_call_id": tool_call_id, "outcome": outcome, "duration_ms": round(seconds * 1000)}


def metrics(frame: MetricsFrame) -> list[Data]:
    """Pipecat's own figures, in its own units (seconds, tokens, characters); not those that say nothing."""
    found = []
    for item in frame.data:
        fields = _flat(item.model_dump())
        figures = {name: value for name, value in fields.items() if isinstance(value, int | float)}
        if any(figures.values()):
            names: Data = {"processor": item.processor, "model": item.model}
            found.append({"metric": type(item).__name__.removesuffix("MetricsData"), **names, **figures})
    return found


def _flat(fields: Mapping[str, object]) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in fields.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {name: value})
    return flat


def error(frame: ErrorFrame) -> Data:
    """Where and of which kind. Its message may quote what was said."""
    return {
        "processor": None if frame.processor is None else frame.processor.name,
        "category": None if frame.category is None else frame.category.value,
        "exception": None if frame.exception is None else type(frame.exception).__name__,
    }


def ending(frame: EndFrame | CancelFrame | StopFrame) -> tuple[str, str]:
    """How the pipeline ends, and the reason that was given for it."""
    if isinstance(frame, StopFrame):
        return "stopped", ""
    reason = "" if frame.reason is None else str(frame.reason)[:200]
    return ("cancelled" if isinstance(frame, CancelFrame) else "ended"), reason
