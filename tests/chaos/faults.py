"""The faults: small objects with a name, each of which strikes and returns once the processes serve again."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, Protocol

from schemas.identity import record_key
from schemas.topics import ANNOTATED, MEASURED, RECEIVED, SUMMARISED, TopicSpec
from tests.chaos.checks import Place
from tests.chaos.gateway import set_clock
from tests.chaos.links import Link
from tests.chaos.small import filled
from tests.chaos.stack import BACK_WITHIN_S, PLAIN, WORKSPACE, Needs, Stack
from tests.chaos.worker import How, Step, arm, struck
from tests.integration.waiting import until

NOTHING: Collection[Place] = ()
"""No poison."""


class Fault(Protocol):
    """Something that goes wrong. Implemented by the classes below."""

    @property
    def name(self) -> str:
        """As it stands in the table."""

    @property
    def needs(self) -> Needs:
        """The stack that it strikes."""

    async def strike(self, stack: Stack) -> Collection[Place]:
        """Let it go wrong; return, once the processes serve again, where it put poison. Work may be left to do."""


@dataclass(frozen=True)
class End:
    """A process ends, by SIGKILL or SIGTERM; its supervisor starts it again."""

    process: str
    number: signal.Signals = signal.SIGKILL

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"{self.number.name} {self.process}"

    async def strike(self, stack: Stack) -> Collection[Place]:
        await stack.until_back(self.process, await stack.signal(self.process, self.number))
        return NOTHING


@dataclass(frozen=True)
class Inject:
    """The calls stage ends after a step of a batch, by SIGKILL or by an error."""

    step: Step
    how: How = "kill"

    needs = Needs(calls=True)

    @property
    def name(self) -> str:
        return f"calls: {self.how} after {self.step}"

    async def strike(self, stack: Stack) -> Collection[Place]:
        pid = await stack.serving("calls")
        await until_struck(stack, self.step, self.how)
        await stack.until_back("calls", pid)
        return NOTHING


async def until_struck(stack: Stack, step: Step, how: How) -> None:
    """Order the end and return once it came, which takes a batch to come by."""
    arm(stack.injected, step, how)

    async def found() -> bool:
        return struck(stack.injected)

    assert await until(found, within_s=BACK_WITHIN_S), f"no batch came by the step {step}"


@dataclass(frozen=True)
class Zombie:
    """A worker stops for longer than its session, another takes its partitions, and it comes back.

    step : where in a batch it stops, for the calls stage under `Stack.run_calls`; None for anywhere.
    """

    stage: str
    step: Step | None = None

    @property
    def needs(self) -> Needs:
        return Needs(calls=self.step is not None)

    @property
    def name(self) -> str:
        return f"zombie {self.stage}" + (f" after {self.step}" if self.step else "")

    async def strike(self, stack: Stack) -> Collection[Place]:
        pid = await stack.serving(self.stage)
        if self.step is None:
            os.kill(pid, signal.SIGSTOP)
        else:
            await until_struck(stack, self.step, "stop")
        # Started later, so that it can't have the first one's partitions before the first one is taken for dead.
        other = await stack.add(self.stage, 2)
        await stack.until_alone(other)
        if stack.supervisor.pids.get(self.stage) == pid:
            os.kill(pid, signal.SIGCONT)
        await stack.until_members(self.stage, 2)
        await stack.remove(other)
        await stack.until_alone(self.stage)
        return NOTHING


@dataclass(frozen=True)
class Freeze:
    """A server stands still for a while: nothing ends, and nothing is answered."""

    process: str
    seconds: float

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"SIGSTOP {self.process} for {self.seconds:g} s"

    async def strike(self, stack: Stack) -> Collection[Place]:
        pid = await stack.signal(self.process, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            os.kill(pid, signal.SIGCONT)
        return NOTHING


@dataclass(frozen=True)
class Scale:
    """A stage goes from one worker to three and back: partitions move while their records are under way."""

    stage: str

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"scale {self.stage} 1, 3, 1"

    async def strike(self, stack: Stack) -> Collection[Place]:
        others = await asyncio.gather(*(stack.add(self.stage, number) for number in (2, 3)))
        await stack.until_members(self.stage, 3)
        await stack.remove(*others)
        await stack.until_alone(self.stage)
        return NOTHING


Trouble = Literal["cut", "reset", "half-open", "delay", "slow"]

DELAY_S = 0.3
SLOW_BYTES_PER_S = 20_000.0


@dataclass(frozen=True)
class Disturb:
    """The network between two processes is troubled for a while."""

    link: Link
    trouble: Trouble
    seconds: float

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"{self.trouble} {self.link}"

    async def strike(self, stack: Stack) -> Collection[Place]:
        proxy = stack.proxies[self.link]
        match self.trouble:
            case "cut":
                proxy.cut()
            case "reset":
                proxy.reset()
            case "half-open":
                proxy.half_open()
            case "delay":
                proxy.delay(DELAY_S)
            case "slow":
                proxy.slow(SLOW_BYTES_PER_S)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            proxy.mend()
        return NOTHING


@dataclass(frozen=True)
class Poison:
    """A record that nobody can read, in each topic, in a partition by the seed."""

    seed: int

    name = "poison in each topic"
    needs = PLAIN

    async def strike(self, stack: Stack) -> Collection[Place]:
        chance = random.Random(self.seed)
        placed = []
        for topic in (RECEIVED, MEASURED, ANNOTATED, SUMMARISED):
            put = await stack.producer.send_and_wait(
                topic.name,
                chance.choice([b"\xff\xfe", b"{}", b'{"record":"song"}', b"[]", None]),
                key=record_key(WORKSPACE, "poison"),
                partition=chance.randrange(stack.settings.kafka_partitions),
            )
            placed.append(Place(put.topic, put.partition, put.offset))
        return placed


@dataclass(frozen=True)
class Reject:
    """ClickHouse rejects every insert for a while, with the error of a server that has too many parts (252)."""

    seconds: float

    name = "ClickHouse rejects"
    needs = PLAIN

    async def strike(self, stack: Stack) -> Collection[Place]:
        tables = ("turn_rows", "event_rows", "call_rows")
        for table in tables:
            await stack.command(f"ALTER TABLE {table} MODIFY SETTING max_parts_in_total = 1")
        try:
            await asyncio.sleep(self.seconds)
        finally:
            for table in tables:
                await stack.command(f"ALTER TABLE {table} RESET SETTING max_parts_in_total")
        return NOTHING


@dataclass(frozen=True)
class Brokers:
    """Brokers of a cluster of three end, or stand still until another leads their partitions; then they come back."""

    numbers: tuple[int, ...]
    number: signal.Signals

    needs = Needs(brokers=True)

    @property
    def name(self) -> str:
        return f"{self.number.name} {len(self.numbers)} of 3 brokers"

    async def strike(self, stack: Stack) -> Collection[Place]:
        names = [f"kafka-{number}" for number in self.numbers]
        pids = {name: await stack.signal(name, self.number) for name in names}
        if self.number == signal.SIGSTOP:
            try:
                await stack.until_led_by_others(self.numbers)
            finally:
                for pid in pids.values():
                    os.kill(pid, signal.SIGCONT)
        else:
            await asyncio.gather(*(stack.until_back(name, pid) for name, pid in pids.items()))
        await stack.until_in_sync()
        return NOTHING


@dataclass(frozen=True)
class Fill:
    """No byte more fits under the blob store, or under Kafka's log, for a while."""

    what: Literal["blobs", "kafka"]
    seconds: float

    @property
    def needs(self) -> Needs:
        return Needs(small=self.what)

    @property
    def name(self) -> str:
        return f"full disk {self.what}"

    async def strike(self, stack: Stack) -> Collection[Place]:
        pid = stack.supervisor.pids.get(self.what)
        with filled(stack.small):
            await asyncio.sleep(self.seconds)
        # A broker ends when it can't write, and is not started on a full disk: somebody makes room and starts it.
        if stack.supervisor.pids.get(self.what) != pid:
            await stack.supervisor.stop(stack.services[self.what])
            await stack.start(self.what)
        return NOTHING


@dataclass(frozen=True)
class Anew:
    """A topic that is read to its end is deleted and made anew: its offsets begin again."""

    topic: TopicSpec

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"{self.topic.name} made anew"

    async def strike(self, stack: Stack) -> Collection[Place]:
        clients = stack.proxies["client-gateway"]
        clients.cut()
        try:
            await stack.drain()
            await stack.make_anew(self.topic)
        finally:
            clients.mend()
        return NOTHING


@dataclass(frozen=True)
class Shrink:
    """A topic takes no record of the size that comes, for a while."""

    topic: TopicSpec
    seconds: float

    needs = PLAIN

    @property
    def name(self) -> str:
        return f"{self.topic.name} refuses the size"

    async def strike(self, stack: Stack) -> Collection[Place]:
        await stack.set_largest(self.topic, 100)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            await stack.set_largest(self.topic, self.topic.max_record_bytes)
        return NOTHING


@dataclass(frozen=True)
class Clock:
    """The gateway's clock jumps, and jumps back after a while."""

    ahead_s: int
    seconds: float

    needs = Needs(clock=True)

    @property
    def name(self) -> str:
        return f"clock {self.ahead_s:+} s"

    async def strike(self, stack: Stack) -> Collection[Place]:
        set_clock(stack.injected, self.ahead_s)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            set_clock(stack.injected, 0)
        return NOTHING


@dataclass(frozen=True)
class Together:
    """Several at once."""

    faults: Sequence[Fault]

    needs = PLAIN  # whoever puts them together gives them the stack

    @property
    def name(self) -> str:
        return ", ".join(fault.name for fault in self.faults)

    async def strike(self, stack: Stack) -> Collection[Place]:
        async with asyncio.TaskGroup() as all_of_them:  # so that none goes on in the next test when one fails
            strikes = [all_of_them.create_task(fault.strike(stack)) for fault in self.faults]
        return list(chain.from_iterable(strike.result() for strike in strikes))
