"""API keys: a file with one JSON line a key, which holds the key's SHA-256, never the key."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from schemas.codec import decode, encode
from schemas.errors import Misconfigured, Refused

Scope = Literal["ingest"]

Workspace = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}\Z")]
"""Part of record keys and blob names."""

PREFIX = "mv_"


class ApiKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the keys file. sha256 : hex, of the key's UTF-8 bytes."""

    sha256: str
    workspace: Workspace
    scopes: list[Scope]
    name: str = ""

    @property
    def id(self) -> str:
        """How people name a key: the beginning of its hash."""
        return self.sha256[:12]


_DECODER: msgspec.json.Decoder[ApiKey] = msgspec.json.Decoder(ApiKey)


def digest(key: str) -> str:
    """How a key stands in the file. Keys have 256 random bits, so a plain hash can't be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def generate() -> str:
    """A new key, 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def read(path: Path) -> list[ApiKey]:
    """The keys in the file, none when there is no file. Raises Misconfigured, naming the line."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Misconfigured(f"keys file {path}: {error.strerror}; it must be readable by this user") from error
    keys = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                keys.append(decode(_DECODER, line))
            except Refused as error:
                raise Misconfigured(f"keys file {path}, line {number}: {error}; mend or remove the line") from None
    return keys


def add(path: Path, key: str, *, workspace: str, name: str) -> None:
    """Add a key that may ingest for the workspace. Raises Refused for a workspace that is no `Workspace`."""
    try:
        msgspec.convert(workspace, Workspace)
    except msgspec.ValidationError:
        raise Refused(
            f"workspace {workspace[:64]!r}: expected 1 to 64 letters, digits, - or _",
            field="workspace",
        ) from None
    with _changing(path):
        _write(path, [*read(path), ApiKey(sha256=digest(key), workspace=workspace, scopes=["ingest"], name=name)])


def revoke(path: Path, key_id: str) -> ApiKey:
    """Remove the key of this id, every line of it. Raises Refused when it is not there."""
    with _changing(path):
        known = read(path)
        for entry in known:
            if key_id in (entry.id, entry.sha256):
                _write(path, [other for other in known if other.sha256 != entry.sha256])
                return entry
    raise Refused(f"no key with this id in {path}; see `mise-voice keys list`")


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Hold the file against others who change it. Raises Misconfigured when its folder takes no writes."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with path.with_name(f"{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise Misconfigured(f"keys file {path}: {error.strerror}; its folder must be writable by this user") from error


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file, atomically, readable by this user alone."""
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(encode(key) + b"\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class KeyRing:
    """The keys of the file, read again when it changes, so that a revoked key ends at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._keys: dict[str, ApiKey] = {}

    def find(self, key: str) -> ApiKey | None:
        """What the key opens, None for a key not in the file. Raises Misconfigured when the file can't be read."""
        stamp = self._stat()
        if stamp != self._stamp:
            self._keys = {known.sha256: known for known in read(self._path)}
            self._stamp = stamp
        # Looked up by hash: what a timing could tell is of the hash, which says nothing of the key.
        return self._keys.get(digest(key))

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        except OSError as error:
            raise Misconfigured(f"keys file {self._path}: {error.strerror}") from error
        return (status.st_ino, status.st_mtime_ns, status.st_size)
