"""A fast path through Faust: the same records, order, flow control and acknowledgements at a fraction of the cost.

What it replaces in Faust, why that is safe, and how to go back: docs/decisions/0014. It leans on what Faust does not
promise, so it belongs to one version of it, READ_FROM, and refuses any other.

Words of Faust: the *flow* is stopped while a rebalance goes on; a *generation* is the time from one rebalance to the
next; the *read offset* of a partition is that of the last record handed over, or the one that was sought.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.metadata import version
from time import monotonic
from typing import Any

import faust
from aiokafka import TopicPartition
from aiokafka.errors import ConsumerStoppedError
from faust.tables import TableManager
from faust.transport import drivers
from faust.transport.drivers import aiokafka
from faust.types import TP, EventT

from agents.batches import Limits, size
from schemas.errors import Misconfigured

READ_FROM = "0.15.3"
"""The version of faust-streaming that this module was read from."""

SCHEME = "kafka+fast"
"""URL scheme of brokers that are consumed from on the fast path."""

FETCH_WITHIN_S = 1.0
"""How long a fetch waits for records, as in Faust; the consumer sees a stop that late at most."""

LOOK_AGAIN_S = 0.01
"""The same while a partition is left out because its records wait in the buffer. Faust sleeps a second, in which a
stage that has emptied the buffer has nothing to do; a look costs some 0.1 ms."""

YIELD_EVERY = 100
"""Records handed over until other tasks get a turn, as in Faust: else a large fetch holds up the heartbeats."""


def check_version() -> None:
    """Raise Misconfigured unless Faust is of the version that this module was read from."""
    found = version("faust-streaming")
    if found != READ_FROM:
        raise Misconfigured(
            f"faust-streaming {found} is installed, the fast path through Faust is made for {READ_FROM}; install that "
            f"one, or set MISE_VOICE_FAUST_FAST_PATH=false"
        )


class Raw(faust.Schema[bytes, bytes]):
    """Keys and values as they are. Faust's codecs make the same of them, for a fifth of the CPU that was left."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> EventT[bytes]:  # noqa: ARG001 - nothing to raise
            return faust.Event(app, message.key, message.value, message.headers, message)

        return decode


async def batches(stream: faust.Stream[bytes], limits: Limits) -> AsyncIterator[list[EventT[bytes]]]:
    """Batches of a stream's events, tracked as Faust tracks them and not acknowledged; events that a rebalance has made
    void are left out.

    Faust's `noack_take` has a task of its own that takes event after event, with a turn of the loop and four calls of
    sensors for each. Here an event is a step of a loop.
    """
    app: Any = stream.app
    queue: Any = stream.channel.queue  # type: ignore[attr-defined] # the channel of an agent's stream is a topic
    loop = asyncio.get_running_loop()
    while True:
        batch: list[EventT[bytes]] = []
        held = 0
        until: float | None = None  # the first record is waited for, however long
        try:
            while len(batch) < limits.records and held < limits.size_bytes:
                if queue.empty():
                    async with asyncio.timeout_at(until):
                        event = await queue.get()
                else:
                    event = queue.get_nowait()
                if until is None:
                    until = loop.time() + limits.within_s
                if _void(app, event):
                    continue
                app.consumer.track_message(event.message)
                event.message.tracked = True
                batch.append(event)
                held += size(event)
        except TimeoutError:
            pass
        except StopAsyncIteration:  # so Faust stops an agent
            return
        if batch:
            now = monotonic()
            # Faust reports a partition that it sees no events taken from as stuck.
            app.monitor.stream_inbound_time.update(dict.fromkeys((event.message.tp for event in batch), now))
            yield batch


def _void(app: Any, event: EventT[bytes]) -> bool:
    """True for what was consumed before the last rebalance, or is met in the middle of one: it is consumed again."""
    return bool(event.message.generation_id != app.consumer_generation_id or not app.flow_control.is_active())


class NoTables(TableManager):
    """Faust waits a second at every start for tables to be made; no stage has any."""

    async def on_start(self) -> None:
        """Go on at once."""
        await self._update_channels()
        await self.recovery.start()


class Consumer(aiokafka.Consumer):
    """Faust's consumer with a drain of its own.

    Faust hands over each record in four tasks, so that a record that has to wait (its buffer is full, the flow is
    stopped) does not hold up a rebalance. Here all records of a fetch share those.
    """

    _seek_first = False
    """Records were fetched and, as far as is known, dropped: the place in the partitions is to be sought again."""

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)  # type: ignore[arg-type] # waits for asyncio's events too
                    continue
                if self._seek_first:
                    await self._seek_back()
                    continue
                self._seek_first = True  # unless all that is fetched is handed over
                generation, places = self.app.consumer_generation_id, dict(self._read_offset)
                records = await self._fetch()
                if self._flows(generation):
                    await self.wait_first(self._hand_over(records, generation, places), self.suspend_flow.wait())
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    def _flows(self, generation: int) -> bool:
        """The flow is active, and has been since this generation began."""
        return self.flow_active and generation == self.app.consumer_generation_id

    def on_buffer_drop(self, tp: TP) -> None:
        """Take the partition in again, unless it was paused meanwhile."""
        super().on_buffer_drop(tp)
        self._get_active_partitions().difference_update(self._paused_partitions)

    async def _fetch(self) -> Any:
        """Records by partition; none when none came in time."""
        # This very set: aiokafka reads it while it waits, and Faust changes it when buffers fill and empty.
        active = self._get_active_partitions()
        wait_s = LOOK_AGAIN_S if self._buffered_partitions else FETCH_WITHIN_S
        if active:
            return await self._getmany(active, wait_s)
        # With an empty set aiokafka would give out the records of all partitions.
        await self.sleep(LOOK_AGAIN_S)
        return {}

    async def _seek_back(self) -> None:
        """Go back to what is committed, or to the beginning where nothing is; read offsets too."""
        generation = self.app.consumer_generation_id
        if not self.assignment():  # its topic was deleted
            self._seek_first = False
            return
        try:
            await self.perform_seek()
            # Faust leaves these where they are, behind the records that were dropped.
            places = [TopicPartition(*tp) for tp in self.assignment() if not self._committed_offset[tp]]
            if places:
                await self._thread.seek_to_beginning(*places)
        except Exception:
            # In the middle of a rebalance no partition may be assigned. It ends with the flow active again.
            if self._flows(generation):
                raise
        else:
            self._seek_first = not self._flows(generation)

    async def _hand_over(self, records: Any, generation: int, places: dict[TP, int | None]) -> None:
        """Give the records of a fetch to the stream, partition after partition in turns, those of a partition in order.

        places : the read offsets when the fetch began; what was sought since is not to go on from there.
        Ends early when the flow is stopped, and is cancelled when it is stopped while a record waits: a seek follows.
        """
        for tp in records:
            self.app.monitor.track_tp_end_offset(tp, self.highwater(tp))
        left: dict[TP, int] = {}
        sought: set[TP] = set()
        active, buffered, paused = self._get_active_partitions(), self._buffered_partitions, self._paused_partitions
        for number, (tp, record) in enumerate(self.scheduler.iterate(records)):
            if number % YIELD_EVERY == YIELD_EVERY - 1:
                await asyncio.sleep(0)
            if not self._flows(generation):
                return
            read = places.get(tp)
            if self._read_offset[tp] != read:
                sought.add(tp)
                continue
            if read is not None and record.offset < read:
                continue
            if tp in left or tp in paused or not (tp in active or tp in buffered):
                left.setdefault(tp, record.offset)  # paused since it was fetched
                continue
            if read is not None and record.offset > read + 1:
                # Compacted away, or of a transaction: nobody will acknowledge these offsets.
                await self._add_gap(tp, read + 1, record.offset - 1)
            await self.callback(self._to_message(tp, record))
            if self._read_offset[tp] == read:
                places[tp] = self._read_offset[tp] = record.offset
        # Faust forgets what is left, and would take it for a gap when the partition is resumed. Where another place was
        # sought during the fetch nobody knows which of the two the records are of: they are fetched again from there.
        again = {tp: offset for tp, offset in left.items() if self._read_offset[tp] == places.get(tp)}
        again |= {tp: self._read_offset[tp] or 0 for tp in sought}
        if again:
            await self.seek_wait(again)
        self._seek_first = False


class Transport(aiokafka.Transport):
    """Faust's transport with our consumer."""

    Consumer = Consumer


drivers.TRANSPORTS[SCHEME] = f"{__name__}:{Transport.__name__}"
