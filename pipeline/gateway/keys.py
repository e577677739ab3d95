"""API keys: a file with one JSON line a key, which holds the key's SHA-256, never the key."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Iterable
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


def write(path: Path, keys: Iterable[ApiKey]) -> None:
    """Replace the file, atomically, readable by this user alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.writelines(encode(key) + b"\n" for key in keys)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def add(path: Path, key: str, *, workspace: str, name: str) -> None:
    """Add a key that may ingest for the workspace. Raises Refused for a workspace that is no `Workspace`."""
    try:
        msgspec.convert(workspace, Workspace)
    except msgspec.ValidationError:
        raise Refused(
            f"workspace {workspace[:64]!r}: expected 1 to 64 letters, digits, - or _",
            field="workspace",
        ) from None
    write(path, [*read(path), ApiKey(sha256=digest(key), workspace=workspace, scopes=["ingest"], name=name)])


def revoke(path: Path, key: str) -> ApiKey:
    """Remove a key, named by its id or by itself. Raises Refused when it is not there."""
    known = read(path)
    for entry in known:
        if key in (entry.id, entry.sha256) or digest(key) == entry.sha256:
            write(path, [other for other in known if other != entry])
            return entry
    raise Refused(f"no key {key[:12]}… in {path}; see `mise-voice keys list`")


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
        return (status.st_ino, status.st_mtime_ns, status.st_size)
