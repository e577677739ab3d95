"""The broker's data folder: made once, found again at each start, never guessed at.

    data_dir/
        log/                Kafka's own: meta.properties, __cluster_metadata-0/, a folder a partition
        formatted-by        the version of Kafka that made log/
        server.properties   written at each start (ports change from run to run)
        java.options        likewise
        tmp/                likewise, emptied

`log/` appears complete or not at all: it is formatted under another name and then renamed. So a `log/` without
its meta.properties was not left by a start that was cut short, and what it holds is not ours to remove.
"""

import fcntl
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from deploy.embedded.kafka.failure import folder_in_use
from deploy.embedded.kafka.jars import KAFKA_VERSION
from schemas.errors import Misconfigured

NODE_ID = 1
# Format of meta.properties: 1 is KRaft's, 0 was ZooKeeper's.
META_VERSION = 1


def log_folder(data_dir: Path) -> Path:
    return data_dir / "log"


def refuse_folder_in_use(data_dir: Path) -> None:
    """Raises Misconfigured when a running broker holds the folder (Kafka's own lock, log/.lock).

    Kafka checks as well. This asks first, so that a second start can't overwrite the settings of the first.
    """
    try:
        lock = (log_folder(data_dir) / ".lock").open("r+b")
    except FileNotFoundError:
        return
    with lock:
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock of Java's FileChannel; released by close
        except OSError as error:
            raise Misconfigured(folder_in_use(data_dir)) from error


def ensure_formatted(data_dir: Path, format_folder: Callable[[Path], None]) -> None:
    """Make `data_dir/log` if it is not there; check that this broker can use it if it is.

    format_folder(path) : makes `path`, which does not exist yet, into a formatted folder, or raises.

    Raises Misconfigured when the folder is damaged, was made by a newer Kafka, or belongs to another cluster's
    node.
    """
    folder, stamp = log_folder(data_dir), data_dir / "formatted-by"
    if folder.exists():
        _refuse_newer(data_dir, stamp)
        _refuse_foreign(folder)
        return
    unfinished = data_dir / "log.formatting"
    shutil.rmtree(unfinished, ignore_errors=True)  # of a start that was cut short; it never held a record
    format_folder(unfinished)
    stamp.write_text(f"{KAFKA_VERSION}\n", "utf-8")
    unfinished.rename(folder)


def _refuse_newer(data_dir: Path, stamp: Path) -> None:
    try:
        made_by = stamp.read_text("utf-8").strip()
    except FileNotFoundError:
        return
    if _as_numbers(made_by) > _as_numbers(KAFKA_VERSION):
        raise Misconfigured(
            f"{data_dir} was made by Kafka {made_by}, which {KAFKA_VERSION} can't read; "
            f"run the version of Mise Voice that made it, or move the folder away to start an empty one"
        )


def _refuse_foreign(folder: Path) -> None:
    meta = folder / "meta.properties"
    try:
        found = dict(re.findall(r"^([\w.]+)=(.*)$", meta.read_text("utf-8"), flags=re.MULTILINE))
    except FileNotFoundError:
        found = {}
    expected = {"version": str(META_VERSION), "node.id": str(NODE_ID)}
    different = {key: found.get(key) for key, value in expected.items() if found.get(key) != value}
    checkpoints = any((folder / "__cluster_metadata-0").glob("*.checkpoint"))
    if not different and checkpoints:
        return
    if not found:
        what = "meta.properties is missing"
    elif different:
        what = f"meta.properties has {different}, expected {expected}"
    else:
        what = "__cluster_metadata-0 holds no checkpoint"
    raise Misconfigured(
        f"{folder} is not a complete Kafka folder: {what}. Restore it from a copy, "
        f"or, if nothing in it is needed, start empty: rm -r {folder}"
    )


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
