"""The errors of Mise Voice, sorted by what the receiver does next.

    MiseError
    ├── Refused         the input's fault: a 4xx, or a dead letter; never retried
    ├── Unavailable     the world's fault: wait and try again, acknowledge nothing
    ├── Misconfigured   the operator's to mend: stop at start, say what to change
    └── TooManyRefused  the operator's to look into: stop the stage, acknowledge nothing

Whatever else is raised is a bug: the process ends and its supervisor starts it again.
"""

from __future__ import annotations


class MiseError(Exception):
    """Root of the tree; never raised itself."""


class Refused(MiseError):
    """An input that can't be accepted, however often it is tried.

    field : path of the offending field as the sender wrote it (`words[3].start`), or None for the whole input.
    reason : a constant in snake_case, for metrics and dead letters.
    """

    def __init__(self, message: str, *, field: str | None = None, reason: str = "invalid") -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class Unavailable(MiseError):
    """A part that is needed (Kafka, ClickHouse, the blob store) does not answer; trying again may help."""


class Misconfigured(MiseError):
    """The process can't start as it is set up; the message says what to change."""


class TooManyRefused(MiseError):
    """More of a partition's records were refused than may go to the dead letters unseen."""
