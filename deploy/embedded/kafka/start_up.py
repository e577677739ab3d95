"""Records the start-up cache: Java's classes as they are after a start, so that later starts need not load them.

It is Java's "AOT cache" (JEP 514): 70 MB, a broker that is ready after 1 s instead of 2 s, for 1.7 CPU seconds instead
of 2.9. Nothing depends on it; without one, or with one that doesn't fit, Java starts as usual.
"""

import asyncio
import os
import tempfile
from asyncio.subprocess import DEVNULL, STDOUT
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.kafka.broker import KafkaConfig, prepare
from deploy.embedded.kafka.readiness import wait_until_ready
from deploy.embedded.kafka.running import stop
from deploy.embedded.tether import tethered
from schemas.errors import Unavailable

# Java writes the cache when the broker ends: 7 s on an idle core.
RECORDING_GRACE_S = 120.0


async def record_start_up(cache: Path) -> None:
    """Start a broker on an empty folder, use it as our clients do, stop it; its start-up is then in `cache`.

    Raises Unavailable when Java wrote none, and what the start of a broker raises.
    """
    with tempfile.TemporaryDirectory() as data_dir:
        config = KafkaConfig.in_folder(Path(data_dir))
        java, *arguments = await asyncio.to_thread(prepare, config)
        unfinished = cache.with_name(f".{cache.name}.{os.getpid()}")
        command = tethered([java, f"-XX:AOTCacheOutput={unfinished}", *arguments])
        with config.log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True
            )
        try:
            await wait_until_ready(config, alive=lambda: process.returncode is None)
            await _use(config.bootstrap)
        finally:
            await stop(process, grace_s=RECORDING_GRACE_S)
        if not unfinished.exists():
            raise Unavailable(f"Java wrote no start-up cache; its log ends: {config.log_file.read_text()[-400:]}")
        unfinished.replace(cache)


async def _use(bootstrap: str) -> None:
    """One record there and back, and an offset committed: what every start of ours comes to."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic("recording", num_partitions=1, replication_factor=1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    consumer = AIOKafkaConsumer(
        "recording", bootstrap_servers=bootstrap, group_id="recording", auto_offset_reset="earliest"
    )
    async with producer, consumer:
        await producer.send_and_wait("recording", b"a record")
        await consumer.getone()
        await consumer.commit()
