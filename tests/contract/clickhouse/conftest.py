"""A ClickHouse for the contract suite: the embedded one, or the server that MISE_VOICE_TEST_CLICKHOUSE_URL names.

The URL carries user and password (`http://user:password@host:8123`); the suite makes and drops databases of its own.
"""

import http.client
import os
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from deploy.embedded.clickhouse.process import EmbeddedClickHouse, start, stop
from deploy.embedded.ports import free_port

SERVER_URL = "MISE_VOICE_TEST_CLICKHOUSE_URL"


@dataclass(frozen=True)
class Reply:
    """An HTTP response; header names in lower case. `cut`: the connection ended before the response did."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


@dataclass(frozen=True)
class Target:
    """The ClickHouse under test. pid: of the embedded server, None for another."""

    host: str
    port: int
    user: str
    password: str
    pid: int | None

    @property
    def embedded(self) -> bool:
        return self.pid is not None

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()}

    def connect(self, **options: Any) -> Client:
        credentials = {"username": self.user, "password": self.password}
        return clickhouse_connect.get_client(host=self.host, port=self.port, **(credentials | options))

    def request(
        self,
        params: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        path: str = "/",
    ) -> Reply:
        """Plain HTTP, for what no client library shows. With a body a POST, without a GET."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            method = "GET" if body is None else "POST"
            sent = self.authorization if headers is None else headers
            connection.request(method, f"{path}?{urlencode(params)}", body=body, headers=dict(sent))
            response = connection.getresponse()
            pieces = []
            cut = False
            try:
                while piece := response.read1(65_536):
                    pieces.append(piece)
            except (http.client.IncompleteRead, ConnectionError):
                cut = True
            names = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, names, b"".join(pieces), cut)
        finally:
            connection.close()


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """The server, for all tests."""
    if url := os.environ.get(SERVER_URL):
        parts = urlsplit(url)
        yield Target(parts.hostname or "", parts.port or 8123, parts.username or "", parts.password or "", None)
        return
    folder = tmp_path_factory.mktemp("clickhouse")
    password_file = folder / "password"
    password_file.write_text("sesame, öffne dich\n")
    server = EmbeddedClickHouse(folder / "data", free_port(), "mise", password_file)
    process = start(server, folder / "log")
    yield Target("127.0.0.1", server.port, "mise", "sesame, öffne dich", process.pid)
    assert stop(process) == 0
    assert [line for line in (folder / "log").read_text().splitlines() if not is_expected(line)] == []


def is_expected(line: str) -> bool:
    """What the server prints in tests of errors in mid-stream: uvicorn's note on cutting the connection."""
    return line.endswith("ASGI callable returned without completing response.")


@pytest.fixture
def embedded(target: Target) -> Target:
    """The embedded server; skips when another one is tested."""
    if not target.embedded:
        pytest.skip(f"only the embedded server; {SERVER_URL} names another")
    return target


@pytest.fixture
def database(target: Target) -> Iterator[str]:
    """A database of the test's own."""
    name = f"test_{uuid.uuid4().hex}"
    with target.connect() as admin:
        admin.command(f"CREATE DATABASE {name}")
        yield name
        admin.command(f"DROP DATABASE {name}")


@pytest.fixture
def connect(target: Target, database: str) -> Iterator[Callable[..., Client]]:
    """Makes clients of the test's database, closed at its end."""
    clients: list[Client] = []

    def make(**options: Any) -> Client:
        clients.append(target.connect(**({"database": database} | options)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., Client]) -> Client:
    """An unmodified clickhouse-connect client, as it comes."""
    return connect()


@pytest.fixture
def new_server(tmp_path: Path, embedded: Target) -> Callable[[], EmbeddedClickHouse]:  # noqa: ARG001
    """Makes embedded servers (not started) over this test's data folder, each with a port of its own."""
    password_file = tmp_path / "password"
    password_file.write_text("geheim")
    return lambda: EmbeddedClickHouse(tmp_path / "data", free_port(), "mise", password_file)
