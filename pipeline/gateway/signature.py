"""Who sent a LiveKit webhook: a JWT in `Authorization`, signed with the API secret, that holds the body's hash."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import NamedTuple

import jwt

from pipeline.gateway.keys import LiveKitKey
from schemas.errors import Refused

LEEWAY_S = 60
"""By how much LiveKit's clock may differ from ours; as LiveKit's own verifiers have it."""

TOKEN_CHARACTERS = 4096
"""LiveKit's have 400."""

_UNVERIFIED: jwt.types.Options = {"verify_signature": False}
_REQUIRED: jwt.types.Options = {"require": ["exp", "iss", "sha256"]}


class Signed(NamedTuple):
    """What the signature vouches for. sha256 : of the body, standard base64."""

    livekit_key: str
    workspace: str
    sha256: str


def signed(token: str, find: Callable[[str], LiveKitKey | None]) -> Signed:
    """What the token says. find : the LiveKit key of this name. Raises Refused (`unauthenticated`)."""
    if not token or len(token) > TOKEN_CHARACTERS:
        raise _unauthenticated("expected LiveKit's token, and no `Bearer` before it")
    try:
        # Whose secret it claims to be signed with; nothing else of it is used before it is verified.
        issuer = jwt.decode(token, options=_UNVERIFIED).get("iss")
        key = find(issuer) if isinstance(issuer, str) else None
        if key is None:
            raise _unauthenticated("the token's API key is not known; see `mise-voice keys add-livekit`")
        claims = jwt.decode(
            token, key.secret, algorithms=["HS256"], issuer=key.livekit_key, leeway=LEEWAY_S, options=_REQUIRED
        )
    except jwt.ExpiredSignatureError:
        raise _unauthenticated(
            "the token has expired; if it is new, the clocks of LiveKit and gateway differ"
        ) from None
    except jwt.ImmatureSignatureError:
        raise _unauthenticated("the token is not valid yet: the clocks of LiveKit and gateway differ") from None
    except jwt.MissingRequiredClaimError as error:
        raise _unauthenticated(f"the token lacks the claim {error.claim}") from None
    except jwt.PyJWTError:
        raise _unauthenticated("the token is not one that is signed with this API key's secret by HS256") from None
    sha256 = claims["sha256"]
    if not isinstance(sha256, str):
        raise _unauthenticated("the token's claim sha256 is no string")
    return Signed(key.livekit_key, key.workspace, sha256)


def check_body(claimed: Signed, body: bytes) -> None:
    """Raise Refused (`unauthenticated`) when the body is not the one that was signed."""
    actual = base64.b64encode(hashlib.sha256(body).digest())
    if not hmac.compare_digest(claimed.sha256.encode(errors="surrogatepass"), actual):
        raise _unauthenticated("the body is not the one that was signed: its hash is another")


def _unauthenticated(what: str) -> Refused:
    return Refused(f"Authorization: {what}", field="Authorization", reason="unauthenticated")
