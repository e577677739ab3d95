"""Personal data has no place in `participant`: it is stored, indexed, and shown everywhere."""

from __future__ import annotations

import re
import unicodedata

_DASHES = re.compile(r"[\u2010-\u2015\u2212]")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_SIP_NUMBER = re.compile(r"^(?:sips?|tel|whatsapp)[:_].*\d(?:[ ()./-]*\d){4}", re.IGNORECASE)
_INTERNATIONAL = re.compile(r"(?:\+|^00)[ ()./-]*\d(?:[ ()./-]*\d){6,14}(?!\d)")
_NATIONAL = re.compile(r"^\(?\d(?:[ ()./-]*\d){6,14}$")


def personal_data_in(participant: str) -> str | None:
    """What kind of personal data the id is or contains, None when none is seen.

    "an e-mail address"; "a SIP URI with a number" (`sip:+4930…@host`, `tel:…`, and LiveKit's default SIP identity
    `sip_+4930…`); "a phone number": 7 to 15 digits (E.164) after `+` or `00` anywhere, or as the whole id with the
    usual separators. Ids with letters around their digits (`caller-20260131`) are none.
    """
    participant = _DASHES.sub("-", unicodedata.normalize("NFKC", participant).strip())
    if _SIP_NUMBER.search(participant):
        return "a SIP URI with a number"
    if _EMAIL.search(participant):
        return "an e-mail address"
    if _INTERNATIONAL.search(participant) or _NATIONAL.match(participant):
        return "a phone number"
    return None
