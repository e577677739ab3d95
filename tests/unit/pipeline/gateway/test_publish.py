"""Audio first, then the record, then the answer. The producer and the blob store are fakes of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, OutOfOrderSequenceNumber, RequestTimedOutError

from pipeline.gateway import publish
from pipeline.gateway.accept import AcceptedTurn
from pipeline.gateway.publish import Publisher
from pipeline.settings import Settings
from schemas.codec import encode
from schemas.errors import Unavailable
from schemas.turn import Audio
from tests.records import received_turn


class World:
    """Remembers what happens, in order; fails where it is told to."""

    def __init__(self) -> None:
        self.log: list[tuple[str, str]] = []
        self.blobs_away: set[str] = set()
        self.send_error: Exception | None = None
        self.ack_error: dict[str, Exception] = {}
        self.acks = True

    async def put(self, key: str, data: bytes) -> None:
        assert data == b"RIFF"
        await asyncio.sleep(0)
        if key in self.blobs_away:
            raise Unavailable("blob store away")
        self.log.append(("blob", key))

    async def check_writable(self) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(self, topic: str, value: bytes, *, key: bytes, timestamp_ms: int) -> asyncio.Future[object]:
        assert (topic, timestamp_ms) == ("turns.received", received_turn().received_at // 1000)
        assert key == b"default\x1fcall-1"
        if self.send_error is not None:
            raise self.send_error
        turn_id = value.decode().partition('"turn_id":"')[2].partition('"')[0]
        self.log.append(("record", turn_id))
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if turn_id in self.ack_error:
            future.set_exception(self.ack_error[turn_id])
        elif self.acks:
            future.set_result(None)
        return future


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def publisher(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Publisher]:
    def fake(*_: Any, **__: Any) -> World:
        return world

    monkeypatch.setattr(publish, "producer", fake)
    monkeypatch.setattr(publish, "Blobs", fake)
    return lambda: Publisher(Settings(data_dir=tmp_path, gateway_produce_timeout_s=0.05))


def accepted(turn_id: str, *, audio: bool = False) -> AcceptedTurn:
    blob = Audio(f"blob of {turn_id}", "wav", 4) if audio else None
    record = received_turn(turn_id=turn_id, audio=blob)
    return AcceptedTurn(record, encode(record), b"RIFF" if audio else None)


async def outcomes(made: Callable[[], Publisher], *items: AcceptedTurn) -> list[bool]:
    async with made() as publisher:
        results = await publisher.publish(items)
    assert all(result is None or isinstance(result, Unavailable) for result in results)
    return [result is None for result in results]


async def test_audio_is_stored_before_its_record_is_sent(world: World, publisher: Callable[[], Publisher]) -> None:
    assert await outcomes(publisher, accepted("a", audio=True), accepted("b")) == [True, True]
    assert world.log.index(("blob", "blob of a")) < world.log.index(("record", "a"))


async def test_records_are_sent_in_the_order_given(world: World, publisher: Callable[[], Publisher]) -> None:
    names = [f"t{i}" for i in range(20)]
    await outcomes(publisher, *(accepted(name, audio=i % 3 == 0) for i, name in enumerate(names)))
    assert [name for kind, name in world.log if kind == "record"] == names


async def test_turn_whose_audio_is_not_stored_is_not_sent(world: World, publisher: Callable[[], Publisher]) -> None:
    world.blobs_away = {"blob of a"}
    assert await outcomes(publisher, accepted("a", audio=True), accepted("b", audio=True)) == [False, True]
    assert ("record", "a") not in world.log


async def test_record_that_is_not_acknowledged_is_not_durable(world: World, publisher: Callable[[], Publisher]) -> None:
    world.ack_error = {"b": RequestTimedOutError()}
    assert await outcomes(publisher, accepted("a"), accepted("b"), accepted("c")) == [True, False, True]


@pytest.mark.parametrize("error", [KafkaTimeoutError(), KafkaConnectionError()])
async def test_nothing_is_durable_when_sending_fails(
    world: World, publisher: Callable[[], Publisher], error: Exception
) -> None:
    world.send_error = error
    assert await outcomes(publisher, accepted("a"), accepted("b")) == [False, False]


async def test_silence_of_kafka_ends_after_the_timeout(world: World, publisher: Callable[[], Publisher]) -> None:
    world.acks = False
    assert await outcomes(publisher, accepted("a")) == [False]


async def test_bug_is_not_taken_for_an_outage(world: World, publisher: Callable[[], Publisher]) -> None:
    world.ack_error = {"a": ZeroDivisionError()}
    with pytest.raises(ZeroDivisionError):
        await outcomes(publisher, accepted("a"))


class Refusing(World):
    """A producer that Kafka refuses everything of, and that never ends."""

    async def send(self, topic: str, value: bytes, *, key: bytes, timestamp_ms: int) -> asyncio.Future[object]:
        future = await super().send(topic, value, key=key, timestamp_ms=timestamp_ms)
        if future.done():
            future = asyncio.get_running_loop().create_future()
        future.set_exception(OutOfOrderSequenceNumber())
        return future

    async def stop(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.parametrize("dead", [False, True], ids=["refused", "dead"])
async def test_producer_that_kafka_refuses_is_replaced_however_long_it_takes_to_stop(
    world: World, publisher: Callable[[], Publisher], monkeypatch: pytest.MonkeyPatch, dead: bool
) -> None:
    """Also one that follows it; dead : its sender has ended, so that nothing can be sent any more."""
    refusing = [Refusing(), Refusing()]
    for each in refusing:
        each.send_error = OutOfOrderSequenceNumber() if dead else None
    producers = iter([*refusing, world])
    monkeypatch.setattr(publish, "producer", lambda *_, **__: next(producers))
    monkeypatch.setattr(publish, "RENEW_EVERY_S", 0.0)
    async with publisher() as made:
        for _ in refusing:
            assert await made.publish([accepted("a")]) != [None]
            assert made._renewal is not None
            await made._renewal
        assert await made.publish([accepted("a")]) == [None]
