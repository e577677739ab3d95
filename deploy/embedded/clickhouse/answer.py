"""The HTTP response to one query: held back for as long as ClickHouse would, then sent piece by piece.

While it is held back, an error can still become a status. Afterwards it becomes a marker at the end of the body, and
the connection is cut, so that no client takes the part for the whole.
"""

import json
import secrets
from dataclasses import asdict
from http import HTTPStatus
from tempfile import SpooledTemporaryFile

from starlette.types import Send

from deploy.embedded.clickhouse.codecs import WRITERS, FrameWriter
from deploy.embedded.clickhouse.engine import Summary
from deploy.embedded.clickhouse.error import ClickHouseError

# Results that are held back whole (wait_end_of_query) go to a temporary file beyond this.
MEMORY_BYTES = 8_388_608
PIECE_BYTES = 262_144
CONTENT_TYPES = (
    ("JSON", "application/json; charset=UTF-8"),
    ("CSV", "text/csv; charset=UTF-8"),
    ("TabSeparated", "text/tab-separated-values; charset=UTF-8"),
    ("TSV", "text/tab-separated-values; charset=UTF-8"),
    ("XML", "application/xml; charset=UTF-8"),
    ("Pretty", "text/plain; charset=UTF-8"),
    ("Vertical", "text/plain; charset=UTF-8"),
    ("Values", "text/plain; charset=UTF-8"),
)


def content_type(format_name: str) -> str:
    """The media type of a ClickHouse format."""
    for prefix, media_type in CONTENT_TYPES:
        if format_name.startswith(prefix):
            return media_type
    return "application/octet-stream"


class Answer:
    """A response.

    Ends with `finish` or `fail`, once. Until `agree` says otherwise, all of it is held back, and sent uncompressed.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._headers = {"X-ClickHouse-Server-Display-Name": "embedded"}
        self._tag = secrets.token_hex(8)
        self._buffer_bytes: int | None = None
        self._encoding: str | None = None
        self._encoder: FrameWriter | None = None
        # Closed by `release`.
        self._held: SpooledTemporaryFile[bytes] = SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
        self._started = False

    def agree(self, *, query_id: str, timezone: str, buffer_bytes: int | None, encoding: str | None) -> None:
        """What the request asks of its response.

        buffer_bytes : how much is held back before the status is sent; None: all.  encoding : of `codecs.WRITERS`.
        """
        self._headers |= {"X-ClickHouse-Query-Id": query_id, "X-ClickHouse-Timezone": timezone}
        self._buffer_bytes = buffer_bytes
        self._encoding = encoding

    def describe(self, format_name: str) -> None:
        """Names the format of a result. A response without is that of a statement without one."""
        self._headers["X-ClickHouse-Format"] = format_name
        self._headers["Content-Type"] = content_type(format_name)

    async def write(self, data: bytes) -> None:
        """The next part of the result; waits until the client has taken enough of it."""
        if self._started:
            await self._send_piece(data)
            return
        self._held.write(data)
        if self._buffer_bytes is not None and self._held.tell() >= self._buffer_bytes:
            await self._start(Summary())
            await self._send_held()

    async def finish(self, summary: Summary) -> None:
        """Ends the response. `summary` reaches the client if nothing was sent before."""
        if not self._started:
            await self._start(summary)
            await self._send_held()
        await self._send_piece(b"", last=True)

    async def fail(self, failure: ClickHouseError) -> None:
        """Ends the response with an error: a status, or the marker and a connection cut off.

        After the marker the response is left unfinished, upon which the HTTP server closes the connection.
        """
        if self._started:
            await self._send_piece(failure.marker(self._tag))
            if self._encoder is not None:
                await self._send({"type": "http.response.body", "body": self._encoder.flush(), "more_body": True})
        else:
            self._headers |= {
                "X-ClickHouse-Exception-Code": str(failure.code),
                "Content-Type": "text/plain; charset=UTF-8",
            }
            self._headers.pop("X-ClickHouse-Format", None)
            self._encoding = None
            await self._start(Summary(), failure.status)
            await self._send_piece(f"{failure}\n".encode(), last=True)

    def release(self) -> None:
        """Gives back what is held, however the response ended."""
        self._held.close()

    async def _start(self, summary: Summary, status: HTTPStatus = HTTPStatus.OK) -> None:
        headers = {"Content-Type": content_type("TabSeparated"), **self._headers}
        if self._encoding is not None:
            headers["Content-Encoding"] = self._encoding
            self._encoder = WRITERS[self._encoding]()
        if status is HTTPStatus.OK:
            headers["X-ClickHouse-Exception-Tag"] = self._tag
        headers["X-ClickHouse-Summary"] = json.dumps({name: str(value) for name, value in asdict(summary).items()})
        self._started = True
        await self._send(
            {
                "type": "http.response.start",
                "status": status.value,
                "headers": [(name.lower().encode(), _latin(value)) for name, value in headers.items()],
            }
        )

    async def _send_held(self) -> None:
        self._held.seek(0)
        while piece := self._held.read(PIECE_BYTES):
            await self._send_piece(piece)

    async def _send_piece(self, data: bytes, *, last: bool = False) -> None:
        if self._encoder is not None:
            data = self._encoder.compress(data) + (self._encoder.flush() if last else b"")
        if data or last:
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})


def _latin(value: str) -> bytes:
    """A header's value; what is not Latin-1 in it (a query id may be anything) is escaped."""
    return value.encode("latin-1", errors="backslashreplace").replace(b"\r", b"\\r").replace(b"\n", b"\\n")
