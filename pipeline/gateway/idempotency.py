"""`Idempotency-Key`: the same request again gets the same answer, and nothing is published twice.

Turns are idempotent by their identity anyway; the key adds that a delayed retry of an old request can't replace a newer
revision of its turn. Kept in memory, per gateway process.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from schemas.errors import Refused, Unavailable

KEPT = 10_000
"""Answers kept; the oldest go first."""

KEPT_BYTES = 64 * 2**20
"""Of their bodies: the answer to a full batch has 80 kB, with long ids 500 kB."""

KEPT_S = 24 * 60 * 60.0
"""How long an answer is kept."""


@dataclass(frozen=True)
class Answer:
    """An answer to a request: status and JSON body. final : the same request again would change nothing."""

    status: int
    body: bytes
    final: bool = True


class Answers:
    """Answers by key. clock : seconds, monotonic."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        kept: int = KEPT,
        kept_bytes: int = KEPT_BYTES,
        kept_s: float = KEPT_S,
    ) -> None:
        self._clock = clock
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._kept_s = kept_s
        self._bytes = 0
        self._answers: OrderedDict[tuple[str, ...], tuple[float, bytes, asyncio.Future[Answer]]] = OrderedDict()

    async def once(self, key: tuple[str, ...], body: bytes, handle: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer of `handle`, or the one it gave to this key before; it is awaited if it is being made.

        Only final answers are kept: after an error, or a batch of which a part may be sent again, the key is free.
        Raises Refused (`Idempotency-Key`) when the key came with another body.
        """
        fingerprint = hashlib.sha256(body).digest()
        self._drop_old()
        if key in self._answers:
            _, known, answer = self._answers[key]
            if known != fingerprint:
                raise Refused(
                    "Idempotency-Key: used before with another body; use a new key for a new request",
                    field="Idempotency-Key",
                    reason="idempotency_key_reused",
                )
            # Shielded: a client that goes away must not cancel what another one waits for.
            return await asyncio.shield(answer)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[key] = (self._clock(), fingerprint, future)
        try:
            made = await handle()
        except BaseException as error:
            del self._answers[key]
            broken_off = Unavailable("the first request with this Idempotency-Key was broken off; send it again")
            future.set_exception(error if isinstance(error, Exception) else broken_off)
            future.exception()  # whoever waits gets it; nobody waiting is no error
            raise
        if made.final:
            self._bytes += len(made.body)
        else:
            del self._answers[key]
        future.set_result(made)
        return made

    def _drop_old(self) -> None:
        oldest = self._clock() - self._kept_s
        while self._answers:
            key, (since, _, answer) = next(iter(self._answers.items()))
            room = len(self._answers) < self._kept and self._bytes <= self._kept_bytes
            if not answer.done() or (since > oldest and room):
                return
            del self._answers[key]
            self._bytes -= len(answer.result().body)
