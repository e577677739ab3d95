"""Stands between LiveKit's webhooks and the gateway, and keeps what passes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx


@dataclass(frozen=True)
class Hook:
    """A request of LiveKit, and the gateway's answer; None when there was none."""

    headers: dict[str, str]
    body: bytes
    answer: int | None


@dataclass
class Relay:
    url: str = ""
    hooks: list[Hook] = field(default_factory=list)


@contextmanager
def relaying(to: str) -> Iterator[Relay]:
    """Pass on to this URL; 503 while nobody answers there."""
    relay = Relay()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name: self.headers[name] for name in ("Authorization", "Content-Type")}
            try:
                answer = httpx.post(to, content=body, headers=headers, timeout=10).status_code
            except httpx.TransportError:
                answer = None
            relay.hooks.append(Hook(headers, body, answer))
            self.send_response(answer or 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing: the hooks are kept."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        relay.url = f"http://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            server.shutdown()
            thread.join()
