"""A lock that the operating system takes back when its process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        # flock, not lockf: two senders in one process exclude each other as well.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: set[int] = set()
"""Descriptors of this process's locks."""


def _let_go() -> None:
    while _held:
        os.close(_held.pop())


if hasattr(os, "register_at_fork"):
    # A child has the descriptors too, and would hold the locks on after its parent's end.
    os.register_at_fork(after_in_child=_let_go)


class Lock:
    """Held from `take` to `give_back`, by this process and no child of it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor
        _held.add(descriptor)

    @staticmethod
    def take(path: Path) -> Lock | None:
        """The lock on this file, which is made when it is not there; None when somebody holds it.

        Raises OSError, also where the file system has no locks.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
            # Removed between opening and locking: nobody else would see this lock.
            is_there = path.stat().st_ino == os.fstat(descriptor).st_ino
        except (BlockingIOError, PermissionError, FileNotFoundError):  # PermissionError: how Windows says it is held
            is_there = False
        except OSError:
            os.close(descriptor)
            raise
        if not is_there:
            os.close(descriptor)
            return None
        return Lock(path, descriptor)

    def give_back(self, *, remove: bool) -> None:
        """remove : the file too. Given back already, it does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        _held.discard(descriptor)
        os.close(descriptor)
        if remove:
            self._path.unlink(missing_ok=True)
