"""The proxy does what its disturbances say: else a run through it would prove nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from deploy.embedded.ports import LOOPBACK
from tests.chaos.proxy import Proxy

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that says again what it is told."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1024):
                writer.write(data)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, LOOPBACK, 0)
    carrying = Proxy(server.sockets[0].getsockname()[1])
    await carrying.start()
    yield carrying
    await carrying.stop()
    server.close()
    await server.wait_closed()


@pytest.fixture
async def connection(proxy: Proxy) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    yield reader, writer
    writer.transport.abort()


async def said(connection: Connection, data: bytes = b"x") -> bytes:
    reader, writer = connection
    writer.write(data)
    return await reader.readexactly(len(data))


async def test_carries(connection: Connection) -> None:
    assert await said(connection, b"x" * 300_000) == b"x" * 300_000


async def test_cut_resets_what_is_there_and_what_comes_until_mended(proxy: Proxy, connection: Connection) -> None:
    await said(connection)
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await said(connection)
    reader, writer = await asyncio.open_connection(LOOPBACK, proxy.port)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await said((reader, writer))
    proxy.mend()
    again = await asyncio.open_connection(LOOPBACK, proxy.port)
    assert await said(again) == b"x"
    again[1].transport.abort()


async def test_half_open_neither_carries_nor_ends_until_mended(proxy: Proxy, connection: Connection) -> None:
    await said(connection)
    proxy.half_open()
    waiting = asyncio.ensure_future(said(connection))
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert not done
    proxy.mend()
    with pytest.raises(ConnectionResetError):
        await waiting


@pytest.mark.parametrize(("delay_s", "bytes_per_s", "least_s"), [(0.1, None, 0.2), (0.0, 10_000.0, 0.2)])
async def test_delay_and_slowness_take_their_time_each_way(
    proxy: Proxy, connection: Connection, delay_s: float, bytes_per_s: float | None, least_s: float
) -> None:
    await said(connection)
    proxy.delay(delay_s)
    if bytes_per_s:
        proxy.slow(bytes_per_s)
    begin = time.monotonic()
    await said(connection, b"x" * 1_000)
    assert time.monotonic() - begin >= least_s
