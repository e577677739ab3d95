"""Brings the jars of Apache Kafka onto this machine, and writes the lock that says which ones.

Both go through jgo, so through the repositories, mirrors and folders that the user configured for it
(`~/.config/jgo.conf`, M2_REPO, HTTPS_PROXY). Fetching resolves nothing: it downloads exactly what is locked.
"""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.embedded.kafka.jars import KAFKA_VERSION, LOCK_COMMAND, LOCK_FILE, Jar, refuse_mixture, sha256_of
from schemas.errors import Misconfigured, Unavailable

if TYPE_CHECKING:  # jgo is imported where it works: it takes 0.3 s, which a fetch with nothing to do need not pay
    from jgo.env import LockedDependency
    from jgo.maven import MavenContext

# slf4j-simple is Kafka's log: small and configured by system properties. With a log4j binding in its place the
# resolver settles on an old kafka-clients.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"

# Most of the jars are small, so their time is a round trip: six at once, which a repository takes for one client.
PARALLEL_DOWNLOADS = 6
# How long a repository may say nothing. jgo's 10 s are short for a mirror that fetches the jar itself first.
DOWNLOAD_TIMEOUT_S = 60

LOCK_HEADER = f"""\
# The class path of the embedded Kafka: SHA-256 sum, then group:artifact:version, a line a jar.
# Resolved from {ENDPOINT}
# by: {LOCK_COMMAND}
"""


def fetch(jars: Sequence[Jar], folder: Path) -> int:
    """Put into `folder` each locked jar that is not there as it should be; returns how many were brought.

    A jar is taken from the local Maven repository when it lies there with the right sum, else downloaded. It
    appears in `folder` complete and verified or not at all, so a broken download leaves nothing behind, and two
    fetches may run at once. A jar that is there with a wrong sum is replaced.

    Raises Misconfigured when a jar as published differs from the lock or the folder can't be written,
    Unavailable when a download fails.
    """
    missing = [jar for jar in jars if sha256_of(folder / jar.file_name) != jar.sha256]
    if not missing:
        return 0
    from jgo.config import GlobalSettings  # noqa: PLC0415

    local_repository = Path(GlobalSettings.load().repo_cache)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as scratch:
            arriving = _download_context(Path(scratch))
            with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
                bringing = [pool.submit(_bring, jar, local_repository, arriving, folder) for jar in missing]
                try:
                    for count, brought in enumerate(as_completed(bringing), start=1):
                        brought.result()
                        _show_progress(count, len(missing))
                except BaseException:
                    pool.shutdown(cancel_futures=True)  # one failure is enough: don't download the rest first
                    raise
    except OSError as error:
        raise Misconfigured(
            f"{folder} can't be written: {error.strerror}; make room or mend its permissions, "
            "or name another cache folder in XDG_CACHE_HOME"
        ) from error
    return len(missing)


def write_lock(lock_file: Path = LOCK_FILE) -> tuple[Jar, ...]:
    """Resolve ENDPOINT anew, from the repositories, and write its jars and their sums to `lock_file`.

    For maintainers: what it trusts is what the repositories say today, never what lies on this machine. Raises
    Misconfigured when Kafka's jars are not all of one version, Unavailable when the resolution fails; the old lock
    then stays.
    """
    from jgo.env import EnvironmentBuilder, LinkStrategy  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as scratch, _downloading(ENDPOINT):
        builder = EnvironmentBuilder(
            context=_download_context(Path(scratch, "repository")),
            cache_dir=Path(scratch, "cache"),
            link_strategy=LinkStrategy.COPY,
        )
        lock = builder.from_endpoint(ENDPOINT).lockfile
    jars = sorted(_jar_of(dependency) for dependency in lock.dependencies) if lock else []
    refuse_mixture(jars)
    lock_file.write_text(LOCK_HEADER + "".join(f"{jar.sha256}  {jar}\n" for jar in jars), "utf-8")
    return tuple(jars)


def _jar_of(dependency: "LockedDependency") -> Jar:
    if dependency.packaging != "jar" or dependency.classifier or not dependency.sha256:
        raise Misconfigured(
            f"{dependency} is not a plain jar with a sum; the lock has no place for it, nor has {ENDPOINT}"
        )
    return Jar(dependency.artifactId, dependency.groupId, dependency.version, dependency.sha256)


def _bring(jar: Jar, local_repository: Path, arriving: "MavenContext", folder: Path) -> None:
    """One jar into `folder`, by way of the scratch folder of `arriving` (a jgo context, see _download_context)."""
    artifact = arriving.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    scratch = arriving.repo_cache / artifact.component.path_prefix / jar.file_name
    local = local_repository / artifact.component.path_prefix / jar.file_name
    if sha256_of(local) == jar.sha256:
        scratch.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(local, scratch)
    else:
        with _downloading(str(jar)):
            artifact.resolve()
    found = sha256_of(scratch)
    if found != jar.sha256:
        raise Misconfigured(
            f"{jar} as downloaded has the SHA-256 sum {found}, expected {jar.sha256} ({LOCK_FILE.name}); "
            "a proxy or mirror in between may have changed it: try another network or another repository"
        )
    scratch.replace(folder / jar.file_name)  # atomic: both lie on one file system


def _download_context(scratch: Path) -> "MavenContext":
    """A jgo context that downloads below `scratch`.

    Not into the local Maven repository: jgo writes a jar there in place, so one that was cut off halfway would
    be taken for the jar ever after.
    """
    from jgo.maven import MavenContext  # noqa: PLC0415

    return MavenContext(repo_cache=scratch, remote_repos=_repositories(), timeout=DOWNLOAD_TIMEOUT_S)


def _repositories() -> dict[str, str]:
    """The user's repositories of jgo's settings before jgo's default one (jgo.build alone ignores them).

    First, so that a company's mirror is asked where the default can't be reached; a repository that the user
    names "central" takes the default's place.
    """
    from jgo.config import GlobalSettings  # noqa: PLC0415
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415

    repositories: dict[str, str] = GlobalSettings.load().repositories
    return {**repositories, "central": repositories.get("central", MAVEN_CENTRAL_URL)}


@contextlib.contextmanager
def _downloading(what: str) -> Iterator[None]:
    """Turns what jgo and requests raise (RuntimeError for "not found", OSError for the network) into Unavailable."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        raise Unavailable(
            f"{what} can't be downloaded: {error}; check the network and HTTPS_PROXY, or name a repository "
            "that can be reached in ~/.config/jgo.conf, section [repositories]"
        ) from error


def _show_progress(count: int, total: int) -> None:
    if sys.stderr.isatty():
        end = "\n" if count == total else ""
        print(f"\r  {count} of {total} jars", end=end, file=sys.stderr, flush=True)
