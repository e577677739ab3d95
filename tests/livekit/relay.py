"""Stands before the gateway: keeps what passes, and behaves as a gateway in trouble when it is asked to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

Fault = Literal["down", "slow", "fails"]
"""Ends connections without an answer; answers after SLOW_S; answers 500."""

SLOW_S = 5.0
PASSED_ON = ("Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key")


@dataclass(frozen=True)
class Request:
    """A request that was passed on, and the gateway's answer; None when there was none."""

    headers: dict[str, str]
    body: bytes
    answer: int | None


@dataclass
class Relay:
    """fault : may be set at any time; None passes everything on."""

    url: str = ""
    fault: Fault | None = None
    passed: list[Request] = field(default_factory=list)
    refused: int = 0


@contextmanager
def relaying(to: str) -> Iterator[Relay]:
    """Pass requests on to the gateway of this base URL; 503 while nobody answers there."""
    relay = Relay()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if relay.fault in {"down", "fails"}:
                relay.refused += 1
                if relay.fault == "fails":
                    self._answer(500, b"")
                return
            if relay.fault == "slow":
                time.sleep(SLOW_S)
            headers = {name: self.headers[name] for name in PASSED_ON if name in self.headers}
            try:
                answer = httpx.post(to + self.path, content=body, headers=headers, timeout=10)
            except httpx.TransportError:
                relay.passed.append(Request(headers, body, None))
                self._answer(503, b"")
            else:
                relay.passed.append(Request(headers, body, answer.status_code))
                self._answer(answer.status_code, answer.content, answer.headers.get("Content-Type", ""))

        def _answer(self, status: int, body: bytes, content_type: str = "text/plain") -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", content_type)
            with contextlib.suppress(ConnectionError):  # who asked may have given up waiting
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing: what passes is kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True  # a slow answer that nobody waits for any more
        relay.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
