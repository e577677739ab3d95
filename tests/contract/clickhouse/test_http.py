"""The HTTP interface itself, as `curl` and other clients see it."""

import gzip
import http.client
import re
import time
import uuid
import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import urlencode

import lz4.frame  # type: ignore[import-untyped]
import pytest
from clickhouse_connect.driver.client import Client


class Reply(Protocol):
    """A plain HTTP response."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    cut: bool


class Target(Protocol):
    """What these tests use of the fixture of that name."""

    host: str
    port: int
    user: str
    password: str
    embedded: bool
    authorization: dict[str, str]

    def request(
        self, params: Mapping[str, str], body: bytes | None = ..., headers: Any = ..., *, path: str = ...
    ) -> Reply: ...

    def connect(self, **options: Any) -> Client: ...


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{user}:{password}".encode()).decode()}


def test_ping_and_root_need_no_password(target: Target) -> None:
    for path in ("/ping", "/"):
        reply = target.request({}, headers={}, path=path)
        assert (reply.status, reply.body) == (200, b"Ok.\n")


def test_unknown_path(target: Target) -> None:
    assert target.request({}, path="/nothing").status == 404


def test_the_three_ways_to_say_who_asks(target: Target) -> None:
    ask = {"query": "SELECT 1"}
    by_header = {"X-ClickHouse-User": target.user, "X-ClickHouse-Key": target.password.encode().decode("latin-1")}
    assert target.request(ask, headers=basic(target.user, target.password)).body == b"1\n"
    assert target.request(ask | {"user": target.user, "password": target.password}, headers={}).body == b"1\n"
    assert target.request(ask, headers=by_header).body == b"1\n"


def test_wrong_credentials_are_refused(target: Target) -> None:
    ask = {"query": "SELECT 1"}
    for params, headers in (
        (ask, basic(target.user, "wrong")),
        (ask, basic(target.user, target.password + "x")),
        (ask, basic("nobody", target.password)),
        (ask | {"user": target.user, "password": "wrong"}, {}),
        (ask, {"X-ClickHouse-User": target.user, "X-ClickHouse-Key": ""}),
        (ask | {"user": target.user}, basic(target.user, target.password)),
    ):
        for body in (None, b"x" * 1_000_000):
            reply = target.request(params, body, headers)
            assert reply.status == 403
            assert reply.headers["x-clickhouse-exception-code"] == "516"
            assert reply.body.startswith(b"Code: 516. DB::Exception: ")
            assert target.password.encode() not in reply.body


def test_without_credentials_nobody_gets_in(embedded: Target) -> None:
    assert embedded.request({"query": "SELECT 1"}, headers={}).status == 403
    assert embedded.request({"query": "SELECT 1"}, headers={"Authorization": "Bearer x"}).status == 403


def test_headers_of_a_result(target: Target) -> None:
    reply = target.request({"query_id": "äö id", "default_format": "JSONEachRow"}, b"SELECT 1 AS a")
    assert reply.body == b'{"a":1}\n'
    assert reply.headers["x-clickhouse-format"] == "JSONEachRow"
    assert reply.headers["content-type"].startswith("application/")
    assert '"read_rows":' in reply.headers["x-clickhouse-summary"]
    assert reply.headers["x-clickhouse-timezone"]
    tokyo = target.request({"session_timezone": "Asia/Tokyo", "query": "SELECT 1"})
    assert tokyo.headers["x-clickhouse-timezone"] == "Asia/Tokyo"
    assert target.request({"query_id": "my id", "query": "SELECT 1"}).headers["x-clickhouse-query-id"] == "my id"
    assert target.request({"query": "SELECT 1 FORMAT CSV"}).headers["x-clickhouse-format"] == "CSV"


def test_format_and_database_by_header(target: Target) -> None:
    headers = target.authorization | {"X-ClickHouse-Format": "JSONEachRow", "X-ClickHouse-Database": "system"}
    reply = target.request({}, b"SELECT currentDatabase() AS d", headers)
    assert reply.body == b'{"d":"system"}\n'


def test_statement_in_two_parts(target: Target) -> None:
    assert target.request({"query": "SELECT 1"}, b"+ 1").body == b"2\n"


def test_long_parameter_in_the_url(target: Target) -> None:
    reply = target.request({"query": "SELECT length({text:String})", "param_text": "x" * 500_000})
    assert reply.body == b"500000\n"


@pytest.mark.parametrize(
    ("statement", "status", "code"),
    [
        ("SELECT * FROM nowhere", 404, 60),
        ("SELECT nothing", 404, 47),
        ("SELEC 1", 400, 62),
        ("1 + 1", 400, 62),
        ("", 400, 62),
        ("SELECT 1 FORMAT Nothing", 404, 73),
        ("SELECT throwIf(1)", 500, 395),
        ("SELECT sleep(3) SETTINGS max_execution_time = 0.1", 408, 159),
        ("SELECT toInt32('x')", 400, 6),
    ],
)
def test_error_becomes_a_status(target: Target, statement: str, status: int, code: int) -> None:
    reply = target.request({}, statement.encode())
    assert reply.headers["x-clickhouse-exception-code"] == str(code)
    assert reply.status == status
    assert reply.body.startswith(f"Code: {code}. DB::Exception: ".encode())


def test_error_in_mid_stream_is_marked_and_the_connection_cut(target: Target) -> None:
    reply = target.request(
        {"max_block_size": "1000", "max_threads": "1"},
        b"SELECT number, throwIf(number = 1000000, 'late') FROM numbers(10000000) FORMAT CSV",
    )
    tag = reply.headers["x-clickhouse-exception-tag"].encode()
    assert reply.status == 200
    assert reply.cut
    before, _, error = reply.body.partition(b"__exception__\r\n" + tag + b"\r\n")
    assert before.startswith(b"0,0\n1,0\n")
    found = re.fullmatch(rb"(?s)(Code: 395\. DB::Exception: .*late.*\n)(\d+) " + tag + rb"\r\n__exception__\r\n", error)
    assert found is not None
    assert len(found[1]) - int(found[2]) in {0, 1}  # with or without the line feed


def test_get_changes_nothing(target: Target, client: Client, database: str) -> None:
    client.command("CREATE TABLE t (a Int8) ENGINE = Memory")
    for query in ("INSERT INTO t VALUES (1)", "DROP TABLE t", "CREATE TABLE u (a Int8) ENGINE = Memory"):
        reply = target.request({"query": query, "database": database})
        assert reply.headers["x-clickhouse-exception-code"] == "164"
    assert client.query("SELECT count() FROM t").result_rows[0] == (0,)


@pytest.mark.parametrize(
    ("offer", "given", "unpack"),
    [
        ("lz4", "lz4", lz4.frame.decompress),
        ("gzip, deflate", "gzip", gzip.decompress),
        ("deflate", "deflate", zlib.decompress),
        ("identity", None, bytes),
    ],
)
def test_response_is_compressed_when_asked_for(target: Target, offer: str, given: str | None, unpack: Any) -> None:
    headers = target.authorization | {"Accept-Encoding": offer}
    ask = {"query": "SELECT number FROM numbers(300000)", "enable_http_compression": "1"}
    reply = target.request(ask, headers=headers)
    assert reply.headers.get("content-encoding") == given
    assert unpack(reply.body) == b"".join(b"%d\n" % number for number in range(300_000))
    plain = target.request(ask | {"enable_http_compression": "0"}, headers=headers)
    assert "content-encoding" not in plain.headers


def test_query_ends_when_its_client_goes(target: Target) -> None:
    """One that sends rows for ever, and one that would compute for minutes before its first row."""
    for statement in (
        "SELECT number FROM system.numbers",
        "SELECT count() FROM numbers(10000000000000) WHERE NOT ignore(sipHash64(number))",
    ):
        mark = f"/* {uuid.uuid4()} */"
        params = urlencode(
            {"query": f"SELECT {mark} * FROM ({statement})", "cancel_http_readonly_queries_on_client_close": 1}
        )
        connection = http.client.HTTPConnection(target.host, target.port, timeout=30)
        connection.request("GET", f"/?{params}", headers=target.authorization)
        with target.connect() as watcher:
            assert holds(watcher, mark, running=True)
            connection.close()
            assert holds(watcher, mark, running=False)


def holds(watcher: Client, mark: str, *, running: bool) -> bool:
    """Whether the marked query runs, or does not, before 10 s have passed."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        found = watcher.command(
            "SELECT count() FROM system.processes "
            "WHERE position(query, {mark:String}) > 0 AND query NOT LIKE '%processes%'",
            parameters={"mark": mark},
        )
        if found == int(running):
            return True
    return False


def test_what_would_be_misread_is_refused(embedded: Target) -> None:
    for params in ({"compress": "1"}, {"decompress": "1"}, {"role": "admin"}, {"bad name!": "1"}, {"param_": "1"}):
        reply = embedded.request(params, b"SELECT 1")
        assert reply.status >= 400, params
        assert reply.body.startswith(b"Code: ")
