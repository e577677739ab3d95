"""Secrets that are made once and kept in a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from schemas.errors import Misconfigured


def secret(file: Path, make: Callable[[], str]) -> str:
    """The secret in the file, made when there is none; readable by the user alone. Raises Misconfigured."""
    try:
        known = file.read_text().strip() if file.exists() else ""
        if known:
            return known
        made = make()
        draft = file.with_name(f"{file.name}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as new:
            new.write(made)
        draft.replace(file)  # whole or not at all: half a secret would never heal
    except OSError as error:
        raise Misconfigured(f"{file}: {error.strerror}; it must be readable and writable by this user") from error
    return made
