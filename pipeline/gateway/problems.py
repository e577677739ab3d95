"""Errors as problems (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response

from schemas.codec import encode
from schemas.errors import Refused
from schemas.http import Problem

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER_S = 2

_STATUS = {
    "not_json": HTTPStatus.BAD_REQUEST,
    "not_utf8": HTTPStatus.BAD_REQUEST,
    "too_deep": HTTPStatus.BAD_REQUEST,
    "not_gzip": HTTPStatus.BAD_REQUEST,
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "encoding": HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    "unauthenticated": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
}
"""Status of a refusal by its reason; any other is 422."""


def refused(error: Refused) -> Problem:
    """The problem of a refusal."""
    status = _STATUS.get(error.reason, HTTPStatus.UNPROCESSABLE_ENTITY)
    return Problem(title=status.phrase, status=status.value, detail=str(error), field=error.field, reason=error.reason)


def problem(status: HTTPStatus, detail: str, reason: str) -> Problem:
    """A problem that is no refusal."""
    return Problem(title=status.phrase, status=status.value, detail=detail, reason=reason)


def response(problem: Problem, *, retry_after_s: int = RETRY_AFTER_S) -> Response:
    """The problem as an answer, with the headers that its status calls for. retry_after_s : of a 503."""
    headers = {}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if problem.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(retry_after_s)
    if problem.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # What is left of the body is not read.
        headers["Connection"] = "close"
    return Response(encode(problem), problem.status, headers, MEDIA_TYPE)
