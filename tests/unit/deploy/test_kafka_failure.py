"""What a broker printed before it ended becomes an error with a way out. The texts are Kafka's and Java's own."""

from pathlib import Path

import pytest

from deploy.embedded.kafka.failure import RUN_MARK, failure_in, log_of_this_run
from schemas.errors import Misconfigured, Unavailable

DATA = Path("/data/kafka")

PORT_TAKEN = """\
2026-11-23T20:29:04.335Z ERROR kafka.network.DataPlaneAcceptor - Unable to start acceptor for CLIENTS
org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092: Address already in use.
	at kafka.network.Acceptor.openServerSocket(SocketServer.scala:615)
Caused by: java.net.BindException: Address already in use
"""
FOLDER_IN_USE = """\
2026-11-23T20:29:04.335Z ERROR kafka.Kafka$ - Exiting Kafka due to fatal exception
org.apache.kafka.common.KafkaException: Failed to acquire lock on file .lock in /data/kafka/log. A Kafka instance in \
another process or thread is using this directory.
"""
DISK_FULL = """\
2026-11-23T20:29:04.335Z ERROR org.apache.kafka.storage.internals.log.LogDirFailureChannel - Error while writing
java.io.IOException: No space left on device
"""
DISK_FULL_IN_A_MAPPED_FILE = """\
java.lang.InternalError: a fault occurred in an unsafe memory access operation
"""
NO_MEMORY = """\
Error occurred during initialization of VM
Could not reserve enough space for 524288 KB object heap
"""
LOCALE = """\
Exception in thread "main" java.nio.file.InvalidPathException: Malformed input or input contains unmappable \
characters: /data/jos??
"""


@pytest.mark.parametrize(
    ("printed", "advice", "quote"),
    [
        pytest.param(PORT_TAKEN, "port 9092 of 127.0.0.1 is taken", "Socket server failed to bind", id="port"),
        pytest.param(FOLDER_IN_USE, f"another Kafka broker is running on {DATA}", "Failed to acquire lock", id="lock"),
        pytest.param(DISK_FULL, f"{DATA} can't be written: the disk is full; make room", "No space left", id="disk"),
        pytest.param(DISK_FULL_IN_A_MAPPED_FILE, "the disk is full; make room", "unsafe memory", id="disk, mapped"),
        pytest.param(NO_MEMORY, "Java did not get its memory", "Could not reserve enough space", id="memory"),
        pytest.param(LOCALE, "set LC_ALL=C.UTF-8, or choose a folder", "unmappable", id="locale"),
    ],
)
def test_known_trouble_says_what_to_do(printed: str, advice: str, quote: str) -> None:
    failure = failure_in(printed, what="starting Kafka", data_dir=DATA)
    assert isinstance(failure, Misconfigured)
    assert str(failure).startswith("starting Kafka failed: ")
    assert advice in str(failure)
    assert quote in str(failure).partition(" [Kafka: ")[2]


@pytest.mark.parametrize(
    ("printed", "quote"),
    [
        pytest.param(
            "x WARN a\nx ERROR b\njava.lang.X$YError: why\n  at z\n", "java.lang.X$YError: why", id="exception"
        ),
        pytest.param("starting\nError: no main class\nlast", "Error: no main class", id="error"),
        pytest.param("starting\nx WARN something\n\n", "x WARN something", id="last line"),
        pytest.param("", "it printed nothing", id="nothing"),
    ],
)
def test_unknown_trouble_quotes_the_line_that_says_most(printed: str, quote: str) -> None:
    failure = failure_in(printed, what="starting Kafka", data_dir=DATA)
    assert isinstance(failure, Unavailable)
    assert str(failure) == f"starting Kafka failed: Kafka: {quote}"


def test_only_the_latest_run_is_read(tmp_path: Path) -> None:
    log = tmp_path / "kafka.log"
    assert log_of_this_run(log) == ""
    log.write_text(f"{RUN_MARK}yesterday\n{PORT_TAKEN}{RUN_MARK}today\nfine so far\n")
    assert log_of_this_run(log) == "today\nfine so far\n"
