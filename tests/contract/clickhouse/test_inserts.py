"""Inserts through an unmodified clickhouse-connect: formats, compression, streams, deduplication, refusals."""

import gzip
import http.client
import json
import sys
from collections.abc import Callable, Generator
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import lz4.frame  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Reply(Protocol):
    """What these tests use of a plain HTTP response."""

    status: int
    body: bytes


class Target(Protocol):
    """What these tests use of the fixture of that name."""

    host: str
    port: int
    embedded: bool
    authorization: dict[str, str]

    def request(self, params: dict[str, str], body: bytes | None = ..., headers: Any = ...) -> Reply: ...


TABLE = (
    "CREATE TABLE t (a Int64, s String) ENGINE = MergeTree ORDER BY a "
    "SETTINGS non_replicated_deduplication_window = 100"
)


def rows(client: Client) -> list[tuple[int, str]]:
    return [(a, s) for a, s in client.query("SELECT a, s FROM t ORDER BY a, s").result_rows]


@pytest.fixture
def table(client: Client) -> Client:
    client.command(TABLE)
    return client


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_insert_round_trip(connect: Callable[..., Client], compress: bool | str) -> None:
    client = connect(compress=compress)
    client.command(
        "CREATE TABLE t (a Int64, at DateTime64(3, 'UTC'), n Nullable(Float64), l LowCardinality(String), "
        "v Array(Tuple(who String, ms Int32)), m Map(String, String)) ENGINE = MergeTree ORDER BY a"
    )
    moment = datetime(2025, 11, 22, 14, 40, 0, 123000, tzinfo=UTC)
    data = [
        [number, moment, None if number % 2 else 0.5, f"k{number % 3}", [("x", number)], {"k": "v"}]
        for number in range(5000)
    ]
    summary = client.insert("t", data, column_names=["a", "at", "n", "l", "v", "m"])
    assert summary.written_rows == 5000
    back = client.query("SELECT * FROM t ORDER BY a", tz_mode="aware").result_rows
    assert back[:2] == [
        (0, moment, 0.5, "k0", [{"who": "x", "ms": 0}], {"k": "v"}),
        (1, moment, None, "k1", [{"who": "x", "ms": 1}], {"k": "v"}),
    ]
    assert len(back) == 5000


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("JSONEachRow", b'{"a":1,"s":"x"}\n{"s":"y","a":2}\n'),
        ("CSV", b'1,"x"\n2,y\n'),
        ("CSVWithNames", b"s,a\nx,1\ny,2\n"),
        ("TabSeparated", b"1\tx\n2\ty\n"),
        ("RowBinary", b"\x01\0\0\0\0\0\0\0\x01x\x02\0\0\0\0\0\0\0\x01y"),
        ("Values", b"(1,'x'),(2,'y')"),
    ],
)
@pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
def test_raw_insert(table: Client, name: str, block: bytes, compression: str | None) -> None:
    pack: dict[str | None, Callable[[bytes], bytes]] = {
        None: bytes,
        "gzip": gzip.compress,
        "lz4": lz4.frame.compress,
        "zstd": zstd.compress,
    }
    summary = table.raw_insert("t", insert_block=pack[compression](block), fmt=name, compression=compression)
    assert summary.written_rows == 2
    assert rows(table) == [(1, "x"), (2, "y")]


def test_insert_is_streamed(table: Client) -> None:
    """From a generator, so in chunks of no particular size; rows are cut across them."""
    lines = b"".join(b'{"a":%d,"s":"%s"}\n' % (number, b"x" * 50) for number in range(100_000))

    def chunks() -> Generator[bytes, None, None]:
        for at in range(0, len(lines), 99_991):
            yield lines[at : at + 99_991]

    assert table.raw_insert("t", insert_block=chunks(), fmt="JSONEachRow").written_rows == 100_000
    assert table.query("SELECT count(), sum(a), uniqExact(a) FROM t").result_rows[0] == (
        100_000,
        4_999_950_000,
        100_000,
    )


def test_insert_that_the_storage_refuses_is_an_error(table: Client) -> None:
    """Not an insert of no rows: a client would take them for stored."""
    table.command("ALTER TABLE t MODIFY SETTING max_parts_in_total = 1")
    table.raw_insert("t", insert_block=b'{"a":1,"s":"x"}\n', fmt="JSONEachRow")
    with pytest.raises(DatabaseError, match="TOO_MANY_PARTS"):
        table.raw_insert("t", insert_block=b'{"a":2,"s":"y"}\n', fmt="JSONEachRow")
    table.command("ALTER TABLE t RESET SETTING max_parts_in_total")
    table.raw_insert("t", insert_block=b'{"a":2,"s":"y"}\n', fmt="JSONEachRow")
    assert rows(table) == [(1, "x"), (2, "y")]


def test_insert_that_a_materialized_view_refuses_is_an_error(table: Client) -> None:
    table.command("CREATE TABLE v (a Int64) ENGINE = MergeTree ORDER BY a")
    table.command("CREATE MATERIALIZED VIEW m TO v AS SELECT a + throwIf(a = 2) AS a FROM t")
    with pytest.raises(DatabaseError, match="FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"):
        table.raw_insert("t", insert_block=b'{"a":2,"s":"y"}\n', fmt="JSONEachRow")


def test_insert_arrow(table: Client) -> None:
    table.insert_arrow("t", pa.table({"a": [1, 2], "s": ["x", "y"]}))
    assert rows(table) == [(1, "x"), (2, "y")]


def test_insert_values(table: Client) -> None:
    summary = table.command("INSERT INTO t (a, s) VALUES (1, 'x; y'), (1 + 1, concat('y', ')'))")
    assert getattr(summary, "written_rows", None) == 2
    table.command("INSERT INTO t VALUES ({a:Int64}, {s:String})", parameters={"a": 3, "s": "it's"})
    assert rows(table) == [(1, "x; y"), (2, "y)"), (3, "it's")]


def test_insert_select(table: Client) -> None:
    summary = table.command(
        "INSERT INTO t SELECT number, 'x' FROM numbers(10) WHERE number >= {n:Int64}", parameters={"n": 8}
    )
    assert getattr(summary, "written_rows", None) == 2
    assert rows(table) == [(8, "x"), (9, "x")]


def test_insert_names_a_keyword(client: Client) -> None:
    for name in ("format", "values", "`select`", "settings"):
        client.command(f"CREATE TABLE {name} (`values` Int8) ENGINE = Memory")
        client.raw_insert(name, column_names=["values"], insert_block=b"1\n", fmt="CSV")
        client.command(f"INSERT INTO {name} /* VALUES */ (`values`) -- FORMAT\n VALUES (2)")
        assert client.query(f"SELECT sum(`values`) FROM {name}").result_rows[0] == (3,)


def test_statement_in_url_and_rows_in_body(target: Target, table: Client, database: str) -> None:
    """All the ways of ClickHouse's documentation: https://clickhouse.com/docs/interfaces/http"""
    for query, body in (
        ("INSERT INTO t VALUES", b"(1, 'a')"),
        ("INSERT INTO t FORMAT TabSeparated", b"2\tb\n"),
        ("", b"INSERT INTO t FORMAT CSV\n3,c\n"),
        ("", b"INSERT INTO t FORMAT CSV 4,d\n"),
        ("INSERT INTO t", b"VALUES (5, 'e')"),
        ("INSERT INTO t SELECT 6,", b"'f'"),
        ("INSERT INTO t FORMAT JSONEachRow", b""),
    ):
        reply = target.request({"query": query, "database": database} if query else {"database": database}, body)
        assert (reply.status, reply.body) == (200, b""), (query, body)
    assert rows(table) == [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (5, "e"), (6, "f")]


def test_insert_with_settings_clause(table: Client) -> None:
    table.command("INSERT INTO t SETTINGS input_format_null_as_default = 1 FORMAT JSONEachRow", data='{"a":1,"s":null}')
    assert rows(table) == [(1, "")]


def test_deduplication_token_makes_a_repeated_insert_harmless(table: Client) -> None:
    for _ in range(3):
        table.raw_insert("t", insert_block=b"1,x\n", fmt="CSV", settings={"insert_deduplication_token": "one"})
    table.raw_insert("t", insert_block=b"1,x\n", fmt="CSV", settings={"insert_deduplication_token": "two"})
    assert rows(table) == [(1, "x"), (1, "x")]


def test_newest_version_is_seen_through_a_view(client: Client) -> None:
    client.command(
        "CREATE TABLE v (id String, text String, version UInt64) ENGINE = ReplacingMergeTree(version) ORDER BY id"
    )
    client.command("CREATE VIEW newest AS SELECT id, text FROM v FINAL")
    for version, text in ((2, "second"), (3, "third"), (1, "first")):
        client.raw_insert(
            "v", insert_block=json.dumps({"id": "a", "text": text, "version": version}), fmt="JSONEachRow"
        )
    assert client.query("SELECT text FROM newest").result_rows == [("third",)]
    assert client.query("SELECT count() FROM newest").result_rows[0] == (1,)


def test_bad_row_is_refused_with_its_place(table: Client) -> None:
    with pytest.raises(DatabaseError, match=r"at row 2|Row 2") as caught:
        table.raw_insert("t", insert_block=b"1,x\nnot a number,y\n", fmt="CSV")
    assert caught.value.code == 27
    assert rows(table) == []


def test_insert_into_nowhere_is_refused(connect: Callable[..., Client]) -> None:
    """Also while the client is still sending: more than any buffer between here and there holds."""
    client = connect()
    for block in (b"1\n", b"1\n" * 20_000_000):
        with pytest.raises(DatabaseError) as caught:
            client.raw_insert("nowhere", insert_block=block, fmt="CSV")
        assert caught.value.code == 60


def test_insert_whose_client_goes_leaves_nothing(target: Target, table: Client, database: str) -> None:
    query = urlencode({"query": "INSERT INTO t FORMAT CSV", "database": database})
    for _ in range(20):  # more often than the server runs inserts at a time
        connection = http.client.HTTPConnection(target.host, target.port, timeout=30)
        connection.putrequest("POST", f"/?{query}")
        for name, value in {**target.authorization, "Content-Length": "10000000"}.items():
            connection.putheader(name, value)
        connection.endheaders(b"1,x\n" * 600_000)  # so much that the engine has been given some of it
        connection.close()
    table.insert("t", [[2, "y"]], column_names=["a", "s"])
    assert rows(table) == [(2, "y")]


def test_async_insert_that_is_waited_for(table: Client) -> None:
    settings = {"async_insert": 1, "wait_for_async_insert": 1}
    table.raw_insert("t", insert_block=b"1,x\n", fmt="CSV", settings=settings)
    table.insert("t", [[2, "y"]], column_names=["a", "s"], settings=settings)
    assert rows(table) == [(1, "x"), (2, "y")]


@pytest.mark.parametrize("damage", [lambda body: body[:-10], lambda body: b"no lz4 at all" + body])
def test_damaged_body_is_refused(
    target: Target, table: Client, database: str, damage: Callable[[bytes], bytes]
) -> None:
    body = damage(lz4.frame.compress(b"".join(b"%d,x\n" % number for number in range(600_000))))
    reply = target.request(
        {"query": "INSERT INTO t FORMAT CSV", "database": database},
        body,
        target.authorization | {"Content-Encoding": "lz4"},
    )
    assert reply.status >= 400
    assert reply.body.startswith(b"Code: ")
    assert rows(table) == []


def test_rows_for_input_are_refused_not_lost(target: Target, table: Client) -> None:
    statement = "INSERT INTO t SELECT x, 's' FROM input('x Int64') FORMAT CSV"
    if not target.embedded:
        table.command(statement, data="1\n")
        assert rows(table) == [(1, "s")]
        return
    with pytest.raises(DatabaseError, match="input") as caught:
        table.command(statement, data="1\n")
    assert caught.value.code == 48
