"""Compression: what was packed is unpacked, however it is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.clickhouse.codecs import READERS, WRITERS, Decoder, accepted
from deploy.embedded.clickhouse.error import ClickHouseError, Code

frames = st.lists(st.binary(max_size=300), max_size=4)


def packed(encoding: str, data: bytes, step: int) -> bytes:
    writer = WRITERS[encoding]()
    return b"".join(writer.compress(data[at : at + step]) for at in range(0, len(data), step)) + writer.flush()


@given(st.sampled_from(sorted(WRITERS)), frames, st.integers(1, 50), st.integers(1, 50))
def test_unpacked_is_what_was_packed(encoding: str, parts: list[bytes], written: int, read: int) -> None:
    """In several frames, written and read in pieces of any size."""
    body = b"".join(packed(encoding, part, written) for part in parts)
    decoder = Decoder(encoding)
    back = b"".join(decoder.feed(body[at : at + read]) for at in range(0, len(body), read))
    decoder.finish()
    assert back == b"".join(parts)


@given(st.sampled_from(sorted(WRITERS)), st.binary(min_size=1, max_size=300), st.data())
def test_body_cut_short_is_noticed(encoding: str, data: bytes, draw: st.DataObject) -> None:
    body = packed(encoding, data, 100)
    short = draw.draw(st.integers(1, len(body) - 1))
    decoder = Decoder(encoding)
    decoder.feed(body[:short])
    with pytest.raises(ClickHouseError, match="ends within") as caught:
        decoder.finish()
    assert caught.value.code == Code.CANNOT_DECOMPRESS


@pytest.mark.parametrize("encoding", sorted(READERS))
def test_damage_is_noticed(encoding: str) -> None:
    with pytest.raises(ClickHouseError, match=f"not {encoding}"):
        Decoder(encoding).feed(b"\xff plain text, not packed at all")


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_no_encoding_changes_nothing(encoding: str) -> None:
    decoder = Decoder(encoding)
    assert decoder.feed(b"as it is") == b"as it is"
    decoder.finish()


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(ClickHouseError, match="snappy; send one of lz4, zstd, gzip, deflate or none"):
        Decoder("snappy")


@pytest.mark.parametrize(
    ("offer", "taken"),
    [
        ("lz4,zstd,gzip", "lz4"),
        ("br, GZIP;q=0.5, lz4", "gzip"),
        ("lz4;q=0, zstd", "zstd"),
        ("identity", None),
        ("", None),
        ("*", None),
    ],
)
def test_first_encoding_that_can_be_written_is_taken(offer: str, taken: str | None) -> None:
    assert accepted(offer) == taken
