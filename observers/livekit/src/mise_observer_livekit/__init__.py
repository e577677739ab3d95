"""One line in a LiveKit agent, and every turn of its calls arrives at Mise Voice with its own audio and true times.

`attach` is all of it. It changes nothing of what the agent does, and raises nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mise_observer_livekit.observer import Observer, attach

__all__ = ["Observer", "attach"]


def __getattr__(name: str) -> object:
    # On demand: how turns are built needs no livekit, and is tested without it.
    if name in __all__:
        from mise_observer_livekit import observer  # noqa: PLC0415

        return getattr(observer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
