"""Around everything that the host calls: what goes wrong in the observer is the observer's."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

from mise_observer.notices import Notices

P = ParamSpec("P")


class Guard:
    """What a callback of an observer raises, no host has to bear.

    LiveKit's emitter swallows it, except TypeError: that one kills the reply. Pipecat stops calling the observer.
    """

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    def __call__(self, callback: Callable[P, object]) -> Callable[P, None]:
        """The same callback, which raises nothing; at most one log line a minute says that it would have."""

        def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
            try:
                callback(*args, **kwargs)
            except Exception as error:
                self._notices.warn("observer_failed", callback.__name__, error=type(error).__name__)

        return guarded
