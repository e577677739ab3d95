"""The rows' fields are the columns: names, order and types, read from the CREATE and ALTER TABLE of the migrations."""

from __future__ import annotations

import re
import types
import typing
from typing import Any, Literal

import msgspec
import pytest

from pipeline.storage.migrate import migrations
from schemas.features import Features
from schemas.rows import CallRow, EventRow, Instant, TurnRow

TABLES: dict[str, type[msgspec.Struct]] = {"turn_rows": TurnRow, "event_rows": EventRow, "call_rows": CallRow}
FEATURES = Features.__struct_fields__
BY_DATABASE = {"inserted_at"}
"""Columns that ClickHouse fills in."""

SQL = "\n".join(migration.sql for migration in migrations())


def split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no string."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def columns(table: str) -> dict[str, str]:
    """Column -> type of a table, in order: as it was created, then altered."""
    created = re.search(rf"CREATE TABLE IF NOT EXISTS {table}\n\((.*?)\n\)\nENGINE", SQL, re.DOTALL)
    assert created, table
    found = [definition.split(" ", 1) for definition in split(created[1])]
    for altered in re.finditer(rf"ALTER TABLE {table}\n(.*?);$", SQL, re.DOTALL | re.MULTILINE):
        for action in split(altered[1]):
            if action.startswith("COMMENT COLUMN IF EXISTS "):
                continue
            if modified := re.fullmatch(r"MODIFY COLUMN (\w+) (.*)", action):
                at = [name for name, _ in found].index(modified[1])
                found[at] = [modified[1], modified[2]]
                continue
            added = re.fullmatch(r"ADD COLUMN IF NOT EXISTS (\w+) (.*) AFTER (\w+)", action)
            assert added, action
            after = [name for name, _ in found].index(added[3])
            found.insert(after + 1, [added[1], added[2]])
    return {
        name: re.split(r" (?:COMMENT|CODEC|DEFAULT)\b", rest.strip(), maxsplit=1)[0].strip() for name, rest in found
    }


def test_the_parser_reads_what_it_should() -> None:
    assert split("a Tuple(x String, y String), b String COMMENT 'one, two', c UInt8") == [
        "a Tuple(x String, y String)",
        "b String COMMENT 'one, two'",
        "c UInt8",
    ]
    assert columns("event_rows")["data"] == "Map(LowCardinality(String), String)"
    assert columns("turn_rows")["pause_count"] == "Nullable(UInt32)"


@pytest.mark.parametrize("table", TABLES)
def test_fields_are_the_columns_in_their_order(table: str) -> None:
    fields, found = list(TABLES[table].__struct_encode_fields__), [n for n in columns(table) if n not in BY_DATABASE]
    # A row has its features first, being one; the table has them in their place.
    for of_features in (False, True):
        expected = [name for name in found if (name in FEATURES) == of_features]
        assert [name for name in fields if (name in FEATURES) == of_features] == expected


@pytest.mark.parametrize("table", TABLES)
def test_columns_take_what_the_fields_hold(table: str) -> None:
    hints = typing.get_type_hints(TABLES[table])
    for field in msgspec.structs.fields(TABLES[table]):
        holds(columns(table)[field.encode_name], hints[field.name], f"{table}.{field.encode_name}")


def holds(column: str, hint: Any, where: str) -> None:
    """Fail unless every value of the Python type fits the column's type, NULL only where the column has it."""
    outer, _, inner = column.partition("(")
    inner = inner.removesuffix(")")
    if outer == "LowCardinality":
        return holds(inner, hint, where)
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union) and type(None) in typing.get_args(hint)
    assert optional == (outer == "Nullable"), f"{where}: {column} for {hint}"
    if optional:
        (present,) = (each for each in typing.get_args(hint) if each is not type(None))
        return holds(inner, present, where)
    if typing.get_origin(hint) is list:
        assert outer == "Array", where
        return holds(inner, typing.get_args(hint)[0], where)
    if typing.get_origin(hint) is dict:
        key, value = typing.get_args(hint)
        assert outer == "Map", where
        key_column, value_column = split(inner)
        holds(key_column, key, where)
        # A Map's value that is NULL is how a key that is absent reads, when that must not be 0; of a count it must.
        return holds(value_column, value if value in (str, int) else value | None, where)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        assert outer == "Tuple", where
        members = dict(member.split(" ", 1) for member in split(inner))
        fields = msgspec.structs.fields(hint)
        assert list(members) == [field.encode_name for field in fields], where
        hints = typing.get_type_hints(hint)
        for field in fields:
            holds(members[field.encode_name], hints[field.name], f"{where}.{field.encode_name}")
        return None
    if typing.get_origin(hint) is Literal:
        hint = str
    # An Instant is a text as well: which it is shows only in the column.
    allowed = {
        bool: {"Bool"},
        int: {"UInt8", "UInt32", "UInt64", "Int64"},
        float: {"Float32", "Float64"},
        Instant: {"String", "DateTime64"},
    }
    assert outer in allowed[hint], f"{where}: {column} for {hint}"
    return None


@pytest.mark.parametrize(("table", "name"), [("turn_rows", "received_at"), ("event_rows", "received_at")])
def test_what_is_in_microseconds_is_kept_in_microseconds(table: str, name: str) -> None:
    assert columns(table)[name] == "DateTime64(6, 'UTC')"


@pytest.mark.parametrize("table", TABLES)
def test_instants_are_in_utc(table: str) -> None:
    for name, column in columns(table).items():
        if "DateTime" in column:
            assert set(re.findall(r"DateTime64\([36], '(\w+)'\)", column)) == {"UTC"}, name
        if name.endswith("_at"):
            assert "DateTime64" in column, name


@pytest.mark.parametrize("table", TABLES)
def test_version_is_an_unsigned_64_bit_integer(table: str) -> None:
    assert columns(table)["version"] == "UInt64"


@pytest.mark.parametrize("table", TABLES)
def test_order_by_is_the_identity_that_the_struct_states(table: str) -> None:
    stated = re.search(r"Identity: \((.*?)\)", TABLES[table].__doc__ or "")
    assert stated
    created = re.search(rf"CREATE TABLE IF NOT EXISTS {table}\n.*?ORDER BY \((.*?)\)", SQL, re.DOTALL)
    assert created
    assert split(created[1]) == split(stated[1])


def test_every_feature_is_a_column_that_may_be_null() -> None:
    for feature in FEATURES:
        assert "Nullable(" in columns("turn_rows")[feature]


def test_every_feature_says_its_unit_in_its_columns_comment() -> None:
    hints = typing.get_type_hints(Features, include_extras=True)
    for feature in FEATURES:
        unit = typing.get_args(hints[feature])[1].extra["unit"]
        (comment,) = re.findall(rf"COLUMN IF (?:NOT )?EXISTS {feature} (?:.* COMMENT )?'((?:[^']|'')*)'", SQL)
        assert comment.endswith(f" [{unit}]" if unit else ""), feature


def test_every_table_of_rows_is_tested() -> None:
    created = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", SQL))
    assert created == set(TABLES)
