"""`mise-voice run`: everything in one go, for a laptop, a trial, a development machine.

Embedded Kafka and ClickHouse (or those that the settings name), the topics and tables, the gateway, the three stages;
then an example call through the public endpoint, its turns as they stand in ClickHouse, and serving until Ctrl-C.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from deploy import first_call, run_file, timeline
from deploy.secret_file import secret
from deploy.services import Services, gateway_url, services_of
from deploy.supervisor import Supervisor
from pipeline.gateway import keys
from pipeline.kafka.topics import create_topics
from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from pipeline.storage.migrate import migrate
from schemas.errors import Misconfigured

WORKSPACE = "default"


def main(settings: Settings, *, example: bool, console: Console) -> int:
    """Run until SIGINT or SIGTERM; the exit status."""
    settings = settings.model_copy(update={"data_dir": settings.data_dir.resolve()})
    try:
        # For the user alone: recordings, what was said, keys.
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Misconfigured(f"MISE_VOICE_DATA_DIR {settings.data_dir}: {error.strerror}; name a folder") from error
    with _alone(settings.data_dir):
        return asyncio.run(_run(settings, example=example, console=console))


async def _run(settings: Settings, *, example: bool, console: Console) -> int:
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    key = _own_key(settings)
    services = services_of(settings)
    settings = services.settings

    def record() -> None:
        run_file.write(settings.run_file(), _content(settings, key, supervisor.pids))

    def pids_changed() -> None:
        if settings.run_file().exists():  # not before everything is ready
            record()

    settings.run_file().unlink(missing_ok=True)  # of a run that was killed
    supervisor = Supervisor(on_change=pids_changed)
    serving = asyncio.create_task(_serve(services, supervisor, record, key, example=example, console=console))
    stopping = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.is_set():
            await serving  # it ended by an error, which this raises
    finally:
        console.print("Stopping…")
        serving.cancel()
        stopping.cancel()
        await asyncio.gather(serving, stopping, return_exceptions=True)
        settings.run_file().unlink(missing_ok=True)
        # What takes in first, what it stands on last, so that nothing that was taken is cut off.
        await supervisor.stop(services.gateway)
        await supervisor.stop(*services.stages)
        await supervisor.stop(*services.servers)
    return 0


async def _serve(
    services: Services,
    supervisor: Supervisor,
    record: Callable[[], None],
    key: str,
    *,
    example: bool,
    console: Console,
) -> None:
    settings = services.settings
    started = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - started:5.1f} s[/dim]  {what}")

    for server in services.servers:
        say(f"starting {server.name}")
    await supervisor.start(*services.servers)
    await asyncio.gather(create_topics(settings), asyncio.to_thread(migrate, settings))
    say("topics and tables are there; starting the gateway and the stages")
    await supervisor.start(services.gateway, *services.stages)
    record()
    say(f"ready: {gateway_url(settings)}")
    if example:
        clickhouse = await asyncio.to_thread(ClickHouse, settings)
        call_id = await asyncio.to_thread(first_call.send, run_file.read(settings.run_file()))
        await first_call.until_visible(clickhouse, call_id)
        say("an example call went through; its turns, from ClickHouse:")
        console.print(timeline.table(call_id, timeline.lines(clickhouse, call_id, workspace=WORKSPACE)))
        clickhouse.close()
    console.print(_how_to_go_on(settings, key), highlight=False, soft_wrap=True, markup=False)
    await supervisor.failed()


def _content(settings: Settings, key: str, pids: dict[str, int]) -> run_file.RunFile:
    return run_file.RunFile(
        gateway_url=gateway_url(settings),
        api_key=key,
        kafka_brokers=settings.kafka_brokers or "",
        clickhouse_url=settings.clickhouse_url or "",
        clickhouse_user=settings.clickhouse_user,
        clickhouse_password=settings.clickhouse_password.get_secret_value(),
        clickhouse_database=settings.clickhouse_database,
        processes=pids,
    )


def _own_key(settings: Settings) -> str:
    """The key of `run`, the same in each run unless it was revoked."""
    file = settings.data_dir / "api.key"
    known = keys.read(settings.keys_file())
    key = secret(file, keys.generate)
    if keys.digest(key) not in {entry.sha256 for entry in known if isinstance(entry, keys.ApiKey)}:
        file.unlink()
        key = secret(file, keys.generate)
        keys.add(settings.keys_file(), key, workspace=WORKSPACE, name="mise-voice run")
    return key


@contextmanager
def _alone(data_dir: Path) -> Iterator[None]:
    """Hold the data folder. Raises Misconfigured when another `run` has it."""
    with (data_dir / "run.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise Misconfigured(
                f"{data_dir} is used by another `mise-voice run` (pid {lock.read().strip() or 'unknown'}); "
                f"stop it, or set MISE_VOICE_DATA_DIR to another folder"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _how_to_go_on(settings: Settings, key: str) -> str:
    return f"""
Send a turn of your own:

  curl {gateway_url(settings)}/v1/turns \\
    -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"call_id": "my-call", "participant": "caller", "role": "user", "text": "Hello?", \
"started_at": "2026-01-31T09:30:00Z", "ended_at": "2026-01-31T09:30:01Z"}}'

See it:

  .venv/bin/mise-voice call my-call
  .venv/bin/mise-voice sql "SELECT call_id, turns, interruptions, state FROM calls"

Everything else is in {settings.run_file()} and the logs in {settings.data_dir / "logs"}. Ctrl-C stops it all.
"""
