"""Turns and call events on disk: what does not fit in memory, and what was left when a process ended.

    FOLDER/<process>.lock         held while the process lives
    FOLDER/<process>/<name>.turn  or .event: a line with the ids, a line with the JSON
    FOLDER/<process>/<name>.audio a line with the audio's fields, then the audio; not there: it was given up

A file has its name only once it is whole, and its item is in the spool once the .turn or .event is there. So what a
killed process had spooled is whole; nothing is forced to the disk, so a machine that loses power may lose it. Names
sort in the order of the queue: each begins with a stamp, the time in ns, but never behind the one before, whatever
becomes of the clock. Not thread-safe: everything here runs in the sender's one thread.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from mise_observer.backlog import Backlog, Cell
from mise_observer.lock import Lock
from mise_observer.notices import Notices
from mise_observer.turn import new_id
from mise_observer.wire import Encoded, EncodedAudio

STAMP_DIGITS = 20

FIRST_ONES = 10**9
"""Stamps for what is put in first. As nanoseconds this is a second, by which the others are ahead of the clock."""

BLOCK_BYTES = 4096
"""What the smallest file takes on disk; it bounds the number of files as well."""

TURN, EVENT, AUDIO, PART = ".turn", ".event", ".audio", ".part"


@dataclass(slots=True)
class Lost:
    """How many were given up because the spool is full, or can't be read."""

    audio: int = 0
    turns: int = 0
    events: int = 0

    def count(self, is_turn: bool) -> None:
        if is_turn:
            self.turns += 1
        else:
            self.events += 1

    def __iadd__(self, other: Lost) -> Lost:
        self.audio += other.audio
        self.turns += other.turns
        self.events += other.events
        return self


class Spool:
    """The spool of one process. Opening it adopts what processes that are no more have left."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        """folder : made when it is not there; readable by the user alone. Raises OSError."""
        self._backlog: Backlog[str] = Backlog(most_bytes // BLOCK_BYTES, most_bytes)
        self._notices = Notices()
        self._newest = time.time_ns()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._own, self._lock = _claim(folder)
        self.adopted = self._adopt(folder)
        """What there was no room for."""
        self._first = count(self._newest + 1)
        self._newest += FIRST_ONES

    def __len__(self) -> int:
        return len(self._backlog)

    def put(self, item: Encoded, *, first: bool = False) -> Lost:
        """Write the item at the end; what is then too much is given up, the oldest audio first. Raises OSError.

        first : for the next process it stands before all that was not put so.
        """
        stamp = next(self._first) if first else max(time.time_ns(), self._newest + 1)
        self._newest = max(self._newest, stamp)
        name = f"{stamp:0{STAMP_DIGITS}d}-{self._own.name}{TURN if item.is_turn else EVENT}"
        audio = 0
        try:
            if item.audio is not None:
                audio = self._write(self._audio(name), item.audio.fields, item.audio.data)
            ids = json.dumps({"call_id": item.call_id, "id": item.id}).encode()
            size = self._write(self._own / name, ids, item.json)
        except OSError:
            self._give_up(name)  # half an item would fill the disk that is full already
            raise
        return self._add(name, size, audio)

    def take(self, most: int, most_bytes: int) -> tuple[list[tuple[str, Encoded]], Lost]:
        """What is to be sent next, with its names, as `Backlog.take`. It stays on disk until it is removed."""
        found, lost = [], Lost()
        for cell in self._backlog.take(most, most_bytes):
            item = self._read(cell.value)
            if item is None:
                lost.count(cell.is_turn)
                self._give_up(cell.value)
            else:
                found.append((cell.value, item))
        return found, lost

    def remove(self, names: Iterable[str]) -> None:
        """What is sent. Raises OSError; what is still there is sent again by the next process."""
        for name in names:
            # The item first: an audio alone is litter, an item without its audio would be sent so.
            (self._own / name).unlink(missing_ok=True)
            self._audio(name).unlink(missing_ok=True)

    def close(self) -> tuple[int, int]:
        """Leave the rest to the next process; how many turns and call events that is. Raises OSError."""
        is_empty = False
        try:
            left = [path.suffix for path in self._own.iterdir()]
            turns, events = left.count(TURN), left.count(EVENT)
            if not turns and not events:
                _remove_tree(self._own)
                is_empty = True
        finally:
            self._lock.give_back(remove=is_empty)
        return turns, events

    def _adopt(self, folder: Path) -> Lost:
        # Before anything of its own: what is adopted is older.
        moved: list[str] = []
        for path in sorted(folder.glob("*.lock")):
            if path.with_suffix("") != self._own:
                with self._tolerated(path):
                    self._move_here(path, moved)
        lost = Lost()
        for name in sorted(moved):
            with self._tolerated(self._own / name):
                lost += self._take_in(name)
        return lost

    def _move_here(self, path: Path, moved: list[str]) -> None:
        """Move the files of a process that is no more, by its lock; adds their names to `moved`. Raises OSError."""
        lock = Lock.take(path)
        if lock is None:
            return
        other = path.with_suffix("")
        is_gone = False
        try:
            if other.is_dir():
                for file in sorted(other.iterdir()):
                    with self._tolerated(file):
                        if file.suffix == PART:
                            file.unlink()
                        elif file.is_file():
                            file.rename(self._own / file.name)
                            moved.append(file.name)
                other.rmdir()
            is_gone = True
        finally:
            lock.give_back(remove=is_gone)

    def _take_in(self, name: str) -> Lost:
        """Put a file that was moved here into the queue, if it is an item. Raises OSError."""
        if name[:STAMP_DIGITS].isdecimal():
            self._newest = max(self._newest, int(name[:STAMP_DIGITS]))
        if name.endswith((TURN, EVENT)):
            audio = self._audio(name)
            return self._add(name, _blocks(self._own / name), _blocks(audio) if audio.exists() else 0)
        if not any((self._own / name).with_suffix(suffix).exists() for suffix in (TURN, EVENT)):
            (self._own / name).unlink()  # written just before the end, and its item not any more
        return Lost()

    @contextmanager
    def _tolerated(self, path: Path) -> Iterator[None]:
        """What can't be adopted costs nothing else, and stays where it is."""
        try:
            yield
        except OSError as error:
            self._notices.warn("not_adopted", path=str(path), error=error)

    def _add(self, name: str, size: int, audio: int) -> Lost:
        given_up = self._backlog.add(Cell(name, name.endswith(TURN), size, audio))
        for cell in given_up.audio:
            with suppress(OSError):
                self._audio(cell.value).unlink(missing_ok=True)
        lost = Lost(audio=len(given_up.audio))
        for cell in given_up.whole:
            lost.count(cell.is_turn)
            self._give_up(cell.value)
        return lost

    def _give_up(self, name: str) -> None:
        """Remove what is left of an item that is lost, as far as the disk lets."""
        for path in (self._own / name, self._audio(name)):
            for file in (path, _part(path)):
                with suppress(OSError):
                    file.unlink(missing_ok=True)

    def _write(self, path: Path, first: bytes, rest: bytes) -> int:
        part = _part(path)
        with part.open("wb") as file:
            file.writelines((first, b"\n", rest))
        part.rename(path)
        return _blocks(path)

    def _read(self, name: str) -> Encoded | None:
        """The item; None when its file is damaged, by a loss of power, or gone."""
        try:
            ids, _, encoded = (self._own / name).read_bytes().partition(b"\n")
            known = json.loads(ids)
            json.loads(encoded)
            audio = None
            with suppress(FileNotFoundError):
                fields, _, data = self._audio(name).read_bytes().partition(b"\n")
                audio = EncodedAudio(fields, data) if data else None
            return Encoded(name.endswith(TURN), known["call_id"], known["id"], encoded, audio)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _audio(self, name: str) -> Path:
        return (self._own / name).with_suffix(AUDIO)


def _claim(folder: Path) -> tuple[Path, Lock]:
    while True:
        own = folder / f"{os.getpid()}-{new_id()[:8]}"
        # The lock before the folder: a folder without one is nobody's, and would be adopted.
        lock = Lock.take(own.with_suffix(".lock"))
        if lock is not None:
            try:
                own.mkdir(mode=0o700)
            except OSError:
                lock.give_back(remove=True)
                raise
            return own, lock


def _part(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _blocks(path: Path) -> int:
    return -(-path.stat().st_size // BLOCK_BYTES) * BLOCK_BYTES


def _remove_tree(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
