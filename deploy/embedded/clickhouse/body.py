"""The body of a request: decompressed as it comes, and handed to the engine's threads in blocks."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future

from deploy.embedded.clickhouse.codecs import Decoder
from deploy.embedded.clickhouse.error import ClickHouseError, Code

# A statement that is not an insert is held whole. The engine takes 256 KiB of SQL by default (max_query_size) and
# more when asked to; this is what one client can make the server hold.
MAX_STATEMENT_BYTES = 67_108_864
# ClickHouse's http_receive_timeout: a client that stalls must not keep a slot for ever.
RECEIVE_TIMEOUT_S = 30


class Body:
    """A request's body, read once from its start.

    chunks : as they come from the network.  encoding : the request's Content-Encoding.
    Reading raises ClickHouseError when the body is damaged or stalls, and whatever `chunks` raises.
    """

    def __init__(self, chunks: AsyncIterator[bytes], encoding: str) -> None:
        self._chunks = chunks
        self._decoder = Decoder(encoding)
        self._ended = False

    async def read(self, at_least: int) -> bytes:
        """Bytes up to the first boundary of a chunk from `at_least` on; fewer only at the end; then nothing."""
        pieces: list[bytes] = []
        size = 0
        while size < at_least and not self._ended:
            try:
                async with asyncio.timeout(RECEIVE_TIMEOUT_S):
                    chunk = await anext(self._chunks, None)
            except TimeoutError:
                raise ClickHouseError(
                    Code.SOCKET_TIMEOUT,
                    f"Timeout exceeded while reading the request: nothing came for {RECEIVE_TIMEOUT_S} s",
                ) from None
            if chunk is None:
                self._ended = True
                self._decoder.finish()
            else:
                pieces.append(self._decoder.feed(chunk))
                size += len(pieces[-1])
        return b"".join(pieces)

    async def rest(self, so_far: bytes) -> bytes:
        """`so_far` and everything after it. Raises ClickHouseError QUERY_IS_TOO_LARGE beyond MAX_STATEMENT_BYTES."""
        pieces = [so_far]
        size = len(so_far)
        while piece := await self.read(1):
            pieces.append(piece)
            size += len(piece)
            if size > MAX_STATEMENT_BYTES:
                raise ClickHouseError(
                    Code.QUERY_IS_TOO_LARGE,
                    f"the statement is longer than {MAX_STATEMENT_BYTES} bytes; "
                    "send long lists as external data, and rows with INSERT … FORMAT",
                )
        return b"".join(pieces)


class Blocks(Iterator[bytes]):
    """A body's blocks for a thread, while the event loop reads them. Made in the event loop.

    first : what was read already.  block_bytes : blocks have at least this size, but for the last.
    """

    def __init__(self, body: Body, first: bytes, block_bytes: int) -> None:
        self._body = body
        self._first = first
        self._block_bytes = block_bytes
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._reading: Future[bytes] | None = None

    def __next__(self) -> bytes:
        """Called in the thread; blocks until there is a block. Raises what reading raises."""
        if self._first:
            block, self._first = self._first, b""
            return block
        if self._stopped:
            raise InterruptedError("the insert was stopped")
        self._reading = asyncio.run_coroutine_threadsafe(self._body.read(self._block_bytes), self._loop)
        block = self._reading.result()
        if not block:
            raise StopIteration
        return block

    def stop(self) -> None:
        """Called in the event loop: the thread's current or next block is an error."""
        self._stopped = True
        if self._reading is not None:
            self._reading.cancel()
