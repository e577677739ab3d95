"""Where statements are cut: laws over any text, and the grammar's corners."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.embedded.clickhouse.error import ClickHouseError, Code
from deploy.embedded.clickhouse.statement import (
    Command,
    Insert,
    Read,
    columns_of_types,
    insert_header,
    parse,
    quote,
    quote_name,
    tokens,
)

# What SQL is made of, and what may be mistaken for something else.
PIECES = [
    *"'\"`\\;()[]{},.=-#$/* \n\t",
    "--",
    "/*",
    "*/",
    "$$",
    "''",
    "SELECT",
    "format",
    "FORMAT",
    "SETTINGS",
    "VALUES",
    "INSERT",
    "INTO",
    "UNION",
    "a",
    "1",
    "ä",
]
sql = st.lists(st.sampled_from(PIECES), max_size=40).map("".join).map(str.encode)
blanks = st.sampled_from([b" ", b"\n", b" /* FORMAT x; */ ", b"-- FORMAT y '\n", b"\t\n"])
literals = st.text(max_size=30).map(quote).map(str.encode)


@given(sql | st.binary(max_size=200))
def test_tokens_are_in_order_and_apart(text: bytes) -> None:
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        assert token.depth >= 0
        assert token.text.lower() == text[token.start : token.end].lower()
        end = token.end


@given(sql | st.binary(max_size=200))
def test_any_text_is_a_statement_or_refused(text: bytes) -> None:
    insert_header(text)
    with suppress(ClickHouseError):
        assert isinstance(parse(text), Read | Command)


@given(st.text(max_size=50))
def test_quoted_text_is_one_token(text: str) -> None:
    assert [token.kind for token in tokens(quote(text).encode())] == ["string"]
    assert [token.kind for token in tokens(quote_name(text).encode())] == ["quoted"]


@given(literals, blanks, st.booleans())
def test_format_is_taken_off_the_end_and_nowhere_else(literal: bytes, blank: bytes, semicolon: bool) -> None:
    body = b"SELECT " + literal + blank + b"AS a"
    text = body + blank + b"FoRmAt" + blank + b"JSON" + blank + (b";" if semicolon else b"")
    statement = parse(text)
    assert isinstance(statement, Read)
    assert statement.format == "JSON"
    assert statement.body == body + blank
    without = parse(body)
    assert isinstance(without, Read)
    assert (without.body, without.format, without.settings) == (body, None, b"")


@given(
    st.binary(max_size=100), blanks, st.sampled_from([b"t", b"mise.format", b"`a b`", b"TABLE t", b"t (a, `values`)"])
)
def test_data_of_an_insert_is_every_byte_after_its_line(data: bytes, blank: bytes, target: bytes) -> None:
    header = b"insert" + blank + b"INTO " + target + blank
    whole = header + b"FORMAT Native\n" + data
    assert insert_header(whole) == Insert(header, "Native", len(whole) - len(data))


@given(sql, sql)
def test_data_never_changes_what_its_header_says(one: bytes, other: bytes) -> None:
    """The first bytes of a request are enough, wherever they are cut in the data."""
    header = b"INSERT INTO t (a) FORMAT CSV\n"
    assert insert_header(header + one) == insert_header(header + other)


@pytest.mark.parametrize(
    ("text", "header", "name", "data"),
    [
        (b"INSERT INTO t VALUES (1)", b"INSERT INTO t ", "Values", b" (1)"),
        (b"INSERT INTO t(a)VALUES(1)", b"INSERT INTO t(a)", "Values", b"(1)"),
        (b"INSERT INTO t FORMAT CSV 1,2", b"INSERT INTO t ", "CSV", b"1,2"),
        (b"INSERT INTO t FORMAT CSV \r\n\n1", b"INSERT INTO t ", "CSV", b"\n1"),
        (b"INSERT INTO t SETTINGS a = 1 FORMAT CSV\n", b"INSERT INTO t SETTINGS a = 1 ", "CSV", b""),
        (b"INSERT INTO FUNCTION file('FORMAT') FORMAT CSV\n1", b"INSERT INTO FUNCTION file('FORMAT') ", "CSV", b"1"),
        (b"INSERT INTO values VALUES (1)", b"INSERT INTO values ", "Values", b" (1)"),
        (b"INSERT INTO d.values VALUES (1)", b"INSERT INTO d.values ", "Values", b" (1)"),
        (b"/* who */ INSERT INTO t FORMAT CSV\n", b"/* who */ INSERT INTO t ", "CSV", b""),
    ],
)
def test_insert_with_data(text: bytes, header: bytes, name: str, data: bytes) -> None:
    found = insert_header(text)
    assert found is not None
    assert (found.header, found.format, text[found.data_at :]) == (header, name, data)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SELECT 1 FORMAT CSV",
        b"INSERT INTO t SELECT 1",
        b"INSERT INTO t (a) WITH 1 AS x SELECT x",
        b"INSERT INTO t FROM INFILE 'x' FORMAT CSV",
        b"INSERT INTO t FORMAT",
        b"INSERT INTO t",
        b"INSERT",
    ],
)
def test_no_insert_with_data(text: bytes) -> None:
    assert insert_header(text) is None


@pytest.mark.parametrize(
    ("text", "body", "name", "settings"),
    [
        (b"SELECT 1", b"SELECT 1", None, b""),
        (b"SELECT 1 FORMAT CSV SETTINGS a = 1, b = 'x'", b"SELECT 1 ", "CSV", b" SETTINGS a = 1, b = 'x'"),
        (b"SELECT 1 SETTINGS a = 1 FORMAT CSV", b"SELECT 1 SETTINGS a = 1 ", "CSV", b""),
        (b"SHOW TABLES SETTINGS a = 1", b"SHOW TABLES ", None, b"SETTINGS a = 1"),
        (b"SELECT 1 SETTINGS a = 1 UNION ALL SELECT 2", b"SELECT 1 SETTINGS a = 1 UNION ALL SELECT 2", None, b""),
        (b"SELECT t.format x FROM t", b"SELECT t.format x FROM t", None, b""),
        (b"SELECT (1 FORMAT x)", b"SELECT (1 FORMAT x)", None, b""),
        (b"SELECT settings FROM t", b"SELECT settings FROM t", None, b""),
        (b"((SELECT 1)) FORMAT CSV", b"((SELECT 1)) ", "CSV", b""),
    ],
)
def test_read(text: bytes, body: bytes, name: str | None, settings: bytes) -> None:
    assert parse(text) == Read(body, name, settings)


def test_result_goes_into_a_file() -> None:
    read = Read(b"SHOW TABLES -- all", None, b"SETTINGS a = 1")
    assert read.into("/it's", "CSV") == b"SHOW TABLES -- all\nINTO OUTFILE '/it\\'s' APPEND FORMAT CSV\nSETTINGS a = 1"


@pytest.mark.parametrize("text", [b"", b" ;; ", b"-- nothing", b"SELECT 1; SELECT 2", b"SELECT 1;; DROP TABLE t;"])
def test_one_statement_exactly(text: bytes) -> None:
    with pytest.raises(ClickHouseError, match="Syntax error") as caught:
        parse(text)
    assert caught.value.code == Code.SYNTAX_ERROR


@pytest.mark.parametrize(
    ("text", "changes_session"),
    [
        (b"SET a = 1", True),
        (b"use system", True),
        (b"/* x */ BEGIN TRANSACTION", True),
        (b"CREATE TEMPORARY TABLE t (a Int8)", True),
        (b"CREATE OR REPLACE TEMPORARY TABLE t (a Int8)", True),
        (b"CREATE TABLE t (temporary Int8) ENGINE = Memory", False),
        (b"INSERT INTO t SELECT 1", False),
        (b"WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x", False),
        (b"SYSTEM FLUSH LOGS", False),
        (b"ALTER TABLE t DELETE WHERE a = ';'", False),
    ],
)
def test_command(text: bytes, changes_session: bool) -> None:
    assert parse(text) == Command(text, changes_session)


def test_input_is_refused() -> None:
    with pytest.raises(ClickHouseError, match="input"):
        parse(b"INSERT INTO t SELECT x FROM input('x Int8') FORMAT CSV\n1")
    assert isinstance(parse(b"INSERT INTO t SELECT input FROM u"), Command)


def test_columns_of_types() -> None:
    assert columns_of_types("Int32") == "_1 Int32"
    assert (
        columns_of_types("Tuple(a Int8, b String), Enum('x,y' = 1)") == "_1 Tuple(a Int8, b String), _2 Enum('x,y' = 1)"
    )
