"""Runs a command that does not outlive its parent, however the parent ends.

    python -m deploy.embedded.tether PARENT_PID -- COMMAND ARGUMENT…

A parent that is killed with -9 can stop nothing, and an orphaned broker would hold its ports and its data folder
against the next start. On Linux the kernel sees to it: this process asks for a parent-death signal, which survives
the exec, and becomes the command (same pid, no wrapper left). Elsewhere it stays between the two, watches for the
parent's end and passes signals on.

The signal is SIGKILL. SIGTERM would be kinder, but nobody is left to wait for a clean stop or to repeat it, and a
process that hangs in its stop is the orphan this module exists to prevent. What runs under a tether has to
survive a kill -9 anyway.

Two things to know about the kernel's way (prctl(2), PR_SET_PDEATHSIG): the "parent" is the *thread* that started
the process, so start it from one that lives as long as the parent itself, such as the main thread; and the signal
is dropped when a set-user-ID program is executed.

Only the standard library is imported, and of that little: a start takes 30 ms, most of it Python's own.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from pipeline import process

FORWARDED_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)

# Exit statuses as shells give them.
FAILED = 1
USAGE_ERROR = 2
CANNOT_RUN = 126
NOT_FOUND = 127
KILLED_BY_SIGNAL = 128

USAGE = "usage: python -m deploy.embedded.tether PARENT_PID -- COMMAND [ARGUMENT…]"


def tethered(command: Sequence[str]) -> list[str]:
    """The command line that runs `command` so that it dies with the calling process.

    It has to be started by the calling process itself, whose pid is in it.
    """
    return [sys.executable, "-m", "deploy.embedded.tether", str(os.getpid()), "--", *command]


def main(arguments: Sequence[str]) -> NoReturn:
    """Become the command given in `arguments` (without the program's name); returns to nobody."""
    try:
        parent_pid, separator, command = int(arguments[0]), arguments[1], list(arguments[2:])
    except (IndexError, ValueError):
        _fail(USAGE_ERROR, USAGE)
    if separator != "--" or not command:
        _fail(USAGE_ERROR, USAGE)
    try:
        if not process.HAS_PARENT_DEATH_SIGNAL:
            sys.exit(_run_and_watch(parent_pid, command))
        process.die_with_parent(parent_pid)
        # Python ignores it, an exec would hand that on, and few programs expect it.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.execvp(command[0], command)  # noqa: S606  (running the given command is the purpose)
    except ProcessLookupError as error:
        _fail(FAILED, f"{command[0]}: not started: {error}")
    except FileNotFoundError:
        _fail(NOT_FOUND, f"{command[0]}: not found; give an absolute path, or a name that is on PATH")
    except OSError as error:
        _fail(CANNOT_RUN, f"{command[0]}: can't be run: {error.strerror}")


def _run_and_watch(parent_pid: int, command: Sequence[str]) -> int:
    """Run `command` as a child, kill it when the parent ends; its exit status, 128 + n when signal n ended it.

    Weaker than the kernel's way in one case: when this process itself is killed with -9, the command stays.
    """
    import subprocess  # noqa: PLC0415  (15 ms that the kernel's way need not pay)

    process.require_parent(parent_pid)
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    # Before the command starts: a signal that came in between would end this process alone and leave the command.
    for number in FORWARDED_SIGNALS:
        signal.signal(number, forward)
    child = subprocess.Popen(command)  # noqa: S603  (running the given command is the purpose)
    for missed in early:
        child.send_signal(missed)
    while True:
        if os.getppid() != parent_pid:
            child.kill()
        try:
            status = child.wait(timeout=process.WATCH_INTERVAL_S)
        except subprocess.TimeoutExpired:
            continue
        return status if status >= 0 else KILLED_BY_SIGNAL - status


def _fail(status: int, message: str) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main(sys.argv[1:])
