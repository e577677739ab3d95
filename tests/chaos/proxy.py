"""A TCP proxy between two of our processes that cuts, delays, slows and half-opens what it carries; loopback only."""

from __future__ import annotations

import asyncio
import socket
import struct

from deploy.embedded.ports import LOOPBACK

CHUNK_BYTES = 64 * 1024

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of no time: closing sends a reset instead of an end."""


class Proxy:
    """Carries connections to a port, which may change hands meanwhile; `port` is its own, for as long as it runs.

    As it starts it only carries. Each of the disturbances holds until `mend`, but for `reset`, which is a moment.
    """

    def __init__(self, to_port: int) -> None:
        self.port = 0
        self._to_port = to_port
        self._server: asyncio.Server | None = None
        self._links: dict[asyncio.Task[None], list[asyncio.StreamWriter]] = {}
        self._is_cut = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._delay_s = 0.0
        self._bytes_per_s: float | None = None

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = list(self._links)
        self.reset()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection, and each new one."""
        self._is_cut = True
        self.reset()

    def reset(self) -> None:
        """Reset every connection that there is."""
        for writers in self._links.values():
            for writer in writers:
                _reset(writer)

    def half_open(self) -> None:
        """Carry nothing more, and end nothing: each side believes that the other is there."""
        self._flows.clear()

    def delay(self, seconds: float) -> None:
        """Carry each piece later by so much."""
        self._delay_s = seconds

    def slow(self, bytes_per_s: float) -> None:
        """Carry so much at the most, in each connection and direction."""
        self._bytes_per_s = bytes_per_s

    def mend(self) -> None:
        """Only carry again. What was half open is reset: whatever stood between has forgotten it."""
        if not self._flows.is_set():
            self.reset()
        self._is_cut = False
        self._flows.set()
        self._delay_s = 0.0
        self._bytes_per_s = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._carry(reader, writer))
        self._links[task] = [writer]
        task.add_done_callback(lambda done: self._links.pop(done, None))

    async def _carry(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self._is_cut:
            _reset(near)
            return
        try:
            far_reader, far = await asyncio.open_connection(LOOPBACK, self._to_port)
        except OSError:
            _reset(near)
            return
        task = asyncio.current_task()
        if task in self._links:
            self._links[task].append(far)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(near_reader, far))
                both.create_task(self._pump(far_reader, near))
        except* OSError:
            pass  # one side is gone; the other learns it now
        finally:
            for writer in (near, far):
                _reset(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK_BYTES):
            await asyncio.sleep(self._delay_s + (len(data) / self._bytes_per_s if self._bytes_per_s else 0.0))
            await self._flows.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
