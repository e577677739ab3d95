"""Reading a request body, inflated where it is gzip, never more of it than the limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable, Callable

from schemas.errors import Refused

GZIP = 16 + zlib.MAX_WBITS


async def read_body(
    chunks: AsyncIterable[bytes], encoding: str | None, limit: int, hold: Callable[[int], None]
) -> bytes:
    """The body, decoded.

    chunks : as they come from the socket. encoding : the request's Content-Encoding, None, `identity` or `gzip`. hold :
    called with how many bytes the body has grown by; what it raises ends the reading.
    Raises Refused: `too_large` as soon as more than `limit` bytes are there after decoding, `encoding` for another
    encoding, `not_gzip` for a body that is damaged or ends early.
    """
    coding = (encoding or "identity").strip().lower()
    if coding not in ("identity", "gzip"):
        raise Refused(f"Content-Encoding {encoding}: not supported; send gzip or none", reason="encoding")
    body = bytearray()
    inflate = zlib.decompressobj(GZIP) if coding == "gzip" else None
    async for chunk in chunks:
        # One byte over the limit is enough to know, however much a bomb would inflate to.
        more = _inflated(inflate, chunk, limit + 1 - len(body)) if inflate else chunk
        body += more
        if len(body) > limit:
            raise Refused(
                f"the body is larger than {limit} bytes; send fewer turns or shorter audio", reason="too_large"
            )
        hold(len(more))
        if inflate is not None and inflate.unused_data:  # at once: zlib would keep all that follows
            raise Refused("the body has bytes after the end of its gzip member", reason="not_gzip")
    if inflate is not None and not inflate.eof:
        raise Refused("the gzip body ends early", reason="not_gzip")
    return bytes(body)


def _inflated(inflate: zlib._Decompress, chunk: bytes, most: int) -> bytes:
    try:
        return inflate.decompress(chunk, most)
    except zlib.error as error:
        raise Refused(f"the body is not gzip: {error}", reason="not_gzip") from None
