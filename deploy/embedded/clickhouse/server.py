"""ClickHouse's HTTP interface over the engine, as an ASGI application.

Made for clickhouse-connect: queries, commands and inserts in every format of the engine, parameters, settings per
query, external data, compression both ways, errors also in mid-stream. A session_id is accepted and each request
still stands alone: statements that need what an earlier one left behind are refused, not misunderstood.
"""

import asyncio
import os
import uuid
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import ParamSpec, TypeVar

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from deploy.embedded.clickhouse import engine as work
from deploy.embedded.clickhouse.answer import Answer
from deploy.embedded.clickhouse.body import MAX_STATEMENT_BYTES, Blocks, Body
from deploy.embedded.clickhouse.codecs import accepted
from deploy.embedded.clickhouse.engine import BLOCK_BYTES, Engine, ExternalTable, Scope
from deploy.embedded.clickhouse.error import ClickHouseError, Code
from deploy.embedded.clickhouse.request import Asked, Credentials, authenticates, credentials, read_request
from deploy.embedded.clickhouse.statement import (
    MAX_HEADER_BYTES,
    Command,
    Insert,
    Read,
    columns_of_types,
    insert_header,
    parse,
)

P = ParamSpec("P")
T = TypeVar("T")

# Queries at a time; more wait. Each holds a thread, and the engine gives each query as many threads of its own as
# there are processors: more at a time would only make each slower, and take more memory.
MAX_QUERIES = 16
KILL_THREADS = 2
# A query that was killed before it had registered itself with the engine has to be killed again.
KILL_AGAIN_S = 0.1
READ_BYTES = 262_144


class Server:
    """The ASGI application over an engine, for one user. To be made within the event loop that runs it."""

    def __init__(self, engine: Engine, expected: Credentials) -> None:
        self._engine = engine
        self._expected = expected
        self._slots = asyncio.Semaphore(MAX_QUERIES)
        self._pool = ThreadPoolExecutor(MAX_QUERIES + KILL_THREADS, thread_name_prefix="query")

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        request = Request(scope, receive)
        path = request.url.path
        if path == "/ping" or (path == "/" and request.method == "GET" and "query" not in request.query_params):
            await PlainTextResponse("Ok.\n")(scope, receive, send)
        elif path != "/":
            await PlainTextResponse(f"There is no handle {path}; queries go to /\n", 404)(scope, receive, send)
        else:
            await self._answer(request, receive, send)

    async def _answer(self, request: Request, receive: Receive, send: Send) -> None:
        chunks = request.stream()
        answer = Answer(send)
        try:
            self._authenticate(request)
            await self._query(request, chunks, receive, answer)
        except ClickHouseError as failure:
            with suppress(ClientDisconnect):
                async for _ in chunks:  # a client that is still sending would not read the answer
                    pass
            await answer.fail(failure)
        except asyncio.CancelledError:  # the end of this request's task: the server stops, and waits for its answer
            await answer.fail(ClickHouseError(Code.QUERY_WAS_CANCELLED, "Query was cancelled: the server stops"))
        except ClientDisconnect:
            pass
        finally:
            answer.release()

    def _authenticate(self, request: Request) -> None:
        basic = _basic(request.headers.get("authorization", ""))
        sent = credentials(request.query_params, request.headers, basic)
        if not authenticates(sent, self._expected):
            raise ClickHouseError(
                Code.AUTHENTICATION_FAILED,
                f"{sent.user}: Authentication failed: password is incorrect, or there is no user with such name",
            )

    async def _query(
        self, request: Request, chunks: AsyncGenerator[bytes, None], receive: Receive, answer: Answer
    ) -> None:
        form = await _form(request.headers, chunks)
        try:
            params = {**request.query_params, **{name: value for name, value in form.items() if isinstance(value, str)}}
            tables = [_external(name, file, params) for name, file in form.items() if isinstance(file, UploadFile)]
            asked = read_request(
                params,
                request.headers,
                method=request.method,
                external=frozenset(table.name for table in tables),
                fresh_id=str(uuid.uuid4()),
            )
            answer.agree(
                query_id=asked.query_id,
                timezone=asked.settings.get("session_timezone") or self._engine.timezone,
                buffer_bytes=asked.buffer_bytes,
                encoding=accepted(request.headers.get("accept-encoding", "")) if asked.compress_response else None,
            )
            body = Body(chunks, request.headers.get("content-encoding", "").lower())
            await self._run(asked, tables, body, receive, answer)
        finally:
            await form.close()

    async def _run(
        self, asked: Asked, tables: Sequence[ExternalTable], body: Body, receive: Receive, answer: Answer
    ) -> None:
        scope = Scope(str(uuid.uuid4()), asked.database, asked.settings, asked.parameters, tables)
        head = asked.query.encode() + b"\n" if asked.query else b""
        insert = insert_header(head)
        if insert is None:
            head += await body.read(MAX_HEADER_BYTES)
            insert = insert_header(head)
        async with self._slots:
            # The values of an INSERT … VALUES may name parameters, which only a whole statement takes.
            if insert is not None and not (insert.format == "Values" and asked.parameters):
                await self._insert(insert, Blocks(body, head[insert.data_at :], BLOCK_BYTES), scope, answer)
                return
            # In a thread: a statement of megabytes takes seconds, and other clients shall not wait for it.
            statement = await self._start(parse, await body.rest(head), with_data=insert is not None)
            if isinstance(statement, Read):
                await self._read_while_wanted(statement, scope, asked.default_format, receive, answer)
            else:
                await self._command(statement, asked, scope, answer)

    async def _read_while_wanted(
        self, statement: Read, scope: Scope, default_format: str, receive: Receive, answer: Answer
    ) -> None:
        """Sends a result, and cancels the query when the client goes away."""
        reading = asyncio.create_task(self._read(statement, scope, default_format, answer))
        gone = asyncio.create_task(_until_gone(receive))
        try:
            await asyncio.wait({reading, gone}, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            gone.cancel()
            await asyncio.gather(reading, gone, return_exceptions=True)

    async def _read(self, statement: Read, scope: Scope, default_format: str, answer: Answer) -> None:
        format_name = statement.format or default_format
        answer.describe(format_name)
        read_end, write_end = os.pipe()
        pipe = asyncio.StreamReader(READ_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(pipe), os.fdopen(read_end, "rb", buffering=0)
        )
        running = self._start(work.read, self._engine, scope, statement, format_name, write_end)
        try:
            while piece := await pipe.read(READ_BYTES):
                await answer.write(piece)
            summary = await asyncio.shield(running)
        finally:
            # In this order: a writer that waits for room in the pipe can't be killed.
            transport.close()
            await self._cancel(scope.tag, running)
        await answer.finish(summary)

    async def _command(self, statement: Command, asked: Asked, scope: Scope, answer: Answer) -> None:
        if statement.changes_session and asked.session_id:
            raise ClickHouseError(
                Code.NOT_IMPLEMENTED,
                "the embedded server keeps nothing between requests, and this statement is about later ones of session "
                f"{asked.session_id}; send settings with each query, write database.table, and use a table that is not "
                "temporary",
            )
        running = self._start(work.command, self._engine, scope, statement.text, asked.default_format)
        try:
            said, summary = await asyncio.shield(running)
        finally:
            await self._cancel(scope.tag, running)
        if said:
            answer.describe(asked.default_format)
            await answer.write(said)
        await answer.finish(summary)

    async def _insert(self, statement: Insert, blocks: Blocks, scope: Scope, answer: Answer) -> None:
        running = self._start(work.insert, self._engine, scope, statement, blocks)
        try:
            summary = await asyncio.shield(running)
        finally:
            blocks.stop()
            await self._cancel(scope.tag, running)
        await answer.finish(summary)

    def _start(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        return asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args, **kwargs))

    async def _cancel(self, tag: str, running: "asyncio.Future[T]") -> None:
        """Kills a query that is still running, and waits for its thread, so that the slot given back is free."""
        while not running.done():
            await self._start(self._engine.kill, tag)
            await asyncio.wait({running}, timeout=KILL_AGAIN_S)
        if not running.cancelled():
            running.exception()  # seen: whoever would be told has gone


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _form(headers: Headers, chunks: AsyncGenerator[bytes, None]) -> FormData:
    """The fields of a multipart body, its files on disk beyond 1 MB; of any other body, which it leaves alone, none."""
    if not headers.get("content-type", "").startswith("multipart/form-data"):
        return FormData()
    try:
        return await MultiPartParser(headers, chunks, max_part_size=MAX_STATEMENT_BYTES).parse()
    except MultiPartException as error:
        raise ClickHouseError(Code.BAD_ARGUMENTS, f"the form can't be read: {error.message}") from error


def _external(name: str, sent: UploadFile, params: Mapping[str, str]) -> ExternalTable:
    """A table sent as a file of the form; its format and columns are parameters named after it."""
    types = params.get(f"{name}_types", "")
    structure = params.get(f"{name}_structure", "") or (columns_of_types(types) if types else "")
    if not structure:
        raise ClickHouseError(
            Code.BAD_ARGUMENTS, f"external table {name}: expected its columns in {name}_structure or {name}_types"
        )
    return ExternalTable(name, structure, params.get(f"{name}_format") or "TabSeparated", sent.file)


def _basic(authorization: str) -> tuple[str, str] | None:
    """User and password of HTTP Basic; None without the header. Raises ClickHouseError for any other scheme."""
    if not authorization:
        return None
    scheme, _, encoded = authorization.partition(" ")
    try:
        if scheme.lower() == "basic":
            user, _, password = b64decode(encoded, validate=True).decode().partition(":")
            return user, password
    except ValueError:
        pass
    raise ClickHouseError(Code.AUTHENTICATION_FAILED, f"Invalid authentication: expected HTTP Basic, got {scheme!r}")
