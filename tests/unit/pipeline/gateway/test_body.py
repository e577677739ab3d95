"""Bodies come in any pieces, plain or gzip; never more than the limit is held, whatever is sent."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.body import read_body
from schemas.errors import Refused

LIMIT = 10_000


async def stream(chunks: Iterable[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(chunks: Iterable[bytes], encoding: str | None = None, limit: int = LIMIT) -> bytes:
    held = 0

    def hold(count: int) -> None:
        nonlocal held
        held += count
        assert held <= limit

    body = await read_body(stream(chunks), encoding, limit, hold)
    assert held == len(body)
    return body


async def reason(chunks: Iterable[bytes], encoding: str | None = None, limit: int = LIMIT) -> str:
    with pytest.raises(Refused) as caught:
        await read(chunks, encoding, limit)
    return caught.value.reason


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *at], [*at, len(data)], strict=True)]


CUTS = st.lists(st.integers(0, 20_000), max_size=6)


@given(st.binary(max_size=LIMIT), CUTS)
async def test_body_is_that_of_its_pieces(body: bytes, cuts: list[int]) -> None:
    assert await read(pieces(body, cuts)) == body
    assert await read(pieces(body, cuts), "identity") == body
    assert await read(pieces(gzip.compress(body), cuts), "gzip") == body


@given(st.binary(min_size=1, max_size=500), CUTS, st.integers(0, 499))
async def test_gzip_that_ends_early_is_refused(body: bytes, cuts: list[int], length: int) -> None:
    whole = gzip.compress(body)
    assert await reason(pieces(whole[: length % len(whole)], cuts), "gzip") == "not_gzip"


@given(st.binary(max_size=500), CUTS, st.binary(min_size=1, max_size=50))
async def test_bytes_after_the_gzip_are_refused(body: bytes, cuts: list[int], more: bytes) -> None:
    assert await reason(pieces(gzip.compress(body) + more, cuts), "gzip") == "not_gzip"


@given(st.binary(max_size=300), CUTS)
async def test_anything_called_gzip_is_a_body_or_refused(data: bytes, cuts: list[int]) -> None:
    try:
        await read(pieces(data, cuts), "gzip")
    except Refused as error:
        assert error.reason in ("not_gzip", "too_large")  # noqa: PT017


@given(st.integers(0, LIMIT + 20), CUTS)
async def test_limit_is_the_limit(size: int, cuts: list[int]) -> None:
    body = b"x" * size
    for chunks, encoding in ((pieces(body, cuts), None), (pieces(gzip.compress(body), cuts), "gzip")):
        if size <= LIMIT:
            assert await read(chunks, encoding) == body
        else:
            assert await reason(chunks, encoding) == "too_large"


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", " Gzip "])
async def test_name_of_the_encoding_is_read_without_case(encoding: str) -> None:
    assert await read([gzip.compress(b"{}")], encoding) == b"{}"


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip"])
async def test_other_encodings_are_refused(encoding: str) -> None:
    assert await reason([b"{}"], encoding) == "encoding"


@pytest.mark.parametrize("encoding", [None, "", "identity"])
async def test_no_encoding_is_none(encoding: str | None) -> None:
    assert await read([b"{", b"}"], encoding) == b"{}"


async def test_damaged_gzip_is_refused() -> None:
    damaged = bytearray(gzip.compress(b"some text that is long enough to be damaged"))
    damaged[-6] ^= 0xFF  # the checksum
    assert await reason([bytes(damaged)], "gzip") == "not_gzip"
    assert await reason([b"{}"], "gzip") == "not_gzip"
    assert await reason([], "gzip") == "not_gzip"


class Counted:
    """Chunks, counted as they are taken."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.taken = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk


async def test_bomb_is_refused_in_bounded_memory() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    zeros = bytes(2**20)
    bomb = b"".join(deflate.compress(zeros) for _ in range(200)) + deflate.flush()
    assert len(bomb) < 250_000
    tracemalloc.start()
    try:
        assert await reason([bomb], "gzip", 2**20) == "too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20


async def test_reading_stops_at_the_limit() -> None:
    chunks = Counted(b"x" * 1_000 for _ in range(1_000))
    assert await reason(chunks) == "too_large"
    assert chunks.taken == LIMIT // 1_000 + 1


async def test_reading_stops_after_the_gzip_ended() -> None:
    """Found here: what came after the end was kept by zlib, without limit."""
    chunks = Counted([gzip.compress(b"{}"), *[b"x" * 1_000] * 1_000])
    assert await reason(chunks, "gzip") == "not_gzip"
    assert chunks.taken == 2
