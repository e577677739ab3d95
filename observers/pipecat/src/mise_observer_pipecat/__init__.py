"""Every turn of a Pipecat agent at Mise Voice: `MiseObserver` among the observers of a `PipelineWorker`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mise_observer_pipecat.observer import MiseObserver

__all__ = ["MiseObserver"]


def __getattr__(name: str) -> object:
    """Import Pipecat only with the observer: what builds the turns does without."""
    if name == "MiseObserver":
        from mise_observer_pipecat.observer import MiseObserver  # noqa: PLC0415

        return MiseObserver
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
