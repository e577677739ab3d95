"""Seconds or ISO 8601 outside, whole milliseconds inside: decimal, half up."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import Refused
from schemas.instants import MAX_MS, to_iso, to_ms

INSTANTS = st.integers(0, MAX_MS)


@given(INSTANTS)
@example(0)
@example(MAX_MS)
def test_iso_and_back_is_the_same_instant(ms: int) -> None:
    assert to_ms(to_iso(ms), field="at") == ms


@given(INSTANTS)
def test_seconds_and_back_is_the_same_instant(ms: int) -> None:
    # Up to 9999 a float has digits enough for the milliseconds.
    assert to_ms(ms / 1000, field="at") == ms


@given(st.integers(0, MAX_MS // 1000))
def test_whole_seconds_are_exact(seconds: int) -> None:
    assert to_ms(seconds, field="at") == 1000 * seconds


@given(st.decimals(0, 4_000_000_000, places=6))
def test_fraction_is_rounded_half_up_in_decimal(seconds: Decimal) -> None:
    value = float(seconds)
    expected = int((Decimal(repr(value)) * 1000).quantize(Decimal(1), ROUND_HALF_UP))
    assert to_ms(value, field="at") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.001, 1001),  # int(1.001 * 1000) is 1000
        (1.0005, 1001),
        (1.0004999, 1000),
        (1763822400.0005, 1763822400001),
        (0.0005, 1),
        (-0.0, 0),
        (5e-324, 0),
        ("1970-01-01T00:00:00.0005Z", 1),
        ("1970-01-01T00:00:00.000499999Z", 0),
        ("2026-01-01T00:00:00Z", 1767225600000),
        ("2026-01-01 00:00:00.25+00:00", 1767225600250),
        ("2026-01-01T01:00:00.250+01:00", 1767225600250),
        ("2025-12-31T18:30:00,5-05:30", 1767225600500),
        ("  2026-01-01T00:00:00Z\n", 1767225600000),
        ("9999-12-31T23:59:59.999Z", MAX_MS),
    ],
)
def test_value_is_read_as(value: float | str, expected: int) -> None:
    assert to_ms(value, field="at") == expected


@given(st.datetimes(datetime(1971, 1, 1), datetime(9998, 1, 1)), st.integers(-14 * 60, 14 * 60))
def test_zone_moves_the_clock_and_not_the_instant(wall: datetime, minutes: int) -> None:
    moment = wall.replace(tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(timedelta(minutes=minutes)))
    assert to_ms(elsewhere.isoformat(), field="at") == to_ms(moment.isoformat(), field="at")


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), float("-inf"), -0.001, -1, 1e300, -1e300, 2**63, MAX_MS // 1000 + 1, 1e12]
)
def test_number_that_is_no_instant_is_refused(value: float) -> None:
    with pytest.raises(Refused, match=r"^words\[3\]\.start: ") as caught:
        to_ms(value, field="words[3].start")
    assert caught.value.field == "words[3].start"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-01-01T00:00:00", "time_without_zone"),
        ("2026-01-01", "time_without_zone"),
        ("1969-12-31T23:59:59Z", "time_out_of_range"),
        ("0001-01-01T00:00:00+14:00", "time_out_of_range"),
        ("9999-12-31T23:59:59.9999Z", "time_out_of_range"),
        ("9999-12-31T23:59:59-14:00", "time_out_of_range"),
        ("", "invalid"),
        ("now", "invalid"),
        ("1767225600", "invalid"),
        ("2026-13-01T00:00:00Z", "invalid"),
        ("2026-01-01T00:00:00 Europe/Zurich", "invalid"),
        ("2026-01-01T00:00:00Z" * 1000, "invalid"),
    ],
)
def test_text_that_is_no_instant_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(Refused, match=r"^at: ") as caught:
        to_ms(text, field="at")
    assert (caught.value.field, caught.value.reason) == ("at", reason)


@given(st.floats() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=40))
def test_anything_is_an_instant_or_refused(value: float | str) -> None:
    try:
        ms = to_ms(value, field="at")
    except Refused as error:
        assert error.field == "at"  # noqa: PT017 - either outcome is fine, an escaping error is not
    else:
        assert 0 <= ms <= MAX_MS
