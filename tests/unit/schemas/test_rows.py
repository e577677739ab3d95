"""Instants as ClickHouse reads them exactly: decimal seconds as text."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from schemas.instants import MAX_MS
from schemas.rows import from_ms, from_us


@given(st.integers(0, MAX_MS))
def test_milliseconds_are_decimal_seconds_with_three_places(ms: int) -> None:
    text = from_ms(ms)
    assert Decimal(text) * 1000 == ms
    assert len(text.partition(".")[2]) == 3
    assert len(text.partition(".")[0]) >= 10  # fewer digits would be read as a year


@given(st.integers(0, MAX_MS * 1000))
def test_microseconds_are_decimal_seconds_with_six_places(us: int) -> None:
    text = from_us(us)
    assert Decimal(text) * 1_000_000 == us
    assert len(text.partition(".")[2]) == 6
    assert len(text.partition(".")[0]) >= 10


def test_instants_are_written_as() -> None:
    assert from_ms(946_684_800_001) == "0946684800.001"
    assert from_us(1_767_225_600_000_020) == "1767225600.000020"
