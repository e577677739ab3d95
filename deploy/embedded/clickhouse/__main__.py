"""The server process: python -m deploy.embedded.clickhouse --data DIR --port N --user NAME --password-file FILE

Serves until SIGTERM or SIGINT: then it takes no more requests, lets running queries end, closes the engine and exits
with 0, all within 5 s. What it can't start with is one line on standard error and exit status 1.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from threading import Thread
from typing import NoReturn

import uvicorn

from deploy.embedded.clickhouse.error import ClickHouseError
from deploy.embedded.clickhouse.folder import check_version, claimed, engine_folder, record_version
from deploy.embedded.clickhouse.request import Credentials
from schemas.errors import Misconfigured

# As long as an idle client may expect its connection to be there for the next query.
KEEP_ALIVE_S = 60
# Parameters travel in the URL: ClickHouse's http_max_uri_size of 1 MiB, and the headers beside it.
MAX_REQUEST_HEAD_BYTES = 1_048_576 + 65_536
# Of the 5 s that a stop may take: queries may run on for this long, and are killed then.
GRACE_S = 3
# Then the engine has this long to close.
CLOSE_S = 1


def main() -> int:
    """Runs the server. Returns the exit status of a start that failed; a server that has run ends the process."""
    arguments = _arguments()
    try:
        with _listener(arguments.host, arguments.port) as listener, claimed(arguments.data, arguments.port):
            password = _password(arguments.password_file)
            _serve(arguments.data, listener, Credentials(arguments.user, password))
    except Misconfigured as error:
        print(f"clickhouse: {error}", file=sys.stderr)
        return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy.embedded.clickhouse", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data; made when missing")
    parser.add_argument("--port", type=int, required=True, help="TCP port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; loopback only")
    parser.add_argument("--user", required=True, help="the one user")
    parser.add_argument("--password-file", type=Path, required=True, help="file whose text is the user's password")
    return parser.parse_args()


def _listener(host: str, port: int) -> socket.socket:
    """A bound socket; it listens once the server is ready, so that nobody waits on a start that fails."""
    try:
        address = ip_address(host)
    except ValueError:
        raise Misconfigured(f"--host {host}: expected a loopback address such as 127.0.0.1") from None
    if not address.is_loopback:
        raise Misconfigured(
            f"--host {host} is not loopback: the embedded server speaks plain HTTP and has one user; "
            "use a ClickHouse server where others shall reach it"
        )
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    # With the protocol named: asyncio sets TCP_NODELAY only then, and each answer would take 40 ms longer without.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise Misconfigured(
            f"--port {port}: {error.strerror}; stop what listens there, or choose another port"
        ) from error
    return listener


def _password(file: Path) -> str:
    try:
        password = file.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"--password-file {file} can't be read: {error}") from error
    if not password:
        raise Misconfigured(f"--password-file {file} is empty; write the user's password into it")
    return password


def _serve(data: Path, listener: socket.socket, expected: Credentials) -> NoReturn:
    # Late: the engine is 550 MB of library, and what can be found wrong without it should be found at once.
    from deploy.embedded.clickhouse.engine import ENGINE_VERSION, Engine  # noqa: PLC0415
    from deploy.embedded.clickhouse.server import Server  # noqa: PLC0415

    check_version(data, ENGINE_VERSION)
    try:
        engine = Engine(engine_folder(data))
    except ClickHouseError as failure:
        raise Misconfigured(f"the engine does not start on {data}: {failure}") from failure
    record_version(data, ENGINE_VERSION)

    async def serve() -> None:
        server = uvicorn.Server(
            uvicorn.Config(
                Server(engine, expected),
                lifespan="off",
                log_level="warning",
                access_log=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                # httptools, where it is installed, takes 64 kB of URL at the most, and can't be told otherwise.
                http="h11",
                h11_max_incomplete_event_size=MAX_REQUEST_HEAD_BYTES,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        # After a clean stop uvicorn sends itself the signal again, to end by it; a clean stop shall end with 0.
        # Not earlier: until here a signal ends the process at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        await server.serve(sockets=[listener])

    asyncio.run(serve())
    closing = Thread(target=engine.close, daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    sys.stderr.flush()
    # A query that can't be killed would keep the process; ending under it is what a crash would be, and loses nothing.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
