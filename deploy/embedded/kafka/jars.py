"""The jars of Apache Kafka: which ones, where they lie, and that they are what they should be.

`deploy/embedded/kafka.lock` names every jar of the class path with its SHA-256 sum, one a line:

    76d3314f…  org.apache.kafka:kafka_2.13:4.4.0

It is a format of our own because it has to be read at each start, when the resolver (jgo) is not imported, and
because a line a jar is what a reviewer wants to see change. It holds no addresses: where jars are downloaded
from is the business of jgo and of the user's settings for it.

The jars are kept in a folder of our own under the user's cache, named after the lock: checkouts with different
locks share nothing, and no other tool's clean-up touches a broker that runs.
"""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Misconfigured

KAFKA_VERSION = "4.4.0"
LOCK_FILE = Path(__file__).parent.parent / "kafka.lock"
FETCH_COMMAND = "python -m deploy.embedded.kafka fetch"
LOCK_COMMAND = "python -m deploy.embedded.kafka lock"

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<group>[\w.-]+):(?P<artifact>[\w.-]+):(?P<version>[\w.-]+)")


@dataclass(frozen=True, order=True)
class Jar:
    """One jar of the class path, by its Maven coordinates, with its SHA-256 sum in hexadecimal."""

    artifact: str
    group: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version}"

    @property
    def file_name(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


def read_lock(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """The locked jars, sorted by artifact: the order of the class path.

    Raises Misconfigured when the file is missing, a line is not one, or Kafka's own jars are not all of
    KAFKA_VERSION: a mixture (a resolver's choice, it has happened with an older kafka-clients) starts and then
    fails in places nobody would look for a cause.
    """
    try:
        lines = lock_file.read_text("utf-8").splitlines()
    except OSError as error:
        raise Misconfigured(f"{lock_file} can't be read: {error.strerror}; restore it from git") from error
    jars = []
    for number, line in enumerate(lines, start=1):
        if not line or line.startswith("#"):
            continue
        if not (match := _LINE.fullmatch(line)):
            raise Misconfigured(
                f"{lock_file}, line {number}: {line!r} is not '<sha256>  <group>:<artifact>:<version>'; "
                f"restore the file from git, or write it anew: {LOCK_COMMAND}"
            )
        jars.append(Jar(**match.groupdict()))
    refuse_mixture(jars)
    return tuple(sorted(jars))


def refuse_mixture(jars: Sequence[Jar]) -> None:
    """Raises Misconfigured unless there are jars of Kafka, all of them of KAFKA_VERSION."""
    of_kafka = [jar for jar in jars if jar.group == "org.apache.kafka"]
    others = [str(jar) for jar in of_kafka if jar.version != KAFKA_VERSION]
    if others or not of_kafka:
        raise Misconfigured(
            f"the jars of Kafka must all be of version {KAFKA_VERSION}, found {', '.join(others) or 'none'}; "
            f"write the lock anew: {LOCK_COMMAND}"
        )


def cache_folder(lock_file: Path = LOCK_FILE) -> Path:
    """Where the jars of this lock lie: `$XDG_CACHE_HOME/mise-voice/kafka-4.4.0-<start of the lock's sum>`.

    `~/.cache` stands in when XDG_CACHE_HOME is unset or relative, as the XDG Base Directory Specification wants.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not cache.is_absolute():
        cache = Path.home() / ".cache"
    lock_sum = hashlib.sha256(lock_file.read_bytes()).hexdigest()
    return cache / "mise-voice" / f"kafka-{KAFKA_VERSION}-{lock_sum[:12]}"


def sha256_of(path: Path) -> str | None:
    """The SHA-256 sum of a file in hexadecimal; None when there is no such file."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def verified_class_path(jars: Sequence[Jar], folder: Path) -> list[Path]:
    """The paths of the jars in `folder`, each read and found to have its locked sum (80 ms for 45 MB).

    Raises Misconfigured naming the first jar that is missing or different, both sums, and what to do.
    """
    paths = []
    for jar in jars:
        path = folder / jar.file_name
        found = sha256_of(path)
        if found is None:
            raise Misconfigured(f"{path} is missing (the jar {jar} of Apache Kafka); fetch it: {FETCH_COMMAND}")
        if found != jar.sha256:
            raise Misconfigured(
                f"{path} is not the jar {jar} of the lock file: its SHA-256 is {found}, expected {jar.sha256}; "
                f"if nobody changed it on purpose, fetch it again: {FETCH_COMMAND}"
            )
        paths.append(path)
    return paths
