"""The keys file: one JSON line a key.

Of an API key it holds the SHA-256, never the key. The secret of a LiveKit API key, with which webhooks are signed, is
there as it is: the same HMAC is computed here.
"""

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

LiveKitName = Annotated[str, Meta(pattern=r"^[!-~]{1,128}\Z")]
"""An API key of LiveKit: a name, printed in lists and in every token."""

PREFIX = "mv_"

SECRET_CHARACTERS = 32
"""What RFC 7518 asks of a key of HS256, and LiveKit of its secrets: a shorter one can be guessed from one webhook."""


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


class LiveKitKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of the keys file: an API key of a LiveKit project, whose webhooks are the workspace's."""

    livekit_key: LiveKitName
    secret: Annotated[str, Meta(min_length=SECRET_CHARACTERS)]
    workspace: Workspace
    name: str = ""

    @property
    def id(self) -> str:
        """How people name it: LiveKit's API key, which is no secret."""
        return self.livekit_key

    def __repr__(self) -> str:
        return f"LiveKitKey({self.livekit_key!r}, workspace={self.workspace!r})"  # no secret in logs and tracebacks


class _Kind(Struct, frozen=True):
    """What tells the kinds of lines apart."""

    livekit_key: object = None


Entry = ApiKey | LiveKitKey

_KIND: msgspec.json.Decoder[_Kind] = msgspec.json.Decoder(_Kind)
_API_KEY: msgspec.json.Decoder[ApiKey] = msgspec.json.Decoder(ApiKey)
_LIVEKIT_KEY: msgspec.json.Decoder[LiveKitKey] = msgspec.json.Decoder(LiveKitKey)


def digest(key: str) -> str:
    """How a key stands in the file. Keys have 256 random bits, so a plain hash can't be searched."""
    return hashlib.sha256(key.encode()).hexdigest()


def generate() -> str:
    """A new key, 256 random bits."""
    return PREFIX + secrets.token_urlsafe(32)


def read(path: Path) -> list[Entry]:
    """The lines of the file, none when there is no file. Raises Misconfigured, naming the line."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Misconfigured(f"keys file {path}: {error.strerror}; it must be readable by this user") from error
    entries = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                entries.append(_entry(line))
            except Refused as error:
                raise Misconfigured(f"keys file {path}, line {number}: {error}; mend or remove the line") from None
    return entries


def _entry(line: bytes) -> Entry:
    is_livekit = decode(_KIND, line).livekit_key is not None
    return decode(_LIVEKIT_KEY, line) if is_livekit else decode(_API_KEY, line)


def add(path: Path, key: str, *, workspace: str, name: str) -> None:
    """Add a key that may ingest for the workspace. Raises Refused for a workspace that is no `Workspace`."""
    _check(workspace, Workspace, "workspace", "1 to 64 letters, digits, - or _")
    with _changing(path):
        _write(path, [*read(path), ApiKey(sha256=digest(key), workspace=workspace, scopes=["ingest"], name=name)])


def add_livekit(path: Path, livekit_key: str, secret: str, *, workspace: str, name: str) -> None:
    """Take the webhooks that are signed with this secret for the workspace's.

    Raises Refused when one of them can't be, or the file has this API key of LiveKit already.
    """
    _check(workspace, Workspace, "workspace", "1 to 64 letters, digits, - or _")
    _check(livekit_key, LiveKitName, "API key", "LiveKit's, 1 to 128 characters without spaces")
    if len(secret) < SECRET_CHARACTERS:
        raise Refused(
            f"secret: {len(secret)} characters, expected at least {SECRET_CHARACTERS}; `livekit-server generate-keys` "
            f"makes them long enough",
            field="secret",
        )
    try:
        secret.encode()
    except UnicodeEncodeError:
        raise Refused("secret: is not UTF-8; LiveKit's are letters and digits", field="secret") from None
    with _changing(path):
        known = read(path)
        for entry in known:
            if isinstance(entry, LiveKitKey) and entry.livekit_key == livekit_key:
                raise Refused(
                    f"API key {livekit_key}: is there already, of workspace {entry.workspace}; "
                    f"`mise-voice keys revoke` it first"
                )
        _write(path, [*known, LiveKitKey(livekit_key=livekit_key, secret=secret, workspace=workspace, name=name)])


def _check(value: str, kind: object, what: str, expected: str) -> None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise Refused(f"{what} {value[:64]!r}: expected {expected}", field=what) from None


def revoke(path: Path, key_id: str) -> Entry:
    """Remove the key of this id, every line of it. Raises Refused when it is not there."""
    with _changing(path):
        known = read(path)
        for entry in known:
            if key_id in _names(entry):
                _write(path, [other for other in known if _names(other) != _names(entry)])
                return entry
    raise Refused(f"no key with this id in {path}; see `mise-voice keys list`")


def _names(entry: Entry) -> tuple[str, ...]:
    return (entry.id, entry.sha256) if isinstance(entry, ApiKey) else (entry.id,)


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


def _write(path: Path, keys: Iterable[Entry]) -> None:
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
        self._livekit: dict[str, LiveKitKey] = {}

    def find(self, key: str) -> ApiKey | None:
        """What the key opens, None for a key not in the file. Raises Misconfigured when the file can't be read."""
        self._refresh()
        # Looked up by hash: what a timing could tell is of the hash, which says nothing of the key.
        return self._keys.get(digest(key))

    def find_livekit(self, livekit_key: str) -> LiveKitKey | None:
        """The secret of LiveKit's API key, None when it is not in the file. Raises Misconfigured, as `find` does."""
        self._refresh()
        return self._livekit.get(livekit_key)

    def _refresh(self) -> None:
        stamp = self._stat()
        if stamp != self._stamp:
            entries = read(self._path)
            self._keys = {known.sha256: known for known in entries if isinstance(known, ApiKey)}
            self._livekit = {known.livekit_key: known for known in entries if isinstance(known, LiveKitKey)}
            self._stamp = stamp

    def _stat(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return (0, 0, 0)
        except OSError as error:
            raise Misconfigured(f"keys file {self._path}: {error.strerror}") from error
        return (status.st_ino, status.st_mtime_ns, status.st_size)
