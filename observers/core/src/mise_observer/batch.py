"""What one request carries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mise_observer.turn import new_id
from mise_observer.wire import Encoded, event_body, turns_body


@dataclass(frozen=True, slots=True)
class Item:
    """spooled : name of its file in the spool, None when it is in memory alone."""

    encoded: Encoded
    spooled: str | None = None

    @property
    def identity(self) -> tuple[bool, str, str]:
        """The same for what replaces it: kind, call_id, turn_id or event_id."""
        return self.encoded.is_turn, self.encoded.call_id, self.encoded.id

    def without_audio(self) -> Item:
        return replace(self, encoded=self.encoded.without_audio())


@dataclass(slots=True)
class Batch:
    """Turns, or one call event, that are sent in one request.

    key : its Idempotency-Key: sent again as it is, it is published once.
    body : once it is made; kept, so that sending again costs no encoding.
    crashes : how often the gateway crashed on it.
    """

    items: Sequence[Item]
    key: str = field(default_factory=new_id)
    body: bytes | None = field(default=None, repr=False)
    crashes: int = 0

    @property
    def is_turns(self) -> bool:
        return self.items[0].encoded.is_turn

    @property
    def size(self) -> int:
        """Bytes in memory, without the body."""
        return sum(item.encoded.size for item in self.items)

    def make_body(self) -> bytes:
        """The request's body, made once."""
        if self.body is None:
            encoded = [item.encoded for item in self.items]
            self.body = turns_body(encoded) if self.is_turns else event_body(encoded[0])
        return self.body

    def halves(self) -> list[Batch]:
        """The same items in two batches; there are at least two. Both are suspected as the whole is."""
        middle = len(self.items) // 2
        return [Batch(half, crashes=self.crashes) for half in (self.items[:middle], self.items[middle:])]


def batches(items: Sequence[Item]) -> list[Batch]:
    """Items of one kind as batches: all turns in one, each call event in its own."""
    if not items:
        return []
    return [Batch(items)] if items[0].encoded.is_turn else [Batch([item]) for item in items]
