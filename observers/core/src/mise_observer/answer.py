"""What the gateway's answer means for what was sent. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

LONGEST_RETRY_AFTER_S = 600.0
"""A gateway that asks for more is asked again after ten minutes all the same: it may have been mended."""

PROBLEM = "application/problem+json"
"""The gateway's own refusals are of this type; anything else that refuses stands before it, and may go away."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """It is durable."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It will never be accepted. reason : the gateway's constant. detail : its sentence."""

    reason: str
    field: str | None
    detail: str
    too_large: bool = False


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Send it again, but not before `after_s` seconds, where the gateway named a time.

    crashed : the gateway says 500, which may be because of what was sent.
    """

    why: str
    after_s: float | None = None
    crashed: bool = False


@dataclass(frozen=True, slots=True)
class Denied:
    """The key is not accepted, and won't be."""

    detail: str


Verdict = Accepted | Refused | Unavailable
"""About one item."""

Answer = list[Verdict] | Refused | Unavailable | Denied
"""About a request: a verdict for each of its items in the order sent, or one about the request as a whole."""

# No set: what an answer has for a status may not be hashable.
_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def judge(status: int, content_type: str, retry_after: str | None, body: bytes, *, sent: int, now: float) -> Answer:
    """The meaning of an answer to a request with `sent` items. now : epoch seconds.

    Whatever does not look like the gateway's own answer (a proxy's 403, a login page) is Unavailable, for it says
    nothing about the items or the key. A 413 is taken from anybody: the request is no smaller the next time.
    """
    if status == HTTPStatus.ACCEPTED and sent == 1:
        return [Accepted()]
    parsed = _parsed(body)
    if status == HTTPStatus.MULTI_STATUS:
        results = parsed.get("results")
        if isinstance(results, list) and len(results) == sent and all(isinstance(item, dict) for item in results):
            return [_verdict(item) for item in results]
        return Unavailable(f"status 207 without {sent} results")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and content_type == PROBLEM:
        return Denied(_detail(parsed, status))
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or (status in _REFUSALS and content_type == PROBLEM):
        return _refused(parsed, status)
    crashed = status == HTTPStatus.INTERNAL_SERVER_ERROR
    return Unavailable(_detail(parsed, status), _seconds(retry_after, now), crashed)


def _verdict(item: dict[str, Any]) -> Verdict:
    status = item.get("status")
    problem = item.get("problem")
    problem = problem if isinstance(problem, dict) else {}
    if status == HTTPStatus.ACCEPTED:
        return Accepted()
    if status in _REFUSALS:
        return _refused(problem, status)
    return Unavailable(_detail(problem, status))


def _refused(problem: dict[str, Any], status: object) -> Refused:
    field = problem.get("field")
    return Refused(
        reason=str(problem.get("reason", f"status_{status}")),
        field=None if field is None else str(field),
        detail=_detail(problem, status),
        too_large=status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    )


def _detail(problem: dict[str, Any], status: object) -> str:
    return str(problem.get("detail", f"status {status}"))[:500]


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):  # not JSON, or not UTF-8: a proxy's page
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _seconds(retry_after: str | None, now: float) -> float | None:
    """Seconds of a Retry-After (RFC 9110, 10.2.3), a number or a date; None when it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        seconds = float(retry_after)
    else:
        try:
            at = parsedate_to_datetime(retry_after)
        except (ValueError, OverflowError):
            return None
        # "-0000" parses as naive, and means UTC.
        seconds = (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp() - now
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_S)
