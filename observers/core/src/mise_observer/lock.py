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


class Lock:
    """Held from `take` to `give_back`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @staticmethod
    def take(path: Path) -> Lock | None:
        """The lock on this file, which is made when it is not there; None when somebody holds it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return None
        if not path.exists() or path.stat().st_ino != os.fstat(descriptor).st_ino:
            os.close(descriptor)  # removed between opening and locking: nobody else would see this lock
            return None
        return Lock(path, descriptor)

    def give_back(self, *, remove: bool) -> None:
        """remove : the file too."""
        os.close(self._descriptor)
        if remove:
            self._path.unlink(missing_ok=True)
