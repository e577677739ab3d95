"""The one conversion of time: seconds or ISO 8601 outside, whole epoch milliseconds inside.

Decimal and half up, once, at the door: `int(1.001 * 1000)` is 1000 in binary floating point, here it is 1001.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from schemas.errors import Refused

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_MS = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z: the last instant that ISO 8601 and datetime can write


def to_ms(value: float | str, *, field: str) -> int:
    """Epoch milliseconds of an instant.

    value : epoch seconds (int or float; the shortest decimal that reads back as the float counts, which is what
        the sender wrote) or ISO 8601 with a zone (`2026-01-31T09:30:00.250+01:00`, `T` or space, `Z` or an offset).
    field : named in the error.
    Returns whole ms, rounded half up. Raises Refused when the instant is unreadable, not finite, has no zone, or
    lies outside 0 .. 9999-12-31.
    """
    if isinstance(value, str):
        ms = _from_iso(value, field)
    else:
        seconds = Decimal(repr(value))
        if not seconds.is_finite():
            raise Refused(f"{field}: {str(value)[:64]} is not an instant; send epoch seconds or ISO 8601", field=field)
        ms = int((seconds * 1000).quantize(Decimal(1), ROUND_HALF_UP)) if abs(seconds) < MAX_MS else MAX_MS + 1
    if not 0 <= ms <= MAX_MS:
        raise Refused(
            f"{field}: {str(value)[:64]} is outside 1970 .. 9999; send epoch seconds (not milliseconds) or ISO 8601",
            field=field,
            reason="time_out_of_range",
        )
    return ms


def _from_iso(text: str, field: str) -> int:
    # Fraction digits past the sixth are dropped here; a half at the millisecond is decided by then.
    try:
        instant = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused(
            f"{field}: {text[:64]!r} is not ISO 8601; send for example 2026-01-31T09:30:00.250Z", field=field
        ) from None
    if instant.tzinfo is None:
        raise Refused(
            f"{field}: {text[:64]!r} has no zone; add Z or an offset such as +01:00",
            field=field,
            reason="time_without_zone",
        )
    try:
        microseconds = (instant - EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        microseconds = -1
    # Floor division of a positive number plus a half is half up, in integers.
    return (microseconds + 500) // 1000


def to_iso(ms: int) -> str:
    """ISO 8601 in UTC with milliseconds, `2026-01-31T09:30:00.250Z`. The inverse of `to_ms` for 0 .. MAX_MS."""
    instant = EPOCH + timedelta(milliseconds=ms)
    return instant.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"
