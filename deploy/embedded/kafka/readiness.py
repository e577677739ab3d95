"""Whether the broker serves: asked through the protocol, not of the port."""

import asyncio
from collections.abc import Callable

from aiokafka.client import CoordinationType
from aiokafka.conn import create_conn
from aiokafka.errors import BrokerNotAvailableError, KafkaError, for_code
from aiokafka.protocol.coordination import FindCoordinatorRequest
from aiokafka.protocol.metadata import MetadataRequest

from deploy.embedded.kafka.broker import KafkaConfig, why_ended
from deploy.embedded.ports import LOOPBACK
from schemas.errors import Unavailable

# A start takes 1 s; a minute is for a busy machine, and for a folder whose segments are checked after a kill -9.
READY_DEADLINE_S = 60.0
POLL_INTERVAL_S = 0.05
REQUEST_TIMEOUT_S = 5.0

# The group asked about; it is never joined. The question makes Kafka create the topic of committed offsets, so
# the first real consumer does not wait for that.
PROBE_GROUP = "mise-voice.readiness"


async def wait_until_ready(
    config: KafkaConfig, *, alive: Callable[[], bool], deadline_s: float = READY_DEADLINE_S
) -> None:
    """Return once the broker answers for its metadata and names a group's coordinator.

    alive : whether the broker's process still runs; asked every 50 ms.

    Raises, as soon as the process has ended, what its log says about it (see `why_ended`); Unavailable when
    `deadline_s` passes.
    """
    serves = asyncio.ensure_future(_until_it_serves(config))
    ended = asyncio.ensure_future(_until_it_ends(alive))
    try:
        await asyncio.wait({serves, ended}, timeout=deadline_s, return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            raise why_ended(config, what="starting Kafka")
        if not serves.done():
            raise Unavailable(
                f"Kafka at {config.bootstrap} does not serve after {deadline_s:g} s; its log is {config.log_file}"
            )
        serves.result()
    finally:
        for task in (serves, ended):
            task.cancel()
        await asyncio.gather(serves, ended, return_exceptions=True)


async def _until_it_ends(alive: Callable[[], bool]) -> None:
    while alive():
        await asyncio.sleep(POLL_INTERVAL_S)


async def _until_it_serves(config: KafkaConfig) -> None:
    while True:
        try:
            await _ask(config)
        except (OSError, KafkaError):
            await asyncio.sleep(POLL_INTERVAL_S)
        else:
            return


async def _ask(config: KafkaConfig) -> None:
    """Raises OSError or KafkaError unless the broker answers as one that serves.

    On a connection of its own: aiokafka's clients report each refusal as an error, and one that is cancelled
    while it connects leaves a socket open.
    """
    connection = await create_conn(
        LOOPBACK, config.port, client_id=PROBE_GROUP, request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000)
    )
    try:
        if not (await connection.send(MetadataRequest([]))).brokers:
            raise BrokerNotAvailableError
        answer = await connection.send(FindCoordinatorRequest(PROBE_GROUP, CoordinationType.GROUP))
        if answer.error_code:
            raise for_code(answer.error_code)
    finally:
        await connection.close()
