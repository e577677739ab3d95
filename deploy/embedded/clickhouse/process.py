"""Starting and stopping the embedded ClickHouse from the process that owns it: the supervisor, a test.

    server = EmbeddedClickHouse(data, free_port(), "mise", password_file)
    process = subprocess.Popen(server.command(), stdout=log, stderr=log)
    server.wait_until_ready(process.poll, log_file)
    …
    stop(process)

or `start`, which does the first three. The command may be wrapped (`deploy.embedded.tether`). Nothing here imports
the engine.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from schemas.errors import Misconfigured, Unavailable

# Measured 0.4 s with the library in the page cache; the first start on a machine reads its 550 MB from disk.
START_TIMEOUT_S = 60.0
# What the server promises for a stop, and some time to be scheduled at all on a busy machine.
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
# A server that accepts a connection answers SELECT 1 in milliseconds; one that hangs must not eat the whole deadline.
ANSWER_TIMEOUT_S = 5.0
LOG_TAIL_BYTES = 4096


@dataclass(frozen=True)
class EmbeddedClickHouse:
    """An embedded server, running or not.

    data : its folder, made when missing.  port : TCP, on 127.0.0.1.  password_file : its text, without the line's end,
    is the password of `user`; it never appears on a command line.
    """

    data: Path
    port: int
    user: str
    password_file: Path

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The command line that runs it until SIGTERM."""
        return [
            sys.executable,
            "-m",
            "deploy.embedded.clickhouse",
            f"--data={self.data}",
            f"--port={self.port}",
            f"--user={self.user}",
            f"--password-file={self.password_file}",
        ]

    def answers(self) -> bool:
        """Whether it runs a query for this user now. False also when another server has the port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_TIMEOUT_S)
        password = self.password_file.read_text().rstrip("\r\n")
        headers = {"X-ClickHouse-User": self.user.encode(), "X-ClickHouse-Key": password.encode()}
        try:
            connection.request("GET", "/?query=SELECT%201", headers=headers)
            response = connection.getresponse()
            return response.status == HTTPStatus.OK and response.read() == b"1\n"
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def wait_until_ready(
        self, exit_status: Callable[[], int | None], log: Path, *, timeout_s: float = START_TIMEOUT_S
    ) -> None:
        """Waits until it answers queries.

        exit_status : the process's status, or None while it runs (`Popen.poll`).  log : what it prints.
        Raises Misconfigured when it ended saying what to change (port taken, folder held, disk full, …), Unavailable
        when it ended otherwise or does not answer within `timeout_s`; both quote the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self.answers():
            status = exit_status()
            if status is not None:
                message = f"ClickHouse at {self.url} ended with status {status} before it was ready: {_tail(log)}"
                raise Misconfigured(message) if status == MISCONFIGURED_STATUS else Unavailable(message)
            if time.monotonic() > deadline:
                raise Unavailable(f"ClickHouse at {self.url} does not answer after {timeout_s:g} s: {_tail(log)}")
            time.sleep(POLL_S)


# The exit status of a server that can't start as it was told to; any other is a bug or a signal.
MISCONFIGURED_STATUS = 1


def start(server: EmbeddedClickHouse, log: Path, *, timeout_s: float = START_TIMEOUT_S) -> "subprocess.Popen[bytes]":
    """Starts a server and waits until it is ready; what it prints is appended to `log`.

    Raises as `EmbeddedClickHouse.wait_until_ready`; the process does not run then.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(server.command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)  # noqa: S603
    try:
        server.wait_until_ready(process.poll, log, timeout_s=timeout_s)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return process


def stop(process: "subprocess.Popen[bytes]") -> int:
    """Stops a server by SIGTERM: running queries end, the engine closes. Returns its exit status, 0 for a clean stop.

    One that does not stop within STOP_TIMEOUT_S is killed (status -9): that loses no data either.
    """
    process.terminate()
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _tail(log: Path) -> str:
    """The end of a log, from the start of a line."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace").strip()
    except FileNotFoundError:
        return "it has printed nothing"
    return f"the end of {log}:\n{text}" if text else "it has printed nothing"
