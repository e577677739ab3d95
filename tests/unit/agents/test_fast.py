"""Batches of the fast path, without a Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP, EventT
from faust.types.tuples import ConsumerMessage
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from agents import fast
from agents.app import create_app
from agents.batches import Limits
from pipeline.settings import Settings
from schemas.errors import Misconfigured

NOW = 7
"""The generation of the consumer."""

A, B = TP("t", 0), TP("t", 1)

PATIENT = Limits(records=3, size_bytes=1_000, within_s=60.0)
"""Never full by time, as far as a test can wait."""


class Stream:
    """A stream as far as batches look at it."""

    def __init__(self) -> None:
        flow = FlowControlEvent(initially_suspended=False)
        self.tracked: list[int] = []
        self.app = SimpleNamespace(
            consumer_generation_id=NOW,
            flow_control=flow,
            consumer=SimpleNamespace(track_message=lambda message: self.tracked.append(message.offset)),
            monitor=SimpleNamespace(stream_inbound_time={}),
        )
        self.channel = SimpleNamespace(queue=ThrowableQueue(maxsize=100, flow_control=flow))

    def put(self, *offsets: int, generation: int = NOW, size_bytes: int = 0) -> None:
        for offset in offsets:
            message = ConsumerMessage(
                "t", 0, offset, 1.0, 0, [], None, bytes(size_bytes), None, tp=TP("t", 0), generation_id=generation
            )
            self.channel.queue.force_put_nowait(SimpleNamespace(message=message))

    def batches(self, limits: Limits) -> AsyncIterator[list[EventT[bytes]]]:
        return fast.batches(self, limits)  # type: ignore[arg-type]


def offsets(batch: list[EventT[bytes]]) -> list[int]:
    return [event.message.offset for event in batch]


async def test_batch_is_full_by_count() -> None:
    stream = Stream()
    stream.put(0, 1, 2, 3, 4, 5)
    batches = stream.batches(PATIENT)
    assert [offsets(await anext(batches)) for _ in range(2)] == [[0, 1, 2], [3, 4, 5]]


async def test_batch_is_full_by_bytes() -> None:
    stream = Stream()
    stream.put(0, 1, size_bytes=600)
    stream.put(2, size_bytes=5_000)
    batches = stream.batches(PATIENT)
    assert [offsets(await anext(batches)) for _ in range(2)] == [[0, 1], [2]]


async def test_batch_is_full_by_time() -> None:
    stream = Stream()
    stream.put(0)
    batches = stream.batches(PATIENT._replace(within_s=0.001))
    assert offsets(await anext(batches)) == [0]


async def test_time_begins_with_the_first_record() -> None:
    """Until there is one it waits however long, and gives no empty batches."""
    stream = Stream()
    first = asyncio.ensure_future(anext(stream.batches(PATIENT._replace(within_s=0.0))))
    done, _ = await asyncio.wait([first], timeout=0.01)
    assert not done
    stream.put(0)
    assert offsets(await first) == [0]


async def test_records_of_before_a_rebalance_are_left_out_and_not_tracked() -> None:
    stream = Stream()
    stream.put(0, 1, generation=NOW - 1)
    stream.put(2)
    stream.put(3, generation=NOW - 1)
    stream.put(4, 5)
    assert offsets(await anext(stream.batches(PATIENT))) == [2, 4, 5]
    assert stream.tracked == [2, 4, 5]


async def test_records_met_during_a_rebalance_are_left_out() -> None:
    stream = Stream()
    stream.app.flow_control.suspend()
    stream.put(0, 1)
    first = asyncio.ensure_future(anext(stream.batches(PATIENT)))
    while not stream.channel.queue.empty():
        await asyncio.sleep(0)
    stream.app.flow_control.resume()
    stream.put(2, 3, 4)
    assert offsets(await first) == [2, 3, 4]
    assert stream.tracked == [2, 3, 4]


async def test_faust_is_told_that_records_are_taken() -> None:
    """Else it logs an error a minute for each partition, that its stream is stuck."""
    stream = Stream()
    stream.put(0, 1, 2)
    await anext(stream.batches(PATIENT))
    assert set(stream.app.monitor.stream_inbound_time) == {TP("t", 0)}


@pytest.mark.parametrize("value", [b"\xff{", b"", None])
async def test_any_bytes_are_an_event(value: bytes | None) -> None:
    """A value that Faust could not decode would be acknowledged by it; ours becomes a dead letter."""
    message = ConsumerMessage("t", 0, 3, 1.0, 0, [("h", b"1")], b"k\x1f", value, None)
    event = await fast.Raw().compile(None)(message, propagate=True)
    assert (event.key, event.value, event.headers, event.message) == (b"k\x1f", value, {"h": b"1"}, message)


async def test_agent_that_is_stopped_ends() -> None:
    """As Faust stops one (Actor.cancel)."""
    stream = Stream()
    stream.channel.queue._throw(StopAsyncIteration())
    assert [batch async for batch in stream.batches(PATIENT)] == []


async def test_error_thrown_into_the_stream_is_raised() -> None:
    stream = Stream()
    stream.channel.queue._throw(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        await anext(stream.batches(PATIENT))


@pytest.mark.parametrize(
    ("active", "buffered", "waits"),
    [
        pytest.param({A}, set(), [fast.FETCH_WITHIN_S], id="all are read"),
        pytest.param({A}, {B}, [fast.LOOK_AGAIN_S], id="one waits for its buffer"),
        pytest.param(set(), {A, B}, [], id="all wait for their buffers"),
    ],
)
async def test_fetch_looks_again_soon_while_a_buffer_is_full(
    active: set[TP], buffered: set[TP], waits: list[float]
) -> None:
    """An empty set of partitions must not get to aiokafka, which takes it for all of them."""
    waited: list[float] = []

    class Fetching(fast.Consumer):
        def __init__(self) -> None:
            self._active_partitions, self._buffered_partitions = active, buffered

        async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's
            assert active_partitions is active
            waited.append(timeout)
            return {A: ["record"]}

        async def sleep(self, n: Any, **_: Any) -> None:
            assert n == fast.LOOK_AGAIN_S

    assert await Fetching()._fetch() == ({A: ["record"]} if waits else {})
    assert waited == waits


async def test_records_fetched_while_another_place_was_sought_are_fetched_again_from_there() -> None:
    """aiokafka gives them from the new place, or from the old one: they look the same."""
    given: list[int] = []
    sought: list[Mapping[TP, int]] = []

    class Handing(fast.Consumer):
        flow_active = True

        def __init__(self) -> None:
            self.app: Any = SimpleNamespace(
                consumer_generation_id=NOW, monitor=SimpleNamespace(track_tp_end_offset=lambda *_: None)
            )
            self.scheduler: Any = SimpleNamespace(
                iterate=lambda records: [(tp, record) for tp, own in records.items() for record in own]
            )
            self._active_partitions, self._buffered_partitions, self._paused_partitions = {A, B}, set(), set()
            self._read_offset = {A: 12, B: 5}  # A was sought, from 19

        def highwater(self, _tp: TP) -> int:
            return 20

        def _to_message(self, tp: TP, record: Any) -> Any:
            return tp, record

        async def callback(self, message: Any) -> None:
            given.append(message[1].offset)

        async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
            sought.append(partitions)

    consumer = Handing()
    records = {A: [SimpleNamespace(offset=offset) for offset in (12, 13)], B: [SimpleNamespace(offset=6)]}
    await consumer._hand_over(records, NOW, {A: 19, B: 5})
    assert given == [6]
    assert sought == [{A: 12}]


def test_other_version_of_faust_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "version", lambda _name: "0.15.4")
    settings = Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path)
    with pytest.raises(
        Misconfigured, match=r"0\.15\.4 is installed, .* for 0\.15\.3; .*MISE_VOICE_FAUST_FAST_PATH=false"
    ):
        create_app(settings, "features")
    create_app(settings.model_copy(update={"faust_fast_path": False}), "features")


@pytest.mark.parametrize(
    ("fast_path", "consumer"), [(True, "agents.fast"), (False, "faust.transport.drivers.aiokafka")]
)
def test_setting_chooses_the_consumer(fast_path: bool, consumer: str, tmp_path: Path) -> None:
    settings = Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path, faust_fast_path=fast_path)
    transport: Any = create_app(settings, "features").transport
    assert transport.Consumer.__module__ == consumer
