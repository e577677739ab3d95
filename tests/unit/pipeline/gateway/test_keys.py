"""The keys file: one line a key, its hash and never the key, readable by this user alone."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.gateway import keys
from pipeline.gateway.keys import KeyRing
from schemas.errors import Misconfigured, Refused


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some" / "keys.jsonl"


def test_keys_are_long_and_differ() -> None:
    made = {keys.generate() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("mv_") and len(key) >= 46 and key.isascii() for key in made)


def test_key_added_is_found_and_its_text_is_not_in_the_file(path: Path) -> None:
    key = keys.generate()
    keys.add(path, key, workspace="acme", name="first")
    (entry,) = keys.read(path)
    assert isinstance(entry, keys.ApiKey)
    assert (entry.workspace, entry.scopes, entry.name, entry.sha256) == ("acme", ["ingest"], "first", keys.digest(key))
    assert key.encode() not in path.read_bytes()
    assert KeyRing(path).find(key) == entry


def test_file_is_readable_by_its_user_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        keys.add(path, "k", workspace="acme", name="")
        keys.add(path, "l", workspace="acme", name="")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_nothing_but_the_file_and_its_lock_is_left_behind(path: Path) -> None:
    keys.add(path, "k", workspace="acme", name="")
    assert sorted(path.parent.iterdir()) == [path, path.with_name(f"{path.name}.lock")]


def test_keys_made_at_once_are_all_there(path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: keys.add(path, f"key-{number}", workspace="acme", name=str(number)), range(24)))
    assert {entry.name for entry in keys.read(path)} == {str(number) for number in range(24)}


def test_every_line_of_a_revoked_key_is_gone(path: Path) -> None:
    for name in ("first", "second"):
        keys.add(path, "k", workspace="acme", name=name)
    keys.revoke(path, keys.digest("k"))
    assert KeyRing(path).find("k") is None


def test_folder_that_takes_no_writes_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="keys file"):
        keys.add(tmp_path / "file" / "keys.jsonl", "k", workspace="acme", name="")


def test_without_a_file_there_are_no_keys(path: Path) -> None:
    assert keys.read(path) == []
    assert KeyRing(path).find("k") is None


@pytest.mark.parametrize("named_by", ["id", "hash"])
def test_revoked_key_is_gone_and_the_others_stay(path: Path, named_by: str) -> None:
    for key in ("one", "two", "three"):
        keys.add(path, key, workspace="acme", name=key)
    sha256 = keys.digest("two")
    revoked = keys.revoke(path, {"id": sha256[:12], "hash": sha256}[named_by])
    assert revoked.name == "two"
    assert [entry.name for entry in keys.read(path)] == ["one", "three"]


def test_key_that_is_not_there_cannot_be_revoked_and_is_not_repeated(path: Path) -> None:
    keys.add(path, "one", workspace="acme", name="")
    secret = keys.generate()
    with pytest.raises(Refused, match="keys list") as caught:
        keys.revoke(path, secret)
    assert secret not in str(caught.value)
    assert len(keys.read(path)) == 1


@pytest.mark.parametrize("workspace", ["", " ", "a/b", "a\x1fb", "a\nb", "..", "a b", "x" * 65])
def test_workspace_that_cannot_be_part_of_keys_and_names_is_refused(path: Path, workspace: str) -> None:
    with pytest.raises(Refused, match="workspace") as caught:
        keys.add(path, "k", workspace=workspace, name="")
    assert caught.value.field == "workspace"
    assert not path.exists()


GOOD_LINE = b'{"sha256":"00","workspace":"acme","scopes":["ingest"]}\n'


@pytest.mark.parametrize(
    "line",
    [
        b"mv_plain-text-key",
        b'{"sha256":"00","workspace":"acme"}',
        b'{"sha256":"00","workspace":"acme","scopes":["admin"]}',
        b'{"sha256":"00","workspace":"acme","scopes":[],"secret":"x"}',
        b'{"sha256":"00","workspace":"../acme","scopes":[]}',
        b"\xff",
    ],
)
def test_damaged_line_is_named(path: Path, line: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(GOOD_LINE + b"\n" + line)
    with pytest.raises(Misconfigured, match="line 3"):
        keys.read(path)


def test_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=str(tmp_path)):
        keys.read(tmp_path)


def test_ring_notices_a_new_key_and_a_revoked_one(path: Path) -> None:
    ring = KeyRing(path)
    assert ring.find("one") is None
    keys.add(path, "one", workspace="acme", name="")
    assert ring.find("one") is not None
    keys.add(path, "two", workspace="acme", name="")
    assert ring.find("two") is not None
    keys.revoke(path, keys.digest("one"))
    assert ring.find("one") is None
    assert ring.find("two") is not None
    path.unlink()
    assert ring.find("two") is None


def test_ring_reads_an_unchanged_file_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.add(path, "one", workspace="acme", name="")
    ring = KeyRing(path)
    assert ring.find("one") is not None
    monkeypatch.setattr(keys, "read", lambda _: pytest.fail("read again"))
    assert ring.find("one") is not None
    assert ring.find("other") is None


def test_ring_complains_of_a_damaged_file_until_it_is_mended(path: Path) -> None:
    keys.add(path, "one", workspace="acme", name="")
    ring = KeyRing(path)
    good = path.read_bytes()
    path.write_bytes(good + b"{")
    for _ in range(2):
        with pytest.raises(Misconfigured):
            ring.find("one")
    path.write_bytes(good)
    assert ring.find("one") is not None


# ----------------------------------------------------------------------------------------------------------------------
# LiveKit's

SECRET = "a-secret-of-a-livekit-project-for-tests"


def add_livekit(path: Path, livekit_key: str = "APIone", secret: str = SECRET, workspace: str = "acme") -> None:
    keys.add_livekit(path, livekit_key, secret, workspace=workspace, name="")


def test_livekit_secret_is_kept_for_its_workspace_beside_the_keys(path: Path) -> None:
    keys.add(path, "one", workspace="acme", name="")
    add_livekit(path, "APIone")
    add_livekit(path, "APItwo", secret=SECRET[::-1], workspace="other")
    ring = KeyRing(path)
    for livekit_key, secret, workspace in (("APIone", SECRET, "acme"), ("APItwo", SECRET[::-1], "other")):
        found = ring.find_livekit(livekit_key)
        assert found is not None
        assert (found.secret, found.workspace) == (secret, workspace)
    assert ring.find("one") is not None
    assert ring.find("APIone") is None
    assert ring.find_livekit(keys.digest("one")) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_ring_notices_a_livekit_key_that_is_added_and_revoked(path: Path) -> None:
    ring = KeyRing(path)
    assert ring.find_livekit("APIone") is None
    keys.add(path, "one", workspace="acme", name="")
    add_livekit(path)
    assert ring.find_livekit("APIone") is not None
    assert keys.revoke(path, "APIone").id == "APIone"
    assert ring.find_livekit("APIone") is None
    assert ring.find("one") is not None
    assert SECRET.encode() not in path.read_bytes()


def test_livekit_key_belongs_to_one_workspace(path: Path) -> None:
    add_livekit(path)
    with pytest.raises(Refused, match="workspace acme") as caught:
        add_livekit(path, secret=SECRET[::-1], workspace="other")
    assert SECRET[::-1] not in str(caught.value)
    found = KeyRing(path).find_livekit("APIone")
    assert found is not None
    assert (found.workspace, found.secret) == ("acme", SECRET)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"secret": "short-secret"}, "secret"),
        ({"secret": ""}, "secret"),
        ({"secret": "\udcff" * 32}, "secret"),
        ({"livekit_key": ""}, "API key"),
        ({"livekit_key": "API one"}, "API key"),
        ({"workspace": "../acme"}, "workspace"),
    ],
)
def test_livekit_key_that_cannot_be_is_refused_and_its_secret_is_not_repeated(
    path: Path, changes: dict[str, str], field: str
) -> None:
    with pytest.raises(Refused) as caught:
        add_livekit(path, **changes)
    assert caught.value.field == field
    assert "short-secret" not in str(caught.value)
    assert not path.exists()


@pytest.mark.parametrize(
    "line",
    [
        b'{"livekit_key":"APIone","workspace":"acme"}',
        b'{"livekit_key":"APIone","secret":"short-secret","workspace":"acme"}',
        b'{"livekit_key":"APIone","secret":"' + SECRET.encode() + b'","workspace":"acme","scopes":[]}',
        b'{"livekit_key":7,"secret":"' + SECRET.encode() + b'","workspace":"acme"}',
    ],
)
def test_damaged_livekit_line_is_named_and_its_secret_is_not_repeated(path: Path, line: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(GOOD_LINE + line)
    with pytest.raises(Misconfigured, match="line 2") as caught:
        keys.read(path)
    assert "secret-of" not in str(caught.value)
    assert "short-secret" not in str(caught.value)


def test_secret_is_in_no_representation(path: Path) -> None:
    add_livekit(path)
    assert SECRET not in repr(keys.read(path)) + f"{keys.read(path)[0]}"
