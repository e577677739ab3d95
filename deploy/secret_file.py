"""Secrets that are made once and kept in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def secret(file: Path, make: Callable[[], str]) -> str:
    """The secret in the file, made when there is none; readable by the user alone."""
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(make())
    except FileExistsError:
        pass
    return file.read_text().strip()
