"""Compression of HTTP bodies, in both directions, a piece at a time.

A body may be several frames one after the other (clickhouse-connect compresses each block of an insert on its own),
and each is decompressed as it comes: memory stays at a piece, whatever the body's size.
"""

import sys
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import lz4.frame  # type: ignore[import-untyped]

from deploy.embedded.clickhouse.error import ClickHouseError, Code

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

GZIP_WINDOW = 31  # zlib's window bits: 15, and 16 for gzip's header and checksum
ZSTD_LEVEL = 1  # the loopback is fast and the processor is shared with the engine: what costs least


class FrameReader(Protocol):
    """What lz4, zstd and zlib have in common for reading one frame."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: bytes, /) -> bytes: ...


class FrameWriter(Protocol):
    """Writes one frame; `flush` ends it."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


class Lz4Writer:
    """lz4's compressor, which wants its frame begun by hand, as a FrameWriter."""

    def __init__(self) -> None:
        self._compressor = lz4.frame.LZ4FrameCompressor()
        self._head = bytes(self._compressor.begin())

    def compress(self, data: bytes, /) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._compressor.compress(data))

    def flush(self) -> bytes:
        head, self._head = self._head, b""
        return head + bytes(self._compressor.flush())


READERS: Mapping[str, Callable[[], FrameReader]] = {
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "zstd": zstd.ZstdDecompressor,
    "gzip": lambda: zlib.decompressobj(GZIP_WINDOW),
    "deflate": zlib.decompressobj,
}
WRITERS: Mapping[str, Callable[[], FrameWriter]] = {
    "lz4": Lz4Writer,
    "zstd": lambda: zstd.ZstdCompressor(level=ZSTD_LEVEL),
    "gzip": lambda: zlib.compressobj(wbits=GZIP_WINDOW),
    "deflate": zlib.compressobj,
}
# Errors of damaged input: lz4 raises RuntimeError, the others their own.
DAMAGED = (RuntimeError, zstd.ZstdError, zlib.error, EOFError)


class Decoder:
    """Undoes a Content-Encoding.

    encoding : of READERS, or empty or `identity` for none. Raises ClickHouseError NOT_IMPLEMENTED for another.
    """

    def __init__(self, encoding: str) -> None:
        if encoding not in {"", "identity", *READERS}:
            raise ClickHouseError(
                Code.NOT_IMPLEMENTED,
                f"Unknown compression method: {encoding}; send one of {', '.join(READERS)} or none",
            )
        self._encoding = encoding
        self._make = READERS.get(encoding)
        self._frame: FrameReader | None = None

    def feed(self, data: bytes) -> bytes:
        """The next piece of the body, decompressed. Raises ClickHouseError CANNOT_DECOMPRESS when it is damaged."""
        if self._make is None:
            return data
        out = []
        try:
            while data:
                frame = self._frame = self._frame or self._make()
                out.append(frame.decompress(data))
                data = b""
                if frame.eof:
                    data = frame.unused_data or b""
                    self._frame = None
        except DAMAGED as error:
            raise ClickHouseError(Code.CANNOT_DECOMPRESS, f"the body is not {self._encoding}: {error}") from error
        return b"".join(out)

    def finish(self) -> None:
        """Raises ClickHouseError CANNOT_DECOMPRESS when the body ended within a frame."""
        if self._frame is not None:
            raise ClickHouseError(Code.CANNOT_DECOMPRESS, f"the body ends within a {self._encoding} frame")


def accepted(accept_encoding: str) -> str | None:
    """The first encoding of an Accept-Encoding header that can be written; weights count only as `q=0`."""
    for offer in _offers(accept_encoding):
        if offer in WRITERS:
            return offer
    return None


def _offers(accept_encoding: str) -> Iterable[str]:
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in {"q=0", "q=0.0"}:
            yield name.strip()
