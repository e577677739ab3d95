"""What became of everything that was given to a sender."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stats:
    """Counters since the sender was made; `queued` and `spooled` are how many there are now.

    Every turn and call event given to `send` is in exactly one of sent, refused, dropped_turns, dropped_events, queued
    and spooled; what was adopted from an earlier process comes on top.
    """

    queued: int = 0
    """Turns and call events in memory, those in a request among them."""
    spooled: int = 0
    """Turns and call events on disk, those in a request among them."""
    sent: int = 0
    """Turns and call events that the gateway has accepted."""
    refused: int = 0
    """Turns and call events that the gateway has refused, or that are no JSON."""
    dropped_audio: int = 0
    """Turns whose audio was given up: no room, or too large for the gateway."""
    dropped_turns: int = 0
    """Turns given up whole: no room, sent after the sender had stopped, left at the end without a spool, or
    replaced while they waited."""
    dropped_events: int = 0
    """Call events, likewise."""
    retries: int = 0
    """Requests that were sent again."""

    def drop(self, is_turn: bool) -> None:
        """Count one item that is given up."""
        if is_turn:
            self.dropped_turns += 1
        else:
            self.dropped_events += 1


@dataclass(frozen=True, slots=True)
class Left:
    """What a sender had not sent when it was closed. spooled : of it, on disk for the next process."""

    turns: int = 0
    events: int = 0
    spooled: int = 0
