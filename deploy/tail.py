"""Turns and call events as they arrive: what `mise-voice tail` shows."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from aiokafka import TopicPartition
from rich.console import Console
from rich.text import Text

from deploy.connected import connected
from deploy.plain import plain
from pipeline.settings import Settings
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.instants import to_iso
from schemas.records import RECEIVED_DECODER, Received
from schemas.topics import RECEIVED
from schemas.turn import ReceivedTurn, Role


@dataclass(frozen=True)
class Wanted:
    """Which of them; None for any. A role is that of turns: events have none."""

    workspace: str | None = None
    call_id: str | None = None
    participant: str | None = None
    role: Role | None = None

    def takes(self, record: Received) -> bool:
        return (
            self.workspace in (None, record.workspace)
            and self.call_id in (None, record.call_id)
            and self.participant in (None, record.participant)
            and (self.role is None or (isinstance(record, ReceivedTurn) and record.role == self.role))
        )


async def arriving(
    settings: Settings, wanted: Wanted, listening: Callable[[], None]
) -> AsyncGenerator[Received | Refused, None]:
    """What the gateway takes in from now on, in the order of arrival within a call; Refused for what is no record of
    ours.

    listening : called once nothing that arrives is missed. Raises Misconfigured or Unavailable.
    """
    async with connected(settings) as consumer:
        places = [TopicPartition(RECEIVED.name, number) for number in range(settings.kafka_partitions)]
        consumer.assign(places)
        await consumer.seek_to_end(*places)
        listening()
        async for message in consumer:
            try:
                record = decode(RECEIVED_DECODER, message.value or b"")
            except Refused as error:
                yield error
                continue
            if wanted.takes(record):
                yield record


async def show(settings: Settings, wanted: Wanted, *, count: int | None, as_json: bool) -> None:
    """Print what arrives; return after `count` of them, if ever. What is no record is told on standard error."""
    console, left = Console(), count
    async with aclosing(arriving(settings, wanted, lambda: print("listening", file=sys.stderr, flush=True))) as records:
        async for record in records:
            if isinstance(record, Refused):
                Console(stderr=True).print(plain(f"{RECEIVED.name}: {record}"))
                continue
            if as_json:
                sys.stdout.buffer.write(encode(record) + b"\n")
                sys.stdout.buffer.flush()
            else:
                console.print(line(record), soft_wrap=True)
            if left is not None:
                left -= 1
                if not left:
                    return


def line(record: Received) -> Text:
    """When it was received, the call, who, and what was said or happened."""
    received = f"{to_iso(record.received_at // 1000)}  "
    who = f"{record.participant or '-'}"
    if isinstance(record, ReceivedTurn):
        who += f" ({record.role})"
        length = f"{(record.ended_at - record.started_at) / 1000:.1f} s"
        audio = f"{record.audio.format} {record.audio.size / 1000:.0f} kB" if record.audio else "no audio"
        said = f"{length}, {audio}: {record.text}"
    else:
        said = f"{record.type} {record.data or ''}"
    return plain(f"{received}{record.call_id}  {who}  {said}".rstrip())
