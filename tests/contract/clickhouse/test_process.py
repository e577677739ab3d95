"""The server process: start, stop, kill -9, and what it can't start with."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client

from deploy.embedded.clickhouse.process import EmbeddedClickHouse, start, stop
from schemas.errors import Misconfigured, Unavailable

NewServer = Callable[[], EmbeddedClickHouse]


@contextmanager
def running(server: EmbeddedClickHouse) -> "Iterator[subprocess.Popen[bytes]]":
    process = start(server, server.data.parent / "log")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def connect(server: EmbeddedClickHouse) -> Client:
    return clickhouse_connect.get_client(
        host="127.0.0.1", port=server.port, username=server.user, password=server.password_file.read_text()
    )


def test_data_survives_kill_9_in_the_middle_of_inserts(new_server: NewServer) -> None:
    server = new_server()
    acknowledged = 0
    with running(server) as process:
        with connect(server) as client:
            client.command("CREATE TABLE t (a Int64) ENGINE = MergeTree ORDER BY a")
            killer = threading.Timer(0.5, process.kill)
            killer.start()
            try:
                while True:
                    client.raw_insert("t", insert_block=b"%d\n" % acknowledged, fmt="CSV")
                    acknowledged += 1
            except clickhouse_connect.driver.exceptions.OperationalError:
                pass
            killer.join()
        assert process.wait() == -signal.SIGKILL
    again = new_server()
    with running(again), connect(again) as client:
        count, least, most = client.query("SELECT count(), min(a), max(a) FROM t").result_rows[0]
        # The last one may have been written and not acknowledged.
        assert acknowledged > 10
        assert least == 0
        assert count == most + 1
        assert acknowledged <= count <= acknowledged + 1


def test_stop_lets_a_running_query_end(new_server: NewServer) -> None:
    server = new_server()
    answers: list[object] = []
    with running(server) as process, connect(server) as client, connect(server) as watcher:
        asking = threading.Thread(target=lambda: answers.append(client.command("SELECT sleep(1) + 7 AS slow")))
        asking.start()
        wait_for(watcher, "slow")
        begun = time.monotonic()
        assert stop(process) == 0
        assert time.monotonic() - begun < 5
        asking.join()
    assert answers == [7]


def test_stop_does_not_wait_for_ever(new_server: NewServer) -> None:
    server = new_server()
    with running(server) as process, connect(server) as client, connect(server) as watcher:
        endless = "SELECT count() AS endless FROM numbers(10000000000000) WHERE NOT ignore(sipHash64(number))"

        def ask() -> None:
            with pytest.raises(clickhouse_connect.driver.exceptions.DatabaseError, match="the server stops"):
                client.command(endless)

        asking = threading.Thread(target=ask)
        asking.start()
        wait_for(watcher, "endless")
        begun = time.monotonic()
        assert stop(process) == 0
        assert time.monotonic() - begun < 5
        asking.join()
    assert "Traceback" not in (server.data.parent / "log").read_text()


def wait_for(watcher: Client, word: str) -> None:
    ask = (
        "SELECT count() FROM system.processes WHERE position(query, {word:String}) > 0 AND query NOT LIKE '%processes%'"
    )
    deadline = time.monotonic() + 10
    while watcher.command(ask, parameters={"word": word}) != 1:
        assert time.monotonic() < deadline


def test_password_is_nowhere_to_be_read(new_server: NewServer) -> None:
    server = new_server()
    with running(server) as process, connect(server) as client:
        client.command("SELECT 1")
        arguments = " ".join(process.args if isinstance(process.args, list) else [])
        assert f"--password-file={server.password_file}" in arguments
        assert "geheim" not in arguments
        assert b"geheim" not in (server.data.parent / "log").read_bytes()
    assert server.data.stat().st_mode & 0o077 == 0


def test_second_start_says_who_holds_the_folder(new_server: NewServer) -> None:
    first, second = new_server(), new_server()
    with running(first) as process:
        with pytest.raises(Misconfigured, match=rf"held by process {process.pid}, .*{first.url}"), running(second):
            pass
        assert first.answers()


def test_port_taken(new_server: NewServer) -> None:
    first = new_server()
    with running(first):
        other = EmbeddedClickHouse(first.data.parent / "other", first.port, "somebody", first.password_file)
        with pytest.raises(Misconfigured, match=rf"--port {first.port}: Address already in use"), running(other):
            pass


def test_folder_of_a_newer_engine(new_server: NewServer) -> None:
    server = new_server()
    with running(server):
        pass
    written_by = (server.data / "version").read_text().strip()
    (server.data / "version").write_text("31.4.1.1\n")
    with (
        pytest.raises(Misconfigured, match=rf"written by ClickHouse 31\.4\.1\.1, this is {written_by}"),
        running(server),
    ):
        pass
    (server.data / "version").write_text("25.8.1.1\n")
    with running(server):
        assert (server.data / "version").read_text().strip() == written_by


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])  # noqa: S104
def test_only_loopback(new_server: NewServer, host: str) -> None:
    ended = subprocess.run(
        [*new_server().command(), f"--host={host}"], capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 1
    assert "loopback" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_password_file_that_is_no_password(new_server: NewServer) -> None:
    server = new_server()
    server.password_file.write_text("\n")
    with pytest.raises(Misconfigured, match="is empty"), running(server):
        pass


def test_folder_that_can_not_be_written(new_server: NewServer) -> None:
    server = new_server()
    server.data.write_text("a file, not a folder")
    with pytest.raises(Misconfigured, match=r"data folder .*/data can't be used"), running(server):
        pass


def test_process_that_dies_early_is_quoted(new_server: NewServer, tmp_path: Path) -> None:
    server = new_server()
    log = tmp_path / "log"
    log.write_text("an older line\nBus error, so sorry\n")
    with pytest.raises(Unavailable, match=r"(?s)status -7 before it was ready.*Bus error, so sorry"):
        server.wait_until_ready(lambda: -signal.SIGBUS, log)


def test_waiting_has_a_deadline(new_server: NewServer, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"does not answer after 0\.1 s: it has printed nothing"):
        new_server().wait_until_ready(lambda: None, tmp_path / "no log", timeout_s=0.1)
    assert list(tmp_path.iterdir()) == [tmp_path / "password"]
