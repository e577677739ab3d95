"""What an HTTP request asks of ClickHouse, read from its parameters, headers and form fields.

The names are those of ClickHouse's HTTP interface. Everything that is not one of them is a setting of the query.
"""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from deploy.embedded.clickhouse.error import ClickHouseError, Code

# Parameters of the interface itself; they never reach the engine as settings.
INTERFACE_PARAMETERS = frozenset(
    {
        "query",
        "query_id",
        "database",
        "default_format",
        "user",
        "password",
        "quota_key",
        "session_id",
        "session_timeout",
        "session_check",
        "close_session",
        "wait_end_of_query",
        "buffer_size",
        "client_protocol_version",
        "stacktrace",
        "compress",
        "decompress",
        "role",
    }
)
# Refused rather than ignored: a client that sends them would misread the answer or be misread.
NOT_IMPLEMENTED = {
    "compress": "use Accept-Encoding and enable_http_compression=1 instead",
    "decompress": "use Content-Encoding instead",
    "role": "there is one user, who may do everything",
}
EXTERNAL_SUFFIXES = ("_format", "_types", "_structure")
SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
FORMAT_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# What a ClickHouse server holds back before it commits itself to status 200: DBMS_DEFAULT_BUFFER_SIZE.
DEFAULT_BUFFER_BYTES = 1_048_576


@dataclass(frozen=True)
class Credentials:
    """As sent, in whichever of the three ways; without any, ClickHouse's user `default` and no password."""

    user: str = "default"
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Asked:
    """One query's circumstances.

    query : the part of the statement that stands in the URL or form, or empty.  parameters : of `{name:Type}`.
    settings : for this query alone.  buffer_bytes : how much of the result is held back before the status is sent;
    None: all of it (`wait_end_of_query`).
    """

    query: str
    query_id: str
    database: str
    default_format: str
    parameters: Mapping[str, str]
    settings: Mapping[str, str]
    session_id: str
    buffer_bytes: int | None
    compress_response: bool


def credentials(params: Mapping[str, str], headers: Mapping[str, str], basic: tuple[str, str] | None) -> Credentials:
    """Who asks: X-ClickHouse-User and -Key, or HTTP Basic (`basic`), or parameters `user` and `password`.

    Raises ClickHouseError AUTHENTICATION_FAILED when they are mixed, as ClickHouse does.
    """
    by_header = "x-clickhouse-user" in headers or "x-clickhouse-key" in headers
    by_parameter = "user" in params or "password" in params
    if by_header + by_parameter + (basic is not None) > 1:
        raise ClickHouseError(
            Code.AUTHENTICATION_FAILED,
            "Invalid authentication: it is not allowed to use Authorization HTTP header, X-ClickHouse HTTP headers "
            "and authentication via parameters simultaneously",
        )
    if by_header:
        return Credentials(
            _utf8(headers.get("x-clickhouse-user", "default")), _utf8(headers.get("x-clickhouse-key", ""))
        )
    if by_parameter:
        return Credentials(params.get("user", "default"), params.get("password", ""))
    return Credentials(*basic) if basic is not None else Credentials()


def authenticates(sent: Credentials, expected: Credentials) -> bool:
    """Whether they are the same, in a time that does not depend on where they differ."""
    same_user = secrets.compare_digest(sent.user.encode(), expected.user.encode())
    same_password = secrets.compare_digest(sent.password.encode(), expected.password.encode())
    return same_user and same_password


def read_request(
    params: Mapping[str, str], headers: Mapping[str, str], *, method: str, external: frozenset[str], fresh_id: str
) -> Asked:
    """What is asked.

    params : of the URL and the form.  headers : names in lower case.  external : names of the tables sent along,
    whose `<name>_format` and the like are not settings.  fresh_id : the query's id if the client gives none.
    Raises ClickHouseError for a parameter that is not implemented or can't be a setting.
    """
    for name, instead in NOT_IMPLEMENTED.items():
        if params.get(name, "0") not in {"", "0"}:
            raise ClickHouseError(
                Code.NOT_IMPLEMENTED, f"{name}={params[name]} is not implemented by the embedded server: {instead}"
            )
    of_external = {table + suffix for table in external for suffix in EXTERNAL_SUFFIXES}
    settings: dict[str, str] = {}
    for name, value in params.items():
        if name in INTERFACE_PARAMETERS or name in of_external or name.startswith("param_"):
            continue
        if not SETTING_NAME.match(name):
            raise ClickHouseError(Code.UNKNOWN_SETTING, f"Unknown setting {name!r}")
        settings[name] = value
    if method != "POST" and settings.get("readonly", "0") == "0":
        settings["readonly"] = "2"  # a GET changes nothing; it may still set what it needs
    parameters = {name.removeprefix("param_"): value for name, value in params.items() if name.startswith("param_")}
    for name in parameters:
        if not SETTING_NAME.match(name):
            raise ClickHouseError(Code.BAD_ARGUMENTS, f"param_{name}: expected the name of a parameter after param_")
    default_format = params.get("default_format") or headers.get("x-clickhouse-format") or "TabSeparated"
    if not FORMAT_NAME.match(default_format):
        raise ClickHouseError(Code.UNKNOWN_FORMAT, f"Unknown format {default_format!r}")
    wait = params.get("wait_end_of_query", "0") not in {"", "0"}
    return Asked(
        query=params.get("query", ""),
        query_id=params.get("query_id") or fresh_id,
        database=params.get("database") or headers.get("x-clickhouse-database") or "default",
        default_format=default_format,
        parameters=parameters,
        settings=settings,
        session_id=params.get("session_id", ""),
        buffer_bytes=None if wait else _buffer_bytes(params.get("buffer_size", "")),
        compress_response=settings.get("enable_http_compression", "0") not in {"", "0", "false"},
    )


def _utf8(header: str) -> str:
    """A header's value, which ASGI hands on as if it were Latin-1."""
    return header.encode("latin-1", errors="replace").decode(errors="replace")


def _buffer_bytes(text: str) -> int:
    """`buffer_size`, which ClickHouse also counts from zero up; no less than its own working buffer."""
    try:
        return max(int(text or 0), DEFAULT_BUFFER_BYTES)
    except ValueError:
        raise ClickHouseError(Code.BAD_ARGUMENTS, f"buffer_size: expected a number of bytes, got {text!r}") from None
