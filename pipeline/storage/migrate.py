"""The numbered migrations of `schemas/clickhouse`: applied once, in order, and never changed afterwards."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources

import structlog

from pipeline.settings import Settings
from pipeline.storage.clickhouse import ClickHouse
from schemas.errors import Misconfigured

log = structlog.get_logger()

_NAME = re.compile(r"^(?P<number>\d{4})_[a-z0-9_]+\.sql$")

_RECORD = """
CREATE TABLE IF NOT EXISTS migrations
(
    number     UInt32,
    name       String,
    sha256     String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree
ORDER BY number
"""


@dataclass(frozen=True)
class Migration:
    """A file of numbered SQL. Statements end with a semicolon at the end of a line, and can be repeated safely."""

    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def statements(self) -> Iterator[str]:
        """The file's statements, comments at their head included."""
        for statement in re.split(r";[ \t]*$", self.sql, flags=re.MULTILINE):
            if any(line.strip() and not line.lstrip().startswith("--") for line in statement.splitlines()):
                yield statement.strip()


def migrations() -> list[Migration]:
    """The migrations of this version, in order. Raises Misconfigured for a gap or a name out of pattern."""
    found = []
    for file in resources.files("schemas").joinpath("clickhouse").iterdir():
        match = _NAME.match(file.name)
        if match is None:
            raise Misconfigured(f"schemas/clickhouse/{file.name}: expected NNNN_what_it_does.sql")
        found.append(Migration(int(match["number"]), file.name, file.read_text(encoding="utf-8")))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise Misconfigured(f"schemas/clickhouse: numbers {[m.number for m in found]} have a gap or a double")
    return found


def migrate(settings: Settings) -> list[str]:
    """Apply what is missing; the names applied.

    Raises Misconfigured when an applied file has changed since, or the database has a migration that this version does
    not know.
    """
    database = settings.clickhouse_database
    first = ClickHouse(settings, database="default")
    first.command(f"CREATE DATABASE IF NOT EXISTS {database}")
    first.close()
    clickhouse = ClickHouse(settings)
    try:
        missing = _missing(clickhouse)
        for migration in missing:
            for statement in migration.statements():
                clickhouse.command(statement)
            clickhouse.command(
                "INSERT INTO migrations (number, name, sha256) "
                "VALUES ({number:UInt32}, {name:String}, {sha256:String})",
                {"number": migration.number, "name": migration.name, "sha256": migration.sha256},
            )
            log.info("migration_applied", name=migration.name)
    finally:
        clickhouse.close()
    return [migration.name for migration in missing]


def check_migrated(clickhouse: ClickHouse) -> None:
    """Raises Misconfigured when the database lacks a migration of this version, and what `migrate` raises.

    A row with a column that the table does not have yet would be rejected, one after the other.
    """
    missing = [migration.name for migration in _missing(clickhouse)]
    if missing:
        raise Misconfigured(f"the database lacks {', '.join(missing)}; run `mise-voice migrate` first")


def _missing(clickhouse: ClickHouse) -> list[Migration]:
    clickhouse.command(_RECORD)
    _, rows = clickhouse.rows("SELECT number, name, sha256 FROM migrations FINAL ORDER BY number")
    return plan(migrations(), {int(number): (str(name), str(sha256)) for number, name, sha256 in rows})


def plan(known: list[Migration], applied: Mapping[int, tuple[str, str]]) -> list[Migration]:
    """The migrations still to apply. applied : number -> (name, sha256). Raises what `migrate` raises."""
    by_number = {migration.number: migration for migration in known}
    for number, (name, sha256) in applied.items():
        migration = by_number.get(number)
        if migration is None:
            raise Misconfigured(f"the database has migration {name}, which this version lacks; use a newer version")
        if migration.sha256 != sha256:
            raise Misconfigured(
                f"migration {migration.name} has changed since it was applied; restore it, and put the change into "
                f"a new file with the next number"
            )
    return [migration for migration in known if migration.number not in applied]
