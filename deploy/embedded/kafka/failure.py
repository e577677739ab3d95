"""From what a broker printed before it ended to an error that says what to do."""

import re
from collections.abc import Callable
from pathlib import Path

from schemas.errors import Misconfigured, MiseError, Unavailable

# What the first line of each run's log begins with.
RUN_MARK = "=== started "

# A run that went wrong prints 60 kB of stack traces before it ends.
MAX_READ_BYTES = 1024 * 1024
MAX_QUOTE_CHARS = 400


def port_taken(port: int) -> str:
    return (
        f"port {port} of 127.0.0.1 is taken by another program; stop that (it is shown by: lsof -i :{port}), "
        "or choose another port"
    )


def folder_in_use(data_dir: Path) -> str:
    return (
        f"another Kafka broker is running on {data_dir}; stop it (its pid is shown by: "
        f"pgrep -f {data_dir}/server.properties), or choose another data folder"
    )


def not_writable(data_dir: Path, cause: str) -> str:
    return (
        f"Kafka's data folder {data_dir} can't be written: {cause}; make room, mend its permissions, "
        "or choose another folder"
    )


# What Kafka or Java prints for the troubles a person can mend, and what we say. Each was provoked and
# read off its log, but for the mapped file and the exhausted heap, which are here from other people's reports.
_KNOWN: tuple[tuple[str, Callable[[re.Match[str], Path], str]], ...] = (
    (r"bind to \S*?:(\d+): Address already in use", lambda match, _: port_taken(int(match[1]))),
    (r"Failed to acquire lock on file", lambda _, data_dir: folder_in_use(data_dir)),
    # The second: a mapped index file on a full disk has no error number, the access itself fails.
    (
        r"No space left on device|fault occurred in (an|a recent) unsafe memory access",
        lambda _, data_dir: not_writable(data_dir, "the disk is full"),
    ),
    (
        r"OutOfMemoryError|insufficient memory for the Java|Could not (reserve enough space|allocate)",
        lambda _, __: "Java did not get its memory (512 MiB of heap, and some 200 MiB around it); end other programs",
    ),
    (
        r"input contains unmappable characters",
        lambda _, data_dir: (
            f"the name of {data_dir} has letters that this locale has not; set LC_ALL=C.UTF-8, or choose a folder "
            "with a name in ASCII"
        ),
    ),
)
_EXCEPTION = re.compile(r"^(Caused by: |Exception in thread \S+ )?[\w.$]+(Exception|Error)\b")
_ERROR = re.compile(r"\b(ERROR|FATAL|Error)\b")


def failure_in(printed: str, *, what: str, data_dir: Path) -> MiseError:
    """The error for a broker, or a tool of it, that ended by itself.

    printed : all that it printed.  what : what was tried, such as "starting Kafka".

    Misconfigured with the way out for a trouble we know, else Unavailable; either quotes the line that says most.
    """
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    for pattern, advice in _KNOWN:
        for line in lines:
            if match := re.search(pattern, line):
                return Misconfigured(f"{what} failed: {advice(match, data_dir)} [{_quoted(line)}]")
    return Unavailable(f"{what} failed: {_quoted(_telling_line(lines))}")


def log_of_this_run(log_file: Path) -> str:
    """What the latest run wrote to the log file, at most its last MiB; empty when there is no file."""
    try:
        with log_file.open("rb") as log:
            log.seek(max(0, log.seek(0, 2) - MAX_READ_BYTES))
            text = log.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return text.rpartition(RUN_MARK)[2]


def _telling_line(lines: list[str]) -> str:
    """The first exception, else the first error, else the last line: a cause precedes what follows from it."""
    for pattern in (_EXCEPTION, _ERROR):
        for line in lines:
            if pattern.search(line):
                return line
    return lines[-1] if lines else "it printed nothing"


def _quoted(line: str) -> str:
    return f"Kafka: {line[:MAX_QUOTE_CHARS]}"
