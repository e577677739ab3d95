"""The proxies between each two processes, and how the processes are told to go through them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from deploy.embedded.ports import LOOPBACK, free_port
from deploy.services import Services
from deploy.supervisor import Service
from pipeline.settings import PREFIX
from tests.chaos.proxy import Proxy

Link = Literal["client-gateway", "gateway-kafka", "features-kafka", "calls-kafka", "sink-kafka", "sink-clickhouse"]

KAFKA_CLIENTS: dict[str, Link] = {
    "gateway": "gateway-kafka",
    "features": "features-kafka",
    "calls": "calls-kafka",
    "sink": "sink-kafka",
}


@asynccontextmanager
async def linked(services: Services) -> AsyncIterator[tuple[Mapping[Link, Proxy], dict[str, Service]]]:
    """Proxies that carry, for as long as the block lasts, and the services by name, told to go through them.

    None before a cluster: it is disturbed by what happens to its brokers.
    """
    named = {service.name: service for service in (*services.servers, services.gateway, *services.stages)}
    clients = KAFKA_CLIENTS if "kafka" in named else {}
    ports = {client: free_port() for client in clients}
    settings = services.settings
    proxies: dict[Link, Proxy] = {link: Proxy(ports[client]) for client, link in clients.items()}
    proxies["client-gateway"] = Proxy(settings.gateway_port)
    proxies["sink-clickhouse"] = Proxy(urlsplit(settings.clickhouse_url or "").port or 0)
    async with AsyncExitStack() as stack:
        for proxy in proxies.values():
            await proxy.start()
            stack.push_async_callback(proxy.stop)
        for client, link in clients.items():
            named[client] = _told(named[client], "KAFKA_BROKERS", f"{LOOPBACK}:{proxies[link].port}")
        named["sink"] = _told(named["sink"], "CLICKHOUSE_URL", f"http://{LOOPBACK}:{proxies['sink-clickhouse'].port}")
        if clients:
            listeners = {client: (ports[client], proxies[link].port) for client, link in clients.items()}
            named["kafka"] = _advertising(named["kafka"], listeners)
        yield proxies, named


def _told(service: Service, setting: str, value: str) -> Service:
    return replace(service, environ={**service.environ, f"{PREFIX}{setting}": value})


def _advertising(kafka: Service, listeners: Mapping[str, tuple[int, int]]) -> Service:
    """The broker with a listener more for each client: (where it listens, where clients are told to connect to)."""

    def command() -> Sequence[str]:
        line = kafka.command()
        settings = Path(line[-1])
        properties = dict(each.split("=", 1) for each in settings.read_text("ascii").splitlines())
        clients = next(each for each in properties["listeners"].split(",") if each.startswith("CLIENTS://"))
        for name, (port, _) in listeners.items():
            properties["listeners"] += f",{name.upper()}://{LOOPBACK}:{port}"
            properties["listener.security.protocol.map"] += f",{name.upper()}:PLAINTEXT"
        properties["advertised.listeners"] = ",".join(
            [clients, *(f"{name.upper()}://{LOOPBACK}:{proxy}" for name, (_, proxy) in listeners.items())]
        )
        settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), "ascii")
        return line

    return replace(kafka, command=command)
