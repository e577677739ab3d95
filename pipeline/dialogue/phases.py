"""Who handles a call when: from roles, call events and, where there are none, words. Definitions: docs/dialogue.md."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from schemas.annotated import Phase, PhaseSource
from schemas.event import ReceivedEvent, Value


class Span(NamedTuple):
    """[start, end] in epoch ms."""

    start: int
    end: int


def phases(
    turns: Span | None, human: Span | None, events: Iterable[ReceivedEvent], asked_at: int | None = None
) -> list[Phase]:
    """The phases of a call, in order; those that take no time are left out.

    turns : of all turns, None without any. human : of the turns of human agents. events : those of the call. asked_at :
    when, by the words, somebody first spoke of a transfer [epoch ms]; it counts where no event tells.
    """
    if turns is None:
        return []
    events = list(events)
    end = max([turns.end, *(event.at for event in events if event.type == "call_ended")])
    handed_over = end if human is None else human.start
    transfers = [event.at for event in events if event.type == "transfer" and event.at >= turns.start]
    source: PhaseSource = "events"
    if not transfers and asked_at is not None:
        transfers, source = [asked_at], "text"
    asked = min(transfers, default=end)
    found = [
        Phase("ai", turns.start, min(asked, handed_over)),
        Phase("escalation", asked, handed_over, source),
    ]
    if human is not None:
        found += [Phase("human", human.start, human.end), Phase("after", human.end, end)]
    return [phase for phase in found if phase.started_at < phase.ended_at]


def outcome(events: Iterable[ReceivedEvent]) -> dict[str, Value]:
    """What the latest outcome event says; nothing without one. It is never guessed."""
    latest = max((event for event in events if event.type == "outcome"), key=_order, default=None)
    return {} if latest is None else latest.data


def _order(event: ReceivedEvent) -> tuple[int, str]:
    return event.at, event.event_id
