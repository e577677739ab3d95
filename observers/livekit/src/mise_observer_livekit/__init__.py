"""One line in a LiveKit agent, and every turn of its calls arrives at Mise Voice with its own audio and true times.

`attach` is all of it. It changes nothing of what the agent does, and raises nothing.
"""

from mise_observer_livekit.observer import Observer, attach

__all__ = ["Observer", "attach"]
