"""What the gateway's answers mean."""

from __future__ import annotations

import json
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mise_observer.answer import (
    LONGEST_RETRY_AFTER_S,
    PROBLEM,
    Accepted,
    Answer,
    Denied,
    Refused,
    Unavailable,
    judge,
)

NOW = 1_764_000_000.0


def judged(
    status: int, body: object = None, *, content_type: str = PROBLEM, retry_after: str | None = None, sent: int = 2
) -> Answer:
    return judge(status, content_type, retry_after, json.dumps(body).encode(), sent=sent, now=NOW)


def test_results_are_verdicts_in_order() -> None:
    results = [
        {"status": 202, "call_id": "c", "turn_id": "t"},
        {"status": 422, "problem": {"status": 422, "reason": "personal_data", "field": "participant", "detail": "no"}},
        {"status": 413, "problem": {"reason": "too_large", "field": "text", "detail": "no"}},
        {"status": 503, "problem": {"detail": "Kafka"}},
        {"status": 429},
    ]
    assert judged(207, {"results": results}, sent=5) == [
        Accepted(),
        Refused("personal_data", "participant", "no"),
        Refused("too_large", "text", "no", too_large=True),
        Unavailable("Kafka"),
        Unavailable("status 429"),
    ]


@pytest.mark.parametrize("body", [None, [], {}, {"results": None}, {"results": [{"status": 202}]}, {"results": [1, 2]}])
def test_results_of_something_else_are_no_results(body: object) -> None:
    assert judged(207, body) == Unavailable("status 207 without 2 results")


def test_answer_that_nobody_can_read_is_none() -> None:
    nested = b'{"results": [' + b"[" * 100_000
    assert judge(207, "", None, nested, sent=1, now=NOW) == Unavailable("status 207 without 1 results")
    assert judged(207, {"results": [{"status": []}]}, sent=1) == [Unavailable("status []")]


def test_an_event_is_accepted_by_202() -> None:
    assert judged(202, sent=1) == [Accepted()]


def test_a_batch_is_not_accepted_by_202() -> None:
    assert isinstance(judged(202, sent=2), Unavailable)


@pytest.mark.parametrize("status", [401, 403])
def test_key_not_accepted(status: int) -> None:
    assert judged(status, {"detail": "the key is not known"}) == Denied("the key is not known")


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_gateway_refuses(status: int) -> None:
    assert judged(status, {"reason": "x", "field": "turns", "detail": "d"}) == Refused("x", "turns", "d", status == 413)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 422, 302, 200, 500, 502, 503, 504, 429])
def test_others_than_the_gateway_only_delay(status: int) -> None:
    found = judge(status, "text/html", None, b"<html>\xff", sent=2, now=NOW)
    assert found == Unavailable(f"status {status}", crashed=status == 500)


def test_too_large_for_a_proxy_is_too_large() -> None:
    found = judge(413, "text/html", None, b"<html>", sent=1, now=NOW)
    assert found == Refused("status_413", None, "status 413", too_large=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("7", 7.0),
        ("100000", LONGEST_RETRY_AFTER_S),
        ("Mon, 24 Nov 2025 16:00:30 GMT", 30.0),
        ("Mon, 24 Nov 2025 16:00:30 -0000", 30.0),
        ("Mon, 24 Nov 2025 15:00:00 GMT", 0.0),
        ("soon", None),
        ("-1", None),
        ("", None),
        ("Mon, 24 Nov 2025 16:00:30 +99999999999999999999", None),
    ],
)
def test_retry_after(header: str | None, seconds: float | None) -> None:
    assert judged(503, {"detail": "d"}, retry_after=header) == Unavailable("d", seconds)


@given(
    st.sampled_from(sorted(HTTPStatus)),
    st.sampled_from([PROBLEM, "application/json", "text/html"]),
    st.none() | st.text(),
    st.binary(max_size=50)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda x: json.dumps(x).encode()),
    st.integers(1, 3),
)
def test_any_answer_means_something(
    status: int, content_type: str, retry_after: str | None, body: bytes, sent: int
) -> None:
    found = judge(status, content_type, retry_after, body, sent=sent, now=NOW)
    if isinstance(found, list):
        assert len(found) == sent
