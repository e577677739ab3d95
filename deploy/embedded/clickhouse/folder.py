"""The data folder: one process at a time, and never an engine older than the one that wrote it.

    <folder>/engine/    the engine's own files
    <folder>/lock       held (flock) by the process that serves the folder; says who that is
    <folder>/version    the engine that wrote the folder last

chDB allows one process per folder too, but says only that it could not be initialised.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import Misconfigured


def engine_folder(folder: Path) -> Path:
    """Where in `folder` the engine keeps its files; absolute."""
    return folder.resolve() / "engine"


@contextmanager
def claimed(folder: Path, port: int) -> Iterator[None]:
    """Holds `folder`, made when missing, for this process; readable by this user alone.

    port : told to whoever else wants the folder. Raises Misconfigured, saying what is the matter: held by another
    process (which, and where it listens), not writable, disk full.
    """
    if "?" in str(folder.resolve()):
        raise Misconfigured(f"data folder {folder}: its path must not contain '?', which the engine takes for options")
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 200, 0).decode(errors="replace").strip() or "another process"
            raise Misconfigured(
                f"data folder {folder} is held by {holder}; stop that process, or choose another folder"
            ) from None
        try:
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"process {os.getpid()}, which serves it at http://127.0.0.1:{port}\n".encode(), 0)
        except OSError as error:
            raise _unusable(folder, error) from error
        yield
    finally:
        os.close(lock)


def check_version(folder: Path, version: str) -> None:
    """Refuses a folder that a newer engine wrote.

    version : of this engine, as `26.9.2.1`. Raises Misconfigured: a newer engine may write what an older one reads
    wrongly, or can't read; patch releases do not.
    """
    try:
        written_by = (folder / "version").read_text().strip()
    except FileNotFoundError:
        return
    if _release(written_by) > _release(version):
        raise Misconfigured(
            f"data folder {folder} was written by ClickHouse {written_by}, this is {version}; "
            f"install a chdb-core of at least {'.'.join(written_by.split('.')[:2])}, or choose another folder"
        )


def record_version(folder: Path, version: str) -> None:
    """Notes the engine that writes the folder from now on; in one step, so that a crash leaves the old note."""
    try:
        fresh = folder / "version.new"
        fresh.write_text(f"{version}\n")
        fresh.replace(folder / "version")
    except OSError as error:
        raise _unusable(folder, error) from error


def _release(version: str) -> tuple[int, ...]:
    """Year and month of a version; what is not a version is older than all."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts) if all(part.isdecimal() for part in parts) else ()


def _unusable(folder: Path, error: OSError) -> Misconfigured:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Misconfigured(f"data folder {folder}: the disk is full; make room, or choose a folder on another disk")
    return Misconfigured(f"data folder {folder} can't be used: {error.strerror}; choose one that this user may write")
