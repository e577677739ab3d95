"""Processes of ours: how they end with their parent, and how often they look for garbage.

Only the standard library, and ctypes late.
"""

import gc
import os
import signal
import sys
import threading
import time

HAS_PARENT_DEATH_SIGNAL = sys.platform.startswith("linux")

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
# Without the kernel's help the parent's end is noticed by looking. Half a second is short against a person's
# next `make run`, and costs nothing to speak of.
WATCH_INTERVAL_S = 0.5


def collect_seldom() -> None:
    """Look for cycles of garbage once in 100,000 new objects instead of 700.

    Records and what is made of them are trees, freed by their reference counts; looking for cycles among the calls in
    memory was a tenth of the dialogue's time.
    """
    gc.set_threshold(100_000, 20, 100)


def die_with_parent(parent_pid: int) -> None:
    """From now on, and for good, this process is killed (SIGKILL) when its parent ends.

    Fit for the initializer of a process pool: `ProcessPoolExecutor(initializer=die_with_parent,
    initargs=(os.getpid(),))`.

    parent_pid : the direct parent as its child expects it; a worker of the "forkserver" method is the child of
    that server. Raises ProcessLookupError when the parent is another one: the expected one has ended already.
    """
    if HAS_PARENT_DEATH_SIGNAL:
        _set_parent_death_signal()
    # After the request, not before: a parent that ended in between would never be noticed.
    require_parent(parent_pid)
    if not HAS_PARENT_DEATH_SIGNAL:
        threading.Thread(target=_kill_self_after, args=(parent_pid,), name="die-with-parent", daemon=True).start()


def require_parent(parent_pid: int) -> None:
    """Raises ProcessLookupError when the parent is not `parent_pid`: that one has ended."""
    if (actual := os.getppid()) != parent_pid:
        raise ProcessLookupError(f"the parent is process {actual}, expected {parent_pid}, which seems to have ended")


def _set_parent_death_signal() -> None:
    import ctypes  # noqa: PLC0415  (5 ms that an importer of `tethered` need not pay)

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(error)}")


def _kill_self_after(parent_pid: int) -> None:
    while os.getppid() == parent_pid:
        time.sleep(WATCH_INTERVAL_S)
    os.kill(os.getpid(), signal.SIGKILL)
