"""The spool: what is on disk is whole, in order, and bounded."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mise_observer import Turn
from mise_observer.lock import Lock
from mise_observer.spool import BLOCK_BYTES, Lost, Spool
from mise_observer.wire import Encoded, encode
from tests.unit.observers.records import event, turn

PLENTY = 2**30


def taken(spool: Spool) -> list[Encoded]:
    found: list[Encoded] = []
    while len(spool):
        names, _ = zip(*(batch := spool.take(1_000, PLENTY)[0]), strict=True)
        found += [item for _, item in batch]
        spool.remove(names)
    return found


def test_what_comes_out_is_what_went_in(tmp_path: Path) -> None:
    items = [
        encode(turn("a", audio_bytes=10)),
        encode(event()),
        encode(turn("b\n")),
        encode(turn("c", audio_bytes=9_999)),
    ]
    spool = Spool(tmp_path, PLENTY)
    for item in items:
        assert spool.put(item) == Lost()
    assert taken(spool) == [items[0], items[2], items[3], items[1]]
    assert spool.close() == (0, 0)
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", PLENTY)
    spool.put(encode(turn()))
    assert [path.stat().st_mode & 0o077 for path in [tmp_path / "spool", *(tmp_path / "spool").iterdir()]] == [0, 0, 0]


def test_the_next_goes_on_in_order_and_keeps_off_the_living(tmp_path: Path) -> None:
    first, living = Spool(tmp_path, PLENTY), Spool(tmp_path, PLENTY)
    items = [encode(turn(str(number), audio_bytes=number)) for number in range(4)]
    living.put(items[3])
    first.put(items[0])
    assert first.close() == (1, 0)
    second = Spool(tmp_path, PLENTY)
    second.put(items[1])
    assert second.close() == (2, 0)
    third = Spool(tmp_path, PLENTY)
    third.put(items[2])
    assert taken(third) == items[:3]
    assert taken(living) == [items[3]]


def test_what_was_taken_and_not_removed_is_there_for_the_next(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    item = encode(turn(audio_bytes=5))
    spool.put(item)
    assert [found for _, found in spool.take(1, 1)[0]] == [item]
    assert spool.close() == (1, 0)
    assert taken(Spool(tmp_path, PLENTY)) == [item]


def test_a_clock_that_is_set_back_changes_no_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [encode(turn(str(number))) for number in range(6)]
    now = time.time_ns()
    for pair in (items[:2], items[2:4], items[4:]):
        spool = Spool(tmp_path, PLENTY)
        for item in pair:
            now -= 3_600 * 10**9
            monkeypatch.setattr(time, "time_ns", lambda now=now: now)
            spool.put(item)
        spool.close()
    assert taken(Spool(tmp_path, PLENTY)) == items


def test_what_is_put_first_is_first_for_the_next_but_behind_what_was_adopted(tmp_path: Path) -> None:
    items = [encode(turn(str(number))) for number in range(6)]
    spool = Spool(tmp_path, PLENTY)
    spool.put(items[0])
    spool.close()
    spool = Spool(tmp_path, PLENTY)
    for number, first in ((3, False), (4, False), (1, True), (2, True), (5, False)):
        spool.put(items[number], first=first)
    spool.close()
    assert taken(Spool(tmp_path, PLENTY)) == items


def test_oldest_audio_goes_first(tmp_path: Path) -> None:
    # Four turns of a block each, and audio of two blocks each; room for eight.
    spool = Spool(tmp_path, 8 * BLOCK_BYTES)
    lost = Lost()
    for number in range(4):
        lost += spool.put(encode(turn(str(number), audio_bytes=BLOCK_BYTES + 1)))
    assert lost == Lost(audio=2)
    found = taken(spool)
    assert [item.audio is not None for item in found] == [False, False, True, True]
    assert len(found) == 4


def test_without_audio_the_oldest_goes(tmp_path: Path) -> None:
    spool = Spool(tmp_path, 3 * BLOCK_BYTES)
    lost = Lost()
    items = [encode(turn("0")), encode(event()), *(encode(turn(str(number))) for number in range(1, 4))]
    for item in items:
        lost += spool.put(item)
    assert lost == Lost(turns=1, events=1)
    assert taken(spool) == items[2:]
    assert sum(1 for _ in tmp_path.rglob("*.*")) == 1  # the lock


def test_adopting_obeys_the_bound(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    for number in range(5):
        spool.put(encode(turn(str(number), audio_bytes=100)))
    spool.close()
    spool = Spool(tmp_path, 6 * BLOCK_BYTES)
    assert spool.adopted == Lost(audio=4)
    assert [item.audio is not None for item in taken(spool)] == [False] * 4 + [True]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may have more than 50 kB: a write fails in its middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("item", [turn(audio_bytes=60_000), turn("x" * 60_000, audio_bytes=10)], ids=["audio", "text"])
def test_nothing_is_left_of_an_item_that_the_disk_did_not_take(tmp_path: Path, item: Turn) -> None:
    spool = Spool(tmp_path, PLENTY)
    with pytest.raises(OSError, match="too large"):
        spool.put(encode(item))
    assert list(tmp_path.glob("*/*")) == []
    assert spool.put(encode(turn())) == Lost()
    assert spool.close() == (1, 0)


@pytest.mark.parametrize("damage", ["", "{", '{"call_id": "c", "id": "t"}\n{"cut o', "[]\n{}", '{"call_id": "c"}\n{}'])
def test_a_damaged_item_costs_no_other(tmp_path: Path, damage: str) -> None:
    spool = Spool(tmp_path, PLENTY)
    items = [encode(turn(str(number), audio_bytes=10)) for number in range(3)]
    for item in items:
        spool.put(item)
    sorted(tmp_path.glob("*/*.turn"))[1].write_text(damage)
    found, lost = spool.take(10, PLENTY)
    assert [item for _, item in found] == [items[0], items[2]]
    assert lost == Lost(turns=1)


def test_a_write_that_was_broken_off_is_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path, PLENTY)
    spool.put(encode(turn("a", audio_bytes=10)))
    spool.close()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (folder / "00000000000000000001-000000-x.turn.part").write_text("{")
    (folder / "00000000000000000002-000000-x.audio").write_bytes(b"x")
    spool = Spool(tmp_path, PLENTY)
    assert len(taken(spool)) == 1
    assert spool.close() == (0, 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("junk", ["{part}/lost+found", "{part}/x.turn", "{part}/x.turn.part", "a.lock"])
def test_what_is_no_file_costs_no_other(tmp_path: Path, junk: str, caplog: pytest.LogCaptureFixture) -> None:
    items = [encode(turn(str(number), audio_bytes=10)) for number in range(2)]
    spool = Spool(tmp_path, PLENTY)
    for item in items:
        spool.put(item)
    spool.close()
    (part,) = (path for path in tmp_path.iterdir() if path.is_dir())
    stays = tmp_path / junk.format(part=part.name)
    stays.mkdir()
    spool = Spool(tmp_path, PLENTY)
    assert taken(spool) == items
    assert spool.close() == (0, 0)
    assert stays.is_dir()
    assert "not_adopted count=1" in caplog.text
    assert Lock.take(part.with_suffix(".lock")) is not None


def test_no_lock_is_left_where_the_disk_has_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object, **__: object) -> None:
        if path != tmp_path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space"):
        Spool(tmp_path, PLENTY)
    assert list(tmp_path.iterdir()) == []


FORKED = """
import os, sys
from pathlib import Path
from mise_observer.lock import Lock

path = Path(sys.argv[1])
lock = Lock.take(path)
(begun, beginning), (end, ending) = os.pipe(), os.pipe()
if not os.fork():
    os.write(beginning, b"x")
    os.close(ending)
    os.read(end, 1)  # until the parent has ended
    os._exit(0)
os.read(begun, 1)
assert Lock.take(path) is None
lock.give_back(remove=False)
assert Lock.take(path)
"""


def test_a_child_does_not_hold_the_locks_of_its_parent(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKED, tmp_path / "x.lock"], check=True)


def test_a_file_system_without_locks_has_no_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_descriptor: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("mise_observer.lock._lock", no_locks)
    with pytest.raises(OSError, match="locks"):
        Spool(tmp_path, PLENTY)


def test_a_lock_on_a_removed_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    lock = Lock.take(path)
    assert lock is not None
    assert Lock.take(path) is None
    lock.give_back(remove=False)
    again = Lock.take(path)
    assert again is not None
    lock.give_back(remove=True)
    assert Lock.take(path) is None
    again.give_back(remove=True)
    assert not path.exists()
