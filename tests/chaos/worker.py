"""The calls stage as a process that ends where it is told to, and its mutations: python -m tests.chaos.worker

The product has no hooks for this: its own names are wrapped here, before its own `main` runs. `CHAOS_FOLDER` is where
`arm` lays down the order to die, once, after a step; `CHAOS_MUTATION` makes it break a promise on purpose, for the
tests that expect the checks to notice.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, Literal, NoReturn

import faust
from aiokafka import AIOKafkaProducer

from agents import app, awake, calls, delivery, worker
from agents.calls import CallsStage
from agents.delivery import Record, Stage
from pipeline import log
from pipeline.dialogue.stored import MARK_KEY
from pipeline.kafka.send import Outgoing
from pipeline.kafka.send import send_all as product_send_all
from pipeline.settings import Settings
from schemas.identity import Position
from schemas.topics import CALL_STATE

Step = Literal["acknowledged", "marks", "outputs", "state"]
"""What is durable, or for `acknowledged` committed, of a batch when the process ends; nothing of the next step is."""

How = Literal["kill", "stop", "raise"]
"""SIGKILL; SIGSTOP, to come back as a zombie; an error that the stage can't handle."""

Mutation = Literal["default-acks", "state-first", "constant-version"]

SESSION_TIMEOUT_S = 6.0
"""The least that Kafka allows: tests wait it out after every death."""


def arm(folder: Path, step: Step, how: How = "kill") -> None:
    """Let the process that reaches the step next end there."""
    draft = folder / "draft"
    draft.write_text(f"{step} {how}", "ascii")
    draft.rename(folder / "armed")


def struck(folder: Path) -> bool:
    """Whether the order was carried out, or is being carried out; forgotten by being asked."""
    try:
        (folder / "struck").unlink()
    except FileNotFoundError:
        return False
    return True


class Deaths:
    """Ends this process after the step that was ordered."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.app: faust.App | None = None
        self.stopped = False
        """Whether this process was stopped, and is back."""

    async def after(self, step: Step) -> None:
        armed = self._folder / "armed"
        try:
            ordered, how = armed.read_text("ascii").split()
        except FileNotFoundError:
            return
        if ordered != step:
            return
        # An offset that was acknowledged too early does its harm once it is committed: there is no worse moment.
        if self.app is not None:
            await self.app.consumer.commit()
        armed.rename(self._folder / "struck")
        if how == "raise":
            raise RuntimeError(f"told to fail after: {step}")
        self.stopped = how == "stop"
        os.kill(os.getpid(), signal.SIGSTOP if self.stopped else signal.SIGKILL)


def main() -> NoReturn:
    """Run the calls stage with what the environment orders."""
    deaths = Deaths(Path(os.environ["CHAOS_FOLDER"]))
    mutation = os.environ["CHAOS_MUTATION"]
    held: list[Outgoing] = []

    async def send_all(producer: AIOKafkaProducer, records: Iterable[Outgoing]) -> None:
        given = list(records)
        step = _step(given)
        if step == "outputs" and mutation == "state-first":
            held.extend(given)
            return
        await product_send_all(producer, given)
        if step == "outputs" and mutation == "constant-version" and deaths.stopped:
            # Before it hears that its partitions are another's it may catch up, and write the newer rows once more.
            os.kill(os.getpid(), signal.SIGKILL)
        if step is not None:
            await deaths.after(step)
        if step == "state" and held:
            await product_send_all(producer, held)
            held.clear()

    class Dying(CallsStage):
        async def process(self, batch: Sequence[Record]) -> None:
            await deaths.after("acknowledged")  # the batch before this one is, and nothing of this one is done
            await super().process(batch)

    def create_app(settings: Settings, stage: str) -> faust.App:
        deaths.app = app.create_app(settings, stage)
        return deaths.app

    _put(app, "SESSION_TIMEOUT_S", SESSION_TIMEOUT_S)
    _put(calls, "send_all", send_all)
    _put(calls, "CallsStage", Dying)
    _put(worker, "create_app", create_app)
    if mutation == "default-acks":
        _put(delivery, "attach", attach_with_default_acks)
    elif mutation == "constant-version":
        _put(Position, "version", lambda *_, **__: 1)
        _put(awake, "SUSPENDED_S", float("inf"))  # versions are for the zombie that does not notice, or not in time
    settings = Settings.from_environment()
    log.configure(settings.log_level, process="calls")
    worker.main(settings, "calls")


def attach_with_default_acks(
    to: faust.App, stage: Stage, settings: Settings, fail: Callable[[BaseException], None]
) -> None:
    """`delivery.attach` as Faust would have it: `take` acknowledges what it gave, whatever became of it."""
    topic = to.topic(*(source.name for source in stage.sources), value_type=bytes, key_type=bytes)

    async def deliver(stream: Any) -> None:
        try:
            async with aclosing(stream.take_events(settings.batch_records, within=settings.batch_within_s)) as batches:
                async for events in batches:
                    await stage.process([delivery._record(event) for event in events])
        except Exception as error:
            await to.consumer.commit()  # as its timer may at any moment; whether stopping does is a matter of luck
            fail(error)
            raise

    to.agent(topic, name=stage.name)(deliver)

    @to.on_partitions_assigned.connect(weak=False)
    async def assigned(_app: faust.App, assigned: set[faust.types.TP], **_: object) -> None:
        await stage.on_assigned(frozenset(place.partition for place in assigned))


def _step(records: Sequence[Outgoing]) -> Step | None:
    """Which step of `CallsStage.process` sends these; None for none."""
    if not records:
        return None
    if records[0].topic != CALL_STATE.name:
        return "outputs"
    return "marks" if records[0].key == MARK_KEY else "state"


def _put(place: object, name: str, value: object) -> None:
    """Put a value in the place of the product's own, which has to be there: else the wrapping would do nothing."""
    if not hasattr(place, name):
        raise AttributeError(f"{place} has no {name}: tests.chaos.worker wraps a name that the product gave up")
    setattr(place, name, value)


if __name__ == "__main__":
    main()
