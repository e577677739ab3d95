"""A small file system of its own (tmpfs), which can be filled. To mount one takes the rights of root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIECES_BYTES = (1024 * 1024, 4096)


@contextmanager
def small_file_system(folder: Path, size_mib: int) -> Iterator[None]:
    """The folder, made, is one of this size for as long as the block lasts."""
    folder.mkdir(parents=True)
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", "--lazy", folder], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """No byte more fits into the file system of the folder, until the block ends."""
    filler = folder / "filler"
    try:
        with filler.open("wb", buffering=0) as file:
            for size in PIECES_BYTES:
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))
        yield
    finally:
        filler.unlink()
