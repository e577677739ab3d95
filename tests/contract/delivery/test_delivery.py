"""What delivery promises, on the fast path through Faust and on Faust's own, on a real Kafka.

What Faust itself does not keep is an expected failure on its path, with the reason: it is why ours differs.
"""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer

from deploy.embedded.kafka import RunningKafka
from tests.contract.delivery.conftest import FAST
from tests.contract.delivery.workers import PARTITIONS, Setting, holds
from tests.integration.waiting import until

only_fast = pytest.mark.parametrize("fast_path", [FAST])


# --- batches, order, commit


async def test_records_come_once_in_order_and_are_committed(setting: Setting) -> None:
    for partition in range(PARTITIONS):
        await setting.send(500, partition=partition)
    async with setting.worker(batch_records=100) as worker:
        assert await until(setting.all_committed)
        assert [worker.stage.offsets(partition) for partition in range(PARTITIONS)] == [list(range(500))] * PARTITIONS
        assert max(len(batch) for batch in worker.stage.batches) == 100
        # What follows a backlog, too: it comes one by one.
        await setting.send(1, partition=1)
        assert await until(setting.all_committed)
        assert worker.stage.offsets(1)[-1] == 500
        assert worker.failures == []


async def test_batch_ends_with_the_record_that_exceeds_its_bytes(setting: Setting) -> None:
    await setting.send(40, value=b"v" * 999)  # and a key of one byte
    await setting.send(1, value=b"v" * 10_000)  # which no batch has room for
    async with setting.worker(batch_bytes=2_500) as worker:
        assert await until(setting.all_committed)
        assert worker.stage.offsets() == list(range(41))
        assert max(len(batch) for batch in worker.stage.batches) == 3


async def test_batch_is_tracked_and_uncommitted_until_it_is_done(setting: Setting) -> None:
    await setting.send(10)
    async with setting.worker(shut=True, batch_records=10) as worker:
        assert await holds(lambda: worker.stage.offsets() == list(range(10)))
        assert sorted(message.offset for message in worker.consumer.unacked) == list(range(10))
        await worker.consumer.commit()
        assert await setting.committed() == 0
        worker.stage.open.set()
        assert await until(setting.all_committed)
        assert set(worker.consumer.unacked) == set()


async def test_batch_that_fails_is_not_committed_and_nothing_follows_it(setting: Setting) -> None:
    await setting.send(20)
    async with setting.worker(shut=True, batch_records=10) as worker:
        worker.stage.error = RuntimeError("broken")
        worker.stage.open.set()
        assert await holds(lambda: bool(worker.failures))
        assert str(worker.failures[0]) == "broken"
        assert worker.stage.batches[0][-1].offset == 9
        await worker.consumer.commit()
        assert await setting.committed() == 0


async def test_gap_is_committed_over(setting: Setting, kafka: RunningKafka) -> None:
    """
    # offset   0  1  2  3  4
    #          a  b  B  A  c     A, B the marks of transactions' ends, which no consumer sees
    """
    async with (
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{setting.topic.name}-a") as a,
        AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, transactional_id=f"{setting.topic.name}-b") as b,
        a.transaction(),
        b.transaction(),
    ):
        for each in (a, b):
            await each.send_and_wait(setting.topic.name, b"v", partition=0)
    assert await until(setting.end, lambda offset: offset == 4) == 4  # the marks are written later
    await setting.send(1)
    async with setting.worker() as worker:
        assert await until(setting.committed, lambda offset: offset == 5) == 5
        assert worker.stage.offsets() == [0, 1, 4]


# --- rebalance


async def test_rebalance_loses_nothing_and_does_not_commit_what_is_under_way(setting: Setting) -> None:
    for partition in range(PARTITIONS):
        await setting.send(50, partition=partition)
    async with setting.worker(shut=True, batch_records=10) as first:
        assert await holds(lambda: bool(first.stage.batches))
        async with setting.worker(shut=True, batch_records=10) as second:
            assert await holds(lambda: len(first.stage.assigned or ()) < PARTITIONS)
            assert (first.stage.assigned or frozenset()) | (second.stage.assigned or frozenset()) == {0, 1, 2}
            first.stage.open.set()
            taken = frozenset(second.stage.assigned or ())
            kept = frozenset(first.stage.assigned or ())
            # The first goes on with what it kept, from the beginning; of what it lost nothing is committed by it.
            for partition in kept:
                assert await until(lambda partition=partition: setting.committed(partition), lambda o: o == 50) == 50  # type: ignore[misc]
            assert [await setting.committed(partition) for partition in taken] == [0] * len(taken)
            second.stage.open.set()
            assert await until(setting.all_committed)
            for partition in taken:
                assert second.stage.offsets(partition) == list(range(50))
            for partition in kept:
                assert first.stage.offsets(partition)[-50:] == list(range(50))
        # And back: the second has left.
        assert await holds(lambda: first.stage.assigned == frozenset(range(PARTITIONS)))
        for partition in range(PARTITIONS):
            await setting.send(1, partition=partition)
        assert await until(setting.all_committed)
        assert first.failures == []
        assert second.failures == []


async def test_next_worker_goes_on_where_the_last_one_committed(setting: Setting) -> None:
    await setting.send(10)
    async with setting.worker():
        assert await until(setting.all_committed)
    await setting.send(5)
    async with setting.worker() as worker:
        assert await until(setting.all_committed)
        assert worker.stage.offsets() == [10, 11, 12, 13, 14]


# --- flow control, pause, resume, seek


@only_fast
async def test_flow_that_stops_while_records_wait_goes_on_with_them(setting: Setting) -> None:
    """Nothing is committed to go back to, and no rebalance gives the partitions anew: Faust would lose them."""
    await setting.send(200)
    async with setting.worker(shut=True, batch_records=2) as worker:
        assert await holds(lambda: worker.buffer().full())
        worker.consumer.stop_flow()
        worker.app.flow_control.suspend()
        worker.app.flow_control.clear()
        worker.stage.open.set()
        worker.app.flow_control.resume()
        worker.consumer.resume_flow()
        assert await until(setting.all_committed)
        assert list(dict.fromkeys(worker.stage.offsets())) == list(range(200))


@pytest.mark.parametrize(
    "fast_path",
    [
        FAST,
        pytest.param(
            False,
            id="stock",
            marks=pytest.mark.xfail(
                raises=AssertionError,
                reason="what is fetched is handed over; a buffer that drains resumes its partition",
            ),
        ),
    ],
)
async def test_paused_partition_rests_until_it_is_resumed(setting: Setting) -> None:
    await setting.send(200)
    async with setting.worker(shut=True, batch_records=2) as worker:
        assert await holds(lambda: worker.buffer().full())
        worker.consumer.pause_partitions({setting.place()})
        waiting = worker.buffer().qsize()
        worker.stage.open.set()
        # Others go on meanwhile, so the consumer has been round.
        await setting.send(50, partition=1)
        assert await until(lambda: setting.committed(1), lambda offset: offset == 50) == 50
        assert len(worker.stage.offsets()) <= 2 + waiting + 1  # the batch, the buffer, and the one that waited for it
        assert (
            setting.place() not in worker.consumer._active_partitions
        )  # else it is fetched, and sought back, for ever
        worker.consumer.resume_partitions({setting.place()})
        assert await until(setting.all_committed)
        assert worker.stage.offsets() == list(range(200))


async def test_seek_gives_the_records_again(setting: Setting) -> None:
    await setting.send(20)
    async with setting.worker() as worker:
        assert await until(setting.all_committed)
        await worker.consumer.seek_wait({setting.place(): 12})
        assert await holds(lambda: worker.stage.offsets() == [*range(20), *range(12, 20)])
        await setting.send(1)
        assert await until(setting.all_committed)
        assert worker.stage.offsets()[-1] == 20


@only_fast
async def test_seek_while_records_wait_gives_the_records_from_there(setting: Setting) -> None:
    """Faust goes on with what it had in hand, drops what was sought, and may take that for a gap."""
    await setting.send(200)
    async with setting.worker(shut=True, batch_records=2) as worker:
        assert await holds(lambda: worker.buffer().full())
        await worker.consumer.seek_wait({setting.place(): 1})
        worker.stage.open.set()
        assert await holds(lambda: worker.stage.offsets()[2:][-199:] == list(range(1, 200)))  # besides 0 and 1 at first
        assert await until(setting.all_committed)
