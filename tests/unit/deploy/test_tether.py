"""A tethered command ends with its parent, and is otherwise left alone.

Each law is checked for both ways: "kernel" (Linux: the command replaces the tether) and "watching" (elsewhere: the
tether stays in between). That a process is gone is seen at the pipe it held: it is at its end.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from deploy.embedded.tether import KILLED_BY_SIGNAL, tethered
from pipeline.process import HAS_PARENT_DEATH_SIGNAL

DEADLINE_S = 10.0
BY_KERNEL = [sys.executable, "-m", "deploy.embedded.tether"]
BY_WATCHING = [
    sys.executable,
    "-c",
    "import sys; from deploy.embedded import tether; from pipeline import process; "
    "process.HAS_PARENT_DEATH_SIGNAL = False; tether.main(sys.argv[1:])",
]
WAYS = [
    pytest.param(
        BY_KERNEL, id="kernel", marks=pytest.mark.skipif(not HAS_PARENT_DEATH_SIGNAL, reason="prctl is Linux's")
    ),
    pytest.param(BY_WATCHING, id="watching"),
]
both_ways = pytest.mark.parametrize("way", WAYS)

# A parent that starts what it is told, and waits for it.
PARENT = """
import os, subprocess, sys
way, command = sys.argv[1:].index("--command"), sys.argv[1:]
subprocess.run([*command[:way], str(os.getpid()), "--", *command[way + 1:]])
"""
# A parent with a pool of one process, which is busy.
POOL = """
import os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pipeline import process
process.HAS_PARENT_DEATH_SIGNAL = sys.argv[1] == "kernel"
with ProcessPoolExecutor(
    1, mp_context=get_context("fork"), initializer=process.die_with_parent, initargs=(os.getpid(),)
) as pool:
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 600)
"""


@contextmanager
def parent_of(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A Python running `arguments`, and the pid that what it started prints first. Both are gone afterwards."""
    parent = subprocess.Popen([sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        yield parent, child
    finally:
        for pid in (parent.pid, child):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        parent.wait()
        parent.stdout.close()


def run(way: list[str], *command: str, parent_pid: int | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*way, str(parent_pid or os.getpid()), "--", *command],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@both_ways
def test_command_dies_when_its_parent_is_killed(way: list[str]) -> None:
    """Also one that is deaf to kinder signals."""
    deaf = ["sh", "-c", "trap '' TERM HUP INT; echo $$; exec sleep 600"]
    with parent_of(PARENT, *way, "--command", *deaf) as (parent, _):
        parent.kill()
        assert parent.communicate(timeout=DEADLINE_S)[0] == ""  # returns when nobody holds the pipe any more


@both_ways
def test_pool_process_dies_when_its_parent_is_killed(way: list[str]) -> None:
    with parent_of(POOL, "kernel" if way is BY_KERNEL else "watching") as (parent, _):
        parent.kill()
        assert parent.communicate(timeout=DEADLINE_S)[0] == ""


@both_ways
def test_command_of_a_parent_that_is_gone_is_not_started(way: list[str], tmp_path: Path) -> None:
    """The parent ended before the tether was up. Process 1 stands for it: it is no test's parent."""
    trace = tmp_path / "was-here"
    done = run(way, "touch", str(trace), parent_pid=1)
    assert (done.returncode, trace.exists()) == (1, False)
    assert f"touch: not started: the parent is process {os.getpid()}, expected 1" in done.stderr


@both_ways
def test_exit_status_and_output_are_the_commands(way: list[str]) -> None:
    done = run(way, "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


@both_ways
def test_signal_reaches_the_command(way: list[str]) -> None:
    answering = "trap 'echo heard; exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    command = [*way, str(os.getpid()), "--", "sh", "-c", answering]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.communicate(timeout=DEADLINE_S)[0] == "heard\n"
        assert process.returncode == 3


def test_signal_that_comes_before_the_command_is_up_reaches_it() -> None:
    """Else the tether alone would end, and the command, not yet its child, would stay."""
    signalled = "start = subprocess.Popen; subprocess.Popen = lambda c: (os.kill(os.getpid(), 15), start(c))[1]; "
    way = ["-c", "import os, subprocess; " + signalled + BY_WATCHING[-1]]
    done = run([*BY_WATCHING[:-2], *way], "sleep", str(DEADLINE_S))
    assert done.returncode == KILLED_BY_SIGNAL + signal.SIGTERM


@both_ways
def test_command_killed_by_a_signal_is_told_apart(way: list[str]) -> None:
    killed = run(way, "sh", "-c", "kill -9 $$").returncode
    assert killed == (-signal.SIGKILL if way is BY_KERNEL else KILLED_BY_SIGNAL + signal.SIGKILL)


@pytest.mark.skipif(not HAS_PARENT_DEATH_SIGNAL, reason="prctl is Linux's")
def test_tether_becomes_the_command() -> None:
    """So a supervisor's pid is the broker's, and so are its signals, as the shell would have set them."""
    with subprocess.Popen(
        tethered(["sh", "-c", "echo $$; grep SigIgn /proc/self/status"]), stdout=subprocess.PIPE, text=True
    ) as process:
        pid, ignored = process.communicate(timeout=DEADLINE_S)[0].splitlines()
    assert int(pid) == process.pid
    assert int(ignored.split()[1], 16) & (1 << (signal.SIGPIPE - 1)) == 0


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        pytest.param([], 2, "usage: ", id="nothing"),
        pytest.param(["12"], 2, "usage: ", id="no command"),
        pytest.param(["12", "--"], 2, "usage: ", id="empty command"),
        pytest.param(["me", "--", "true"], 2, "usage: ", id="no pid"),
        pytest.param(["12", "true", "--"], 2, "usage: ", id="wrong order"),
        pytest.param([str(os.getpid()), "--", "no-such-command"], 127, "no-such-command: not found", id="not found"),
        pytest.param([str(os.getpid()), "--", "/"], 126, "/: can't be run: ", id="not a program"),
    ],
)
def test_what_can_not_be_run_is_said(arguments: list[str], status: int, said: str) -> None:
    done = subprocess.run([*BY_KERNEL, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == status
    assert done.stderr.startswith(said)
