"""A broker's life: started under a tether, waited for, stopped."""

import asyncio
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.kafka.broker import KafkaConfig, prepare
from deploy.embedded.kafka.readiness import wait_until_ready
from deploy.embedded.tether import tethered

# A clean stop takes 0.3 to 0.8 s. After a kill -9 nothing acknowledged is lost, the next start only takes longer.
STOP_GRACE_S = 5.0


@dataclass(frozen=True)
class RunningKafka:
    """A broker that is ready, and its process."""

    config: KafkaConfig
    process: Process

    @property
    def bootstrap(self) -> str:
        return self.config.bootstrap


@asynccontextmanager
async def running_kafka(data_dir: Path, *, port: int | None = None) -> AsyncIterator[RunningKafka]:
    """A broker on `data_dir` for the length of the block: ready at its beginning, stopped at its end.

    Raises what `prepare` and `wait_until_ready` raise. That the broker ends within the block is no error: tests
    kill it.
    """
    config = KafkaConfig.in_folder(data_dir, port)
    process = await start(config)
    try:
        await wait_until_ready(config, alive=lambda: process.returncode is None)
        yield RunningKafka(config, process)
    finally:
        await stop(process)


async def start(config: KafkaConfig) -> Process:
    """Prepare and start a broker that dies with this process; it is not ready yet.

    It is in a session of its own: a Ctrl-C at the terminal does not reach it, so that its clients can stop first.
    """
    command = await asyncio.to_thread(prepare, config)
    with config.log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *tethered(command), stdin=DEVNULL, stdout=log, stderr=STDOUT, start_new_session=True
        )


async def stop(process: Process, *, grace_s: float = STOP_GRACE_S) -> bool:
    """Stop a process by SIGTERM, by SIGKILL when it still runs after `grace_s`; True if the first was enough."""
    if process.returncode is not None:
        return True
    process.terminate()
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return True
