"""The connection to ClickHouse: inserts of encoded rows, queries, and which of its errors pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
import msgspec
from clickhouse_connect.driver import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError, OperationalError
from msgspec import Struct

from pipeline.settings import Settings
from schemas.errors import Misconfigured, Refused, Unavailable

CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60

TRANSIENT_CODES = frozenset(
    {
        3,  # UNEXPECTED_END_OF_FILE
        159,  # TIMEOUT_EXCEEDED
        160,  # TOO_SLOW
        201,  # QUOTA_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        203,  # NO_FREE_CONNECTION
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        236,  # ABORTED
        241,  # MEMORY_LIMIT_EXCEEDED
        242,  # TABLE_IS_READ_ONLY
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        285,  # TOO_FEW_LIVE_REPLICAS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        999,  # KEEPER_EXCEPTION
    }
)
"""Codes of errors that pass by themselves, or once the server has room again."""

DATA_CODES = frozenset(
    {
        6,  # CANNOT_PARSE_TEXT
        26,  # CANNOT_PARSE_QUOTED_STRING
        27,  # CANNOT_PARSE_INPUT_ASSERTION_FAILED
        33,  # CANNOT_READ_ALL_DATA
        38,  # CANNOT_PARSE_DATE
        41,  # CANNOT_PARSE_DATETIME
        53,  # TYPE_MISMATCH
        69,  # ARGUMENT_OUT_OF_BOUND
        70,  # CANNOT_CONVERT_TYPE
        72,  # CANNOT_PARSE_NUMBER
        117,  # INCORRECT_DATA
        130,  # CANNOT_READ_ARRAY_FROM_TEXT
        131,  # TOO_LARGE_STRING_SIZE
        349,  # CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
        407,  # DECIMAL_OVERFLOW
        467,  # CANNOT_PARSE_BOOL
    }
)
"""Codes of errors that a row is to blame for; any other is the server's or the schema's."""


class _JsonResult(Struct):
    meta: list[dict[str, str]]
    data: list[dict[str, Any]]


class ClickHouse:
    """One client; not for several threads at once. Every call raises Unavailable for what passes by waiting."""

    def __init__(self, settings: Settings, *, database: str | None = None) -> None:
        """database : default the settings'; another for the time before it exists. Connects."""
        if not settings.clickhouse_url:
            raise Misconfigured("MISE_VOICE_CLICKHOUSE_URL is not set; name a server (http://host:8123)")
        url = urlsplit(settings.clickhouse_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise Misconfigured(f"MISE_VOICE_CLICKHOUSE_URL {settings.clickhouse_url}: expected http(s)://host:port")
        self._url = settings.clickhouse_url
        with self._errors():
            self._client: Client = clickhouse_connect.get_client(
                interface=url.scheme,
                host=url.hostname,
                port=url.port or (8443 if url.scheme == "https" else 8123),
                username=settings.clickhouse_user,
                password=settings.clickhouse_password.get_secret_value(),
                database=database or settings.clickhouse_database,
                connect_timeout=CONNECT_TIMEOUT_S,
                send_receive_timeout=READ_TIMEOUT_S,
                # Sessions forbid two queries at once, and nothing of ours needs one.
                autogenerate_session_id=False,
                query_retries=0,
            )

    def insert(self, table: str, rows: bytes, *, token: str) -> None:
        """Insert rows into a table of ours; return when they are stored.

        rows : JSONEachRow, as `schemas.rows` encodes. token : the same token again inserts nothing.
        Raises Unavailable, or Refused: with the reason `row_rejected` when a row is to blame.
        """
        with self._errors():
            self._client.raw_insert(
                table,
                insert_block=rows,
                fmt="JSONEachRow",
                settings={
                    "insert_deduplicate": 1,
                    "insert_deduplication_token": token,
                    # A field that is no column would be dropped in silence.
                    "input_format_skip_unknown_fields": 0,
                },
            )

    def command(self, statement: str, parameters: dict[str, Any] | None = None) -> None:
        """Run a statement that gives no rows."""
        with self._errors():
            self._client.command(statement, parameters=parameters)

    def rows(self, query: str, parameters: dict[str, Any] | None = None) -> tuple[list[str], Sequence[Sequence[Any]]]:
        """Column names and rows of a query. parameters : bound as `{name:Type}`."""
        with self._errors():
            result = self._client.query(query, parameters=parameters)
            return list(result.column_names), result.result_rows

    def select(self, query: str) -> tuple[list[str], list[dict[str, Any]]]:
        """Column names and rows of a query that can't change anything; values as ClickHouse writes them in JSON."""
        with self._errors():
            answer = self._client.raw_query(query, fmt="JSON", settings={"readonly": 2})
        result = msgspec.json.decode(answer, type=_JsonResult)
        return [column["name"] for column in result.meta], result.data

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OperationalError as error:
            raise Unavailable(f"ClickHouse at {self._url}: {error}") from error
        except DatabaseError as error:
            if error.code in TRANSIENT_CODES:
                raise Unavailable(f"ClickHouse at {self._url}: {error}") from error
            if error.code == 516:  # noqa: PLR2004 - AUTHENTICATION_FAILED
                raise Misconfigured(
                    f"ClickHouse at {self._url} refuses the user; check MISE_VOICE_CLICKHOUSE_USER and …_PASSWORD"
                ) from error
            if error.code in DATA_CODES:
                raise Refused(f"ClickHouse: {error}", reason="row_rejected") from error
            raise Refused(f"ClickHouse: {error}", reason="statement_rejected") from error
        except ClickHouseError as error:
            raise Refused(f"ClickHouse: {error}", reason="statement_rejected") from error
