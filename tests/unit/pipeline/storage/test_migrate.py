"""Migrations: numbered, applied once, in order, never changed afterwards."""

from __future__ import annotations

import re

import pytest

from pipeline.storage.migrate import Migration, migrations, plan
from schemas.errors import Misconfigured

ONE = Migration(1, "0001_one.sql", "CREATE TABLE one;")
TWO = Migration(2, "0002_two.sql", "CREATE TABLE two;")
THREE = Migration(3, "0003_three.sql", "CREATE TABLE three;")


def applied(*done: Migration) -> dict[int, tuple[str, str]]:
    return {migration.number: (migration.name, migration.sha256) for migration in done}


def test_empty_database_gets_all_in_order() -> None:
    assert plan([ONE, TWO, THREE], {}) == [ONE, TWO, THREE]


def test_only_what_is_missing_is_applied() -> None:
    assert plan([ONE, TWO, THREE], applied(ONE, TWO)) == [THREE]
    assert plan([ONE, TWO], applied(ONE, TWO)) == []


def test_file_changed_since_it_was_applied_is_refused() -> None:
    changed = Migration(1, "0001_one.sql", "CREATE TABLE one -- a comment\n;")
    with pytest.raises(Misconfigured, match=r"0001_one\.sql has changed.*next number"):
        plan([changed, TWO], applied(ONE))


def test_database_of_a_newer_version_is_refused() -> None:
    with pytest.raises(Misconfigured, match=r"0003_three\.sql.*newer version"):
        plan([ONE, TWO], applied(ONE, TWO, THREE))


def test_statements_end_at_a_semicolon_at_the_end_of_a_line() -> None:
    sql = (
        "-- why: a; b\n\nCREATE TABLE a (x String DEFAULT ';x');  \n-- then\nCREATE VIEW b AS\nSELECT 1;\n-- the end\n"
    )
    assert list(Migration(1, "n", sql).statements()) == [
        "-- why: a; b\n\nCREATE TABLE a (x String DEFAULT ';x')",
        "-- then\nCREATE VIEW b AS\nSELECT 1",
    ]


def test_our_migrations_are_numbered_without_a_gap() -> None:
    ours = migrations()
    assert [migration.number for migration in ours] == list(range(1, len(ours) + 1))


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_our_migration_says_why_what_it_costs_and_how_to_go_back(migration: Migration) -> None:
    head = re.split(r"\n(?:CREATE|ALTER)", migration.sql)[0]
    more = r".*\n(?:-- .*\n)*?"
    assert re.search(rf"^-- Why: {more}-- Cost on a large table: {more}-- Back: ", head, re.MULTILINE)


@pytest.mark.parametrize("migration", migrations(), ids=lambda migration: migration.name)
def test_our_migration_can_be_repeated(migration: Migration) -> None:
    statements = list(migration.statements())
    assert statements
    for statement in statements:
        code = "\n".join(line for line in statement.splitlines() if not line.startswith("--")).strip()
        if code.startswith("ALTER TABLE"):
            repeatable = r"    (\w+ COLUMN IF (NOT )?EXISTS|MODIFY COLUMN) "
            assert all(re.match(repeatable, action) for action in code.splitlines()[1:]), code
        else:
            assert re.match(r"CREATE ((TABLE|VIEW) IF NOT EXISTS|OR REPLACE VIEW) ", code), code
