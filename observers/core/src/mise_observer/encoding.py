"""Encoding what the host gave, where one item that can't be encoded costs no other. Runs in the sender's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mise_observer.answer import Refused
from mise_observer.event import CallEvent
from mise_observer.spool import Lost, Spool
from mise_observer.turn import Turn
from mise_observer.wire import Encoded, encode

Unsent = Turn | CallEvent | Encoded

Refusal = tuple[str, str, Refused]
"""call_id, turn_id or event_id, why."""


@dataclass(slots=True)
class Spilled:
    """What came of writing items to the spool. unwritten : from the first one on that the disk did not take."""

    lost: Lost
    refused: list[Refusal]
    unwritten: list[Unsent]
    error: OSError | None = None


def encode_all(items: Sequence[Unsent]) -> tuple[list[Encoded], list[Refusal]]:
    """All that can be encoded, in order, and why the others can't."""
    encoded: list[Encoded] = []
    refused: list[Refusal] = []
    for item in items:
        outcome = _encoded(item)
        if isinstance(outcome, Refused):
            refused.append((item.call_id, _id(item), outcome))
        else:
            encoded.append(outcome)
    return encoded, refused


def spill(spool: Spool, items: Sequence[Unsent], older: Sequence[Unsent] = ()) -> Spilled:
    """Write items to the spool, in order. older : likewise, but than what lies there."""
    spilled = Spilled(Lost(), [], [])
    everything = [*older, *items]
    for index, item in enumerate(everything):
        encoded, refused = encode_all([item])
        spilled.refused += refused
        try:
            for one in encoded:
                spilled.lost += spool.put(one, first=index < len(older))
        except OSError as error:  # a full disk, mostly
            spilled.error = error
            spilled.unwritten += everything[index:]
            break
    return spilled


def is_turn(item: Unsent) -> bool:
    return item.is_turn if isinstance(item, Encoded) else isinstance(item, Turn)


def _encoded(item: Unsent) -> Encoded | Refused:
    try:
        return item if isinstance(item, Encoded) else encode(item)
    except Exception as error:  # whatever the host put into a field
        return Refused("not_json", None, f"{type(error).__name__}: {error}")


def _id(item: Unsent) -> str:
    if isinstance(item, Encoded):
        return item.id
    return item.turn_id if isinstance(item, Turn) else item.event_id
