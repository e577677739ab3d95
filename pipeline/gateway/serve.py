"""The gateway as a process."""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from math import ceil

import uvicorn

from pipeline.gateway.app import Gateway, create_app
from pipeline.settings import Settings

CUT_OFF_S = 1
"""How long after the last answer was due what still runs is cut off: an answer has to be written as well."""

EXIT_NOT_STARTED = 3
"""As uvicorn has it."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is in flight, and return."""
    gateway = Gateway(settings)
    config = uvicorn.Config(
        create_app(gateway),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=ceil(settings.gateway_drain_s) + CUT_OFF_S,
    )
    server = _Server(config, gateway)
    with suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(EXIT_NOT_STARTED)


class _Server(uvicorn.Server):
    """Tells the gateway that it stops."""

    def __init__(self, config: uvicorn.Config, gateway: Gateway) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.in_flight.drain()
        await super().shutdown(sockets)
