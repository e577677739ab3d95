"""The ClickHouse engine of one process (chdb), over one data folder.

A chdb connection is a session: it keeps its settings, its current database and its temporary tables. Opening one
costs 0.05 ms (measured, chdb-core 26.9), a query 1.5 ms; so each query has a connection of its own, and nothing of
one query can reach the next. One more stays open as the anchor: the engine ends with its last connection.

All calls block and release the GIL; a connection may be used from any thread, by one at a time.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Protocol, cast

# A server's clock zone is part of what its clients see (DateTime without a zone); not the host's, so that a result
# is the same everywhere. It is read once, when the engine is loaded.
os.environ["TZ"] = "UTC"

import chdb

from deploy.embedded.clickhouse.error import ClickHouseError
from deploy.embedded.clickhouse.statement import Insert, Read, quote, quote_name

ENGINE_VERSION: str = chdb.engine_version  # such as 26.9.2.1

# Where chdb differs from a server: a server has no SELECT without SELECT.
SERVER_DEFAULTS = {"implicit_select": "0", "allow_introspection_functions": "0"}

BLOCK_BYTES = 1_048_576  # of an insert's data, written to its file at a time


class QueryResult(Protocol):
    """chdb's result of a query, as far as it is used."""

    def bytes(self) -> bytes: ...
    def rows_read(self) -> int: ...
    def bytes_read(self) -> int: ...
    def storage_rows_read(self) -> int: ...
    def storage_bytes_read(self) -> int: ...
    def rows_written(self) -> int: ...
    def bytes_written(self) -> int: ...
    def elapsed(self) -> float: ...


class Inserter(Protocol):
    """chdb's insert in progress: takes data in the insert's format, cut anywhere."""

    def append(self, data: bytes) -> None: ...
    def finish(self) -> object: ...


class Session(Protocol):
    """chdb's connection."""

    def query(self, query: str | bytes, format: str = ..., params: Mapping[str, str] | None = ...) -> QueryResult: ...
    def send_insert(self, query: str, format: str = ...) -> Inserter: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class Summary:
    """What a statement did: X-ClickHouse-Summary. Rows, bytes (uncompressed), nanoseconds."""

    read_rows: int = 0
    read_bytes: int = 0
    written_rows: int = 0
    written_bytes: int = 0
    result_rows: int = 0
    result_bytes: int = 0
    elapsed_ns: int = 0

    @classmethod
    def of_query(cls, result: QueryResult) -> "Summary":
        return cls(
            read_rows=result.storage_rows_read(),
            read_bytes=result.storage_bytes_read(),
            written_rows=result.rows_written(),
            written_bytes=result.bytes_written(),
            result_rows=result.rows_read(),
            result_bytes=result.bytes_read(),
            elapsed_ns=round(result.elapsed() * 1e9),
        )


class Engine:
    """The engine, open until `close`.

    folder : absolute; made when missing. Raises ClickHouseError when the engine does not start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._anchor = self._connect()
        with self.session() as session:
            self.timezone = session.query("SELECT timezone()", "TabSeparated").bytes().decode().strip()

    def close(self) -> None:
        """Ends the engine, once no session is open any more."""
        self._anchor.close()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session of its own, closed at the end. Errors of the engine within it are raised as ClickHouseError."""
        session = self._connect()
        try:
            yield session
        except RuntimeError as error:  # ChdbError is one
            raise ClickHouseError.of_engine(error) from error
        finally:
            session.close()

    def kill(self, tag: str) -> None:
        """Cancels the query whose session was prepared with `tag`, if it runs; returns before it has ended."""
        with self.session() as session:
            session.query(
                "KILL QUERY WHERE query_id IN"
                " (SELECT query_id FROM system.processes WHERE Settings['chdb_client_name'] = {tag:String}) ASYNC",
                params={"tag": tag},
            )

    def _connect(self) -> Session:
        try:
            return cast(Session, chdb.connect(self._folder))
        except RuntimeError as error:
            raise ClickHouseError.of_engine(error) from error


@dataclass(frozen=True)
class Scope:
    """The circumstances of one query.

    tag : by which `Engine.kill` finds it.  parameters : of `{name:Type}`, as text.  tables : sent along with it.
    """

    tag: str
    database: str
    settings: Mapping[str, str]
    parameters: Mapping[str, str]
    tables: Sequence["ExternalTable"] = ()


@dataclass(frozen=True)
class ExternalTable:
    """A table sent with a query, which sees it as a temporary one.

    structure : column definitions, as in CREATE TABLE.  data : rows in `format`, read from its start.
    """

    name: str
    structure: str
    format: str
    data: BinaryIO


def read(engine: Engine, scope: Scope, statement: Read, format_name: str, write_end: int) -> Summary:
    """Runs a statement that answers with rows, written to a pipe in `format_name`; closes the pipe's `write_end`.

    The engine writes as fast as the pipe is read, so memory stays bounded whatever the format. A reader that goes
    away does not end the query: kill it. Raises ClickHouseError, also after a part of the rows has been written.
    """
    try:
        with engine.session() as session:
            _prepare(session, scope)
            text = statement.into(f"/dev/fd/{write_end}", format_name)
            result = session.query(text, format_name, params=scope.parameters)
            # An EXPLAIN may take the file for a part of what it explains, and answer here instead.
            with open(write_end, "wb", closefd=False) as pipe:
                pipe.write(result.bytes())
            return Summary.of_query(result)
    finally:
        os.close(write_end)


def command(engine: Engine, scope: Scope, text: bytes, format_name: str) -> tuple[bytes, Summary]:
    """Runs any other statement: what it says (mostly nothing), in `format_name`, and what it did.

    Raises ClickHouseError.
    """
    with engine.session() as session:
        _prepare(session, scope)
        result = session.query(text, format_name, params=scope.parameters)
        return result.bytes(), Summary.of_query(result)


def insert(engine: Engine, scope: Scope, statement: Insert, blocks: Iterable[bytes]) -> Summary:
    """Runs an INSERT with data: `blocks` in its format, cut anywhere. Whatever they raise ends it before it begins.

    The engine reads the data from a file. Its streaming insert would take the blocks as they come; but once the rows
    are parsed it keeps every error to itself (too many parts, a materialized view, memory, the disk), drops the rows
    and ends well. After FORMAT in the statement the data would end at its first blank line.

    Raises ClickHouseError; the parts that the engine has already written stay, as on a server: repeat it with the same
    insert_deduplication_token.
    """
    with NamedTemporaryFile(prefix="insert-") as file, engine.session() as session:
        for block in blocks:
            file.write(block)
        file.flush()
        _prepare(session, scope)
        if scope.parameters:  # an insert takes them from the session alone
            pairs = (f"param_{name} = {quote(value)}" for name, value in scope.parameters.items())
            session.query("SET " + ", ".join(pairs))
        return Summary.of_query(session.query(statement.reading(file.name)))


def _prepare(session: Session, scope: Scope) -> None:
    """Sets up a session for one query: its tables, database and settings, in this order."""
    for table in scope.tables:
        session.query(f"CREATE TEMPORARY TABLE {quote_name(table.name)} ({table.structure}) ENGINE = Memory")
        inserter = session.send_insert(f"INSERT INTO {quote_name(table.name)}", table.format)
        while block := table.data.read(BLOCK_BYTES):
            inserter.append(block)
        inserter.finish()
    if scope.database != "default":
        session.query(f"USE {quote_name(scope.database)}")
    chosen = {**SERVER_DEFAULTS, "chdb_client_name": scope.tag, **scope.settings}
    readonly = chosen.pop("readonly", None)
    if readonly is not None:
        chosen["readonly"] = readonly  # last: nothing can be set after it
    session.query("SET " + ", ".join(f"{name} = {quote(value)}" for name, value in chosen.items()))
