"""Strict decoding with the field named in the error, and the one encoding."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from schemas.errors import Refused

T = TypeVar("T")

_ENCODER = msgspec.json.Encoder()
_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>.*)`)?$", re.DOTALL)
_NAMED = re.compile(r"field `(?P<name>[^`]*)`")


def encode(record: Any) -> bytes:
    """JSON of a record, compact, fields in the struct's order: the same record always gives the same bytes."""
    return _ENCODER.encode(record)


def encode_line(record: Any) -> bytes:
    """JSON of a record and a line's end; JSON has no line's end inside."""
    return _ENCODER.encode(record) + b"\n"


def decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    """The record in `data`.

    Raises Refused, with `field` as a path (`words[3].start`) where one field is at fault: reason `not_json` when
    it is no JSON, `not_utf8` when a string is no UTF-8, `too_deep` when it is nested beyond reason, else `invalid`.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refused(error) from None
    except msgspec.DecodeError as error:
        raise _not_finite(bytes(data)) or Refused(f"the body is not JSON: {error}", reason="not_json") from None
    except UnicodeDecodeError as error:
        raise Refused(f"the body is not UTF-8: {error.reason} at byte {error.start}", reason="not_utf8") from None
    except RecursionError:  # met where a value is skipped or kept raw; no record of ours is nested
        raise Refused("the body is nested too deeply; records are flat", reason="too_deep") from None


class _NotFinite(str):
    """NaN, Infinity or -Infinity, which JSON does not have and many encoders write."""


def _not_finite(data: bytes) -> Refused | None:
    """The refusal of what would be JSON but for a number that is none, with the field; else None."""
    try:
        found = _first_not_finite(json.loads(data, parse_constant=_NotFinite), "")
    except (ValueError, RecursionError):
        return None
    if found is None:
        return None
    field, value = found
    return Refused(f"{field}: {value} is no number in JSON; leave the field out", field=field, reason="not_finite")


def _first_not_finite(value: Any, path: str) -> tuple[str, _NotFinite] | None:
    if isinstance(value, _NotFinite):
        return path, value
    if isinstance(value, dict):
        inside = [(f"{path}.{name}" if path else name, item) for name, item in value.items()]
    elif isinstance(value, list):
        inside = [(f"{path}[{index}]", item) for index, item in enumerate(value)]
    else:
        return None
    return next((found for name, item in inside if (found := _first_not_finite(item, name))), None)


def _refused(error: msgspec.ValidationError) -> Refused:
    match = _AT.match(str(error))
    what, path = (match["what"], match["path"] or "") if match else (str(error), "")
    field = path.removeprefix("$").removeprefix(".")
    named = _NAMED.search(what)
    if named:  # a missing or unknown field is reported at its parent
        field = f"{field}.{named['name']}" if field else named["name"]
    problem = what[:1].lower() + what[1:]
    return Refused(f"{field}: {problem}" if field else problem, field=field or None)
