"""Webhooks are taken from those who have the API secret, for one body, for minutes; nothing else gets through."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.gateway.keys import LiveKitKey
from pipeline.gateway.signature import LEEWAY_S, TOKEN_CHARACTERS, Signed, check_body, signed
from schemas.errors import Refused
from tests.webhooks import API_KEY, SECRET, claims_of, token_of

BODY = b'{"event":"room_started"}'
KEY = LiveKitKey(livekit_key=API_KEY, secret=SECRET, workspace="acme")
OTHER_SECRET = SECRET[::-1]


def find(livekit_key: str) -> LiveKitKey | None:
    return KEY if livekit_key == API_KEY else None


def verified(token: str, body: bytes = BODY) -> Signed:
    claimed = signed(token, find)
    check_body(claimed, body)
    return claimed


def refusal(token: str, body: bytes = BODY) -> str:
    with pytest.raises(Refused) as caught:
        verified(token, body)
    assert (caught.value.reason, caught.value.field) == ("unauthenticated", "Authorization")
    assert SECRET not in str(caught.value)
    return str(caught.value)


def unsigned(header: object, payload: object, signature: bytes = b"") -> str:
    parts = [json.dumps(part).encode() for part in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (*parts, signature))


def test_token_of_the_secret_is_the_workspaces() -> None:
    assert verified(token_of(BODY))[:2] == (API_KEY, "acme")


def now(offset: float = 0) -> int:
    return int(time.time() + offset)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        pytest.param(lambda: "", "expected LiveKit's token", id="none"),
        pytest.param(lambda: f"Bearer {token_of(BODY)}", "not one that is signed", id="Bearer before it"),
        pytest.param(lambda: token_of(BODY, OTHER_SECRET), "not one that is signed", id="another secret"),
        pytest.param(lambda: token_of(BODY, iss="APIother"), "not known", id="unknown API key"),
        pytest.param(lambda: token_of(BODY, iss=None), "not known", id="no API key"),
        pytest.param(lambda: token_of(BODY, algorithm="HS512"), "not one that is signed", id="HS512"),
        pytest.param(lambda: token_of(BODY, algorithm="HS384"), "not one that is signed", id="HS384"),
        pytest.param(lambda: unsigned({"alg": "none"}, claims_of(BODY)), "not one that is signed", id="alg none"),
        pytest.param(lambda: unsigned({"alg": "None"}, claims_of(BODY)), "not one that is signed", id="alg None"),
        pytest.param(lambda: unsigned({"alg": "HS256"}, claims_of(BODY)), "not one that is signed", id="no signature"),
        pytest.param(lambda: unsigned({"alg": "RS256"}, claims_of(BODY), b"x"), "not one that is signed", id="RS256"),
        pytest.param(lambda: unsigned({}, claims_of(BODY), b"x"), "not one that is signed", id="no alg"),
        pytest.param(lambda: unsigned({"alg": "HS256"}, ["x"], b"x"), "not one that is signed", id="claims are a list"),
        pytest.param(
            lambda: unsigned({"alg": "HS256"}, {"iss": [API_KEY]}, b"x"), "not known", id="a list of API keys"
        ),
        pytest.param(lambda: token_of(BODY, exp=now(-LEEWAY_S - 5)), "expired", id="expired"),
        pytest.param(lambda: token_of(BODY, exp=None), "lacks the claim exp", id="never expires"),
        pytest.param(lambda: token_of(BODY, exp=float("inf")), "not one that is signed", id="expires never"),
        pytest.param(lambda: token_of(BODY, exp="soon"), "not one that is signed", id="expires some day"),
        pytest.param(lambda: token_of(BODY, nbf=now(LEEWAY_S + 5)), "not valid yet", id="not valid yet"),
        pytest.param(lambda: token_of(BODY, sha256=None), "lacks the claim sha256", id="a token to join a room"),
        pytest.param(lambda: token_of(BODY, sha256=7), "no string", id="hash is a number"),
        pytest.param(lambda: token_of(BODY, sha256="\ud800"), "another", id="hash is no text"),
        pytest.param(lambda: token_of(BODY, sha256=""), "another", id="empty hash"),
        pytest.param(lambda: token_of(BODY + b" "), "another", id="of another body"),
        pytest.param(lambda: f"{token_of(BODY)}{'x' * TOKEN_CHARACTERS}", "expected LiveKit's token", id="long"),
        pytest.param(
            lambda: f"{base64.urlsafe_b64encode(b'[' * 2500).decode()}.e30.x",
            "not one that is signed",
            id="nested header",
        ),
    ],
)
def test_token_that_is_none_of_this_body_is_refused(made: Callable[[], str], why: str) -> None:
    assert why in refusal(made())


@pytest.mark.parametrize("body", [BODY + b" ", b" " + BODY, BODY[:-1], b"", BODY.replace(b"room", b"rooM")])
def test_any_other_body_is_refused(body: bytes) -> None:
    assert "another" in refusal(token_of(BODY), body)


@pytest.mark.parametrize("changes", [{"exp": -LEEWAY_S + 10}, {"nbf": LEEWAY_S - 10}])
def test_clocks_may_differ_a_little(changes: dict[str, int]) -> None:
    times: dict[str, Any] = {name: now(offset) for name, offset in changes.items()}
    assert verified(token_of(BODY, **times))


def test_public_key_is_no_secret() -> None:
    """Of one project whose secret was replaced by a key in PEM: PyJWT takes no such key for HMAC."""
    pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----"
    with pytest.raises(Refused, match="not one that is signed"):
        signed(token_of(BODY), lambda _: LiveKitKey(livekit_key=API_KEY, secret=pem, workspace="acme"))


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{0,60}\.[\w-]{0,60}\.[\w-]{0,60}", fullmatch=True))
def test_garbage_is_refused_and_nothing_else_is_raised(token: str) -> None:
    refusal(token)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("exp", "nbf", "iat", "iss", "aud", "sub", "sha256"), JSON)))
def test_claims_of_any_kind_are_refused_and_nothing_else_is_raised(claims: dict[str, object]) -> None:
    payload = json.dumps(claims_of(BODY) | {"sha256": "x"} | claims).encode()
    refusal(jwt.api_jws.encode(payload, SECRET, "HS256"))


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_one_bit_changed_is_refused(place: int, bit: int) -> None:
    parts = token_of(BODY).split(".")
    which = 1 + place % 2
    raw = bytearray(base64.urlsafe_b64decode(parts[which] + "=="))
    raw[place % len(raw)] ^= 1 << bit
    parts[which] = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    refusal(".".join(parts))
