"""Runs processes: starts them, waits until they are ready, starts again what dies, stops all.

Children die with the supervisor, also when it is killed with -9 (`deploy.embedded.tether`); each writes to a log
file of its own.
"""

from __future__ import annotations

import asyncio
import os
import time
from asyncio.subprocess import DEVNULL, STDOUT, Process
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from deploy.embedded.tether import tethered
from schemas.errors import Unavailable

log = structlog.get_logger()

STEADY_S = 30.0
"""A process that ran this long starts again at once; one that dies sooner waits longer each time."""

LONGEST_WAIT_S = 10.0

Alive = Callable[[], bool]


@dataclass(frozen=True)
class Service:
    """A process to run.

    command : gives its command line; may block and may raise Misconfigured. ready : returns once the process with this
    pid serves; `alive` tells whether it still runs. stop_s : how long a clean stop may take.
    """

    name: str
    command: Callable[[], Sequence[str]]
    ready: Callable[[int, Alive], Awaitable[None]]
    log_file: Path
    environ: Mapping[str, str]
    stop_s: float = 2.5


class Supervisor:
    """Keeps services running. on_change : called whenever a pid has changed."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._processes: dict[str, Process] = {}
        self._keepers: dict[str, asyncio.Task[None]] = {}

    @property
    def pids(self) -> dict[str, int]:
        """Name -> pid of what runs."""
        return {name: process.pid for name, process in self._processes.items() if process.returncode is None}

    async def start(self, *services: Service) -> None:
        """Start the services together; return when all are ready. Raises what their `command` or `ready` raise."""
        starting = [asyncio.create_task(self._start(service)) for service in services]
        try:
            await asyncio.gather(*starting)
        finally:  # what one's failure leaves half started must not go on while the caller stops the rest
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
        for service in services:
            self._keepers[service.name] = asyncio.create_task(self._keep(service), name=f"keep {service.name}")

    async def failed(self) -> None:
        """Return only by raising: when a service can't be started again."""
        await asyncio.gather(*self._keepers.values())

    async def stop(self, *services: Service) -> None:
        """Stop the services together: SIGTERM, and SIGKILL to what still runs after its time."""
        keepers = [keeper for service in services if (keeper := self._keepers.pop(service.name, None)) is not None]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await asyncio.gather(*(self._stop(service) for service in services))

    async def _start(self, service: Service) -> None:
        process = await self._spawn(service)
        self._on_change()
        await service.ready(process.pid, lambda: process.returncode is None)

    async def _spawn(self, service: Service) -> Process:
        command = await asyncio.to_thread(service.command)
        service.log_file.parent.mkdir(parents=True, exist_ok=True)
        with service.log_file.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *tethered(command),
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env={**os.environ, **service.environ},
                # A session of its own: Ctrl-C at the terminal reaches the supervisor alone, which stops in order.
                start_new_session=True,
            )
        self._processes[service.name] = process
        return process

    async def _keep(self, service: Service) -> None:
        wait_s = 0.0
        while True:
            process = self._processes[service.name]
            since = time.monotonic()
            status = await process.wait()
            if time.monotonic() - since > STEADY_S:
                wait_s = 0.0
            log.warning("process_ended", name=service.name, status=status, again_in_s=wait_s, log=str(service.log_file))
            await asyncio.sleep(wait_s)
            wait_s = min(max(0.5, 2 * wait_s), LONGEST_WAIT_S)
            try:
                await self._start(service)
            except Unavailable as error:
                # It may come up with the next try: what it needs may be starting again itself.
                log.warning("process_not_ready", name=service.name, error=str(error))

    async def _stop(self, service: Service) -> None:
        process = self._processes.pop(service.name, None)
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(service.stop_s):
                await process.wait()
        except TimeoutError:
            log.warning("process_killed", name=service.name, after_s=service.stop_s)
            process.kill()
            await process.wait()
