"""Sends turns and call events to Mise Voice from inside a voice agent, and never gets in its way.

`Sender` is for programs with an asyncio loop, `ThreadedSender` for those without; `Turn` and `CallEvent` are what they
take. Everything else is inside.
"""

from mise_observer.event import CallEvent, EventType, Value
from mise_observer.intake import Limits
from mise_observer.sender import Sender
from mise_observer.stats import Left, Stats
from mise_observer.threaded import ThreadedSender
from mise_observer.turn import Audio, AudioFormat, Instant, Role, Room, SpokenWord, Turn

__all__ = [
    "Audio",
    "AudioFormat",
    "CallEvent",
    "EventType",
    "Instant",
    "Left",
    "Limits",
    "Role",
    "Room",
    "Sender",
    "SpokenWord",
    "Stats",
    "ThreadedSender",
    "Turn",
    "Value",
]
