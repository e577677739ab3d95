"""The services of a whole Mise Voice: what each process runs, when it is ready, and which settings it is given."""

from __future__ import annotations

import asyncio
import secrets
import sys
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from aiokafka.errors import KafkaError
from pydantic import SecretStr

from deploy.embedded import kafka
from deploy.embedded.clickhouse.process import EmbeddedClickHouse
from deploy.embedded.ports import free_port, is_free
from deploy.secret_file import secret
from deploy.stages import until_owner
from deploy.supervisor import Alive, Service
from pipeline.kafka.client import admin
from pipeline.settings import PREFIX, Settings
from schemas.errors import Unavailable
from schemas.topics import SOURCES

KAFKA_PORT = 9092
CLICKHOUSE_PORT = 8123
CLICKHOUSE_USER = "mise"
GATEWAY_READY_S = 30.0
DRAIN_S = 1.0
"""Who presses Ctrl-C waits for it all to stop."""
STOPPED_AFTER_S = 1.5


@dataclass(frozen=True)
class Services:
    """What `run` runs, in the order of starting. servers : embedded ones; empty when the settings name others."""

    settings: Settings
    servers: tuple[Service, ...]
    gateway: Service
    stages: tuple[Service, ...]


def services_of(settings: Settings, *, default_ports: bool = True) -> Services:
    """The services, with the settings completed by where the embedded servers listen.

    default_ports : prefer the ports that people know, where they are free; else any free ones.
    """

    def port(preferred: int) -> int:
        return preferred if default_ports and preferred and is_free(preferred) else free_port()

    logs = settings.data_dir / "logs"
    servers: list[Service] = []
    if settings.kafka_brokers is None:
        config = kafka.KafkaConfig.in_folder(settings.data_dir / "kafka", port(KAFKA_PORT))
        settings = settings.model_copy(update={"kafka_brokers": config.bootstrap})
        servers.append(_kafka(config))
    if settings.clickhouse_url is None:
        server = EmbeddedClickHouse(
            data=settings.data_dir / "clickhouse",
            port=port(CLICKHOUSE_PORT),
            user=CLICKHOUSE_USER,
            password_file=settings.data_dir / "clickhouse.password",
        )
        password = secret(server.password_file, lambda: secrets.token_urlsafe(24))
        settings = settings.model_copy(
            update={
                "clickhouse_url": server.url,
                "clickhouse_user": server.user,
                "clickhouse_password": SecretStr(password),
            }
        )
        servers.append(_clickhouse(server, logs / "clickhouse.log"))
    settings = settings.model_copy(update={"gateway_port": port(settings.gateway_port)})
    if "gateway_drain_s" not in settings.model_fields_set:
        settings = settings.model_copy(update={"gateway_drain_s": DRAIN_S})
    environ = _environ(settings)
    return Services(
        settings=settings,
        servers=tuple(servers),
        gateway=Service(
            name="gateway",
            command=lambda: [sys.executable, "-m", "deploy.cli", "gateway"],
            ready=lambda _, alive: _gateway_ready(settings, alive, logs / "gateway.log"),
            log_file=logs / "gateway.log",
            environ=environ,
            stop_s=settings.gateway_drain_s + STOPPED_AFTER_S,
        ),
        stages=tuple(_stage(settings, name, logs / f"{name}.log", environ) for name in SOURCES),
    )


def gateway_url(settings: Settings) -> str:
    """Where a client on this machine reaches the gateway."""
    host = "127.0.0.1" if settings.gateway_host in ("0.0.0.0", "::") else settings.gateway_host  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway_port}"


def _kafka(config: kafka.KafkaConfig) -> Service:
    async def ready(_: int, alive: Alive) -> None:
        await kafka.wait_until_ready(config, alive=alive)

    return Service("kafka", lambda: kafka.prepare(config), ready, config.log_file, {})


def _clickhouse(server: EmbeddedClickHouse, log_file: Path) -> Service:
    async def ready(_: int, alive: Alive) -> None:
        await asyncio.to_thread(server.wait_until_ready, lambda: None if alive() else 1, log_file)

    return Service("clickhouse", server.command, ready, log_file, {})


def _stage(settings: Settings, name: str, log_file: Path, environ: dict[str, str]) -> Service:
    async def ready(pid: int, alive: Alive) -> None:
        client = admin(settings)
        try:
            await client.start()
            await until_owner(client, name, pid, alive, log_file)
        except KafkaError as error:
            raise Unavailable(f"{name}: Kafka does not answer ({error!r}); its log is {log_file}") from error
        finally:
            await client.close()

    command = [sys.executable, "-m", "deploy.cli", "worker", name]
    return Service(name, lambda: command, ready, log_file, environ)


async def _gateway_ready(settings: Settings, alive: Alive, log_file: Path) -> None:
    url = f"{gateway_url(settings)}/readyz"

    def answers() -> bool:
        try:
            with urlopen(url, timeout=5) as answer:  # noqa: S310 - the gateway's own URL
                return bool(answer.status == HTTPStatus.OK)
        except (URLError, OSError):
            return False

    try:
        async with asyncio.timeout(GATEWAY_READY_S):
            while alive():
                if await asyncio.to_thread(answers):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(f"gateway: not ready after {GATEWAY_READY_S:.0f} s; its log is {log_file}") from None
    raise Unavailable(f"gateway: ended before it was ready; its log is {log_file}")


def _environ(settings: Settings) -> dict[str, str]:
    """The settings that were given or decided, for the processes that are started."""
    given = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    return {
        f"{PREFIX}{name.upper()}": value.get_secret_value() if isinstance(value, SecretStr) else str(value)
        for name, value in given.items()
        if value is not None
    }
