"""The faults: small objects with a name, each of which strikes and returns once everything is whole again."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Protocol

from tests.chaos.stack import Stack


class Fault(Protocol):
    """Something that goes wrong. Implemented by the classes below."""

    @property
    def name(self) -> str:
        """As it stands in the table."""

    async def strike(self, stack: Stack) -> None:
        """Let it go wrong; return once the processes serve again, what they had to do not yet being done."""


@dataclass(frozen=True)
class End:
    """A process ends, by SIGKILL or SIGTERM; its supervisor starts it again."""

    process: str
    number: signal.Signals = signal.SIGKILL

    @property
    def name(self) -> str:
        return f"{self.number.name} {self.process}"

    async def strike(self, stack: Stack) -> None:
        await stack.until_back(self.process, stack.signal(self.process, self.number))
