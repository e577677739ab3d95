"""The embedded Kafka as its users see it: records and offsets that stay, and errors that a person can act on."""

import asyncio
import gc
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import uuid
import warnings
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from deploy.embedded.kafka import (
    KafkaConfig,
    RunningKafka,
    prepare,
    running_kafka,
    start,
    stop,
    wait_until_ready,
)
from deploy.embedded.kafka.failure import RUN_MARK
from deploy.embedded.kafka.fetch import fetch
from deploy.embedded.kafka.jars import Jar, cache_folder, read_lock, verified_class_path
from deploy.embedded.kafka.storage import refuse_folder_in_use
from deploy.embedded.ports import LOOPBACK, free_port
from schemas.errors import Misconfigured, Unavailable

JARS = cache_folder()
TOPIC = "turns"
DEADLINE_S = 20.0


@pytest.fixture(scope="module")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningKafka]:
    """One broker for the tests that need a broker, any."""
    async with running_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


async def make_topic(bootstrap: str, topic: str, settings: dict[str, str] | None = None) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1, topic_configs=settings)])
    finally:
        await admin.close()


async def send(bootstrap: str, *values: bytes, topic: str = TOPIC) -> None:
    """As our stages send: idempotent, acknowledged by all replicas."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=2 * 1024 * 1024
    ) as producer:
        for value in values:
            await producer.send_and_wait(topic, value)


async def read(bootstrap: str, count: int, *, topic: str = TOPIC, group: str = "stage") -> list[bytes]:
    """The next records of the group; all but the last are committed. No more are there when fewer come back."""
    async with AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=2 * 1024 * 1024,
    ) as consumer:
        async with asyncio.timeout(DEADLINE_S):
            records = [await consumer.getone() for _ in range(count)]
        await consumer.commit({TopicPartition(topic, 0): records[-1].offset})
    return [record.value for record in records]


# --- what it keeps


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
async def test_records_and_offsets_survive_a_restart_on_other_ports(tmp_path: Path, end: signal.Signals) -> None:
    async with running_kafka(tmp_path) as before:
        await make_topic(before.bootstrap, TOPIC)
        await send(before.bootstrap, b"first", b"second")
        assert await read(before.bootstrap, 2) == [b"first", b"second"]
        before.process.send_signal(end)
        async with asyncio.timeout(DEADLINE_S):
            await before.process.wait()
    async with running_kafka(tmp_path) as after:
        assert {after.config.port, after.config.controller_port}.isdisjoint(
            {before.config.port, before.config.controller_port}
        )
        await send(after.bootstrap, b"third")
        assert await read(after.bootstrap, 2) == [b"second", b"third"]


async def test_clean_stop_is_clean_with_clients_connected(tmp_path: Path) -> None:
    """Within the grace that is given, or a SIGKILL would have followed and the next start would check segments."""
    config = KafkaConfig.in_folder(tmp_path)
    process = await start(config)
    try:
        await wait_until_ready(config, alive=lambda: process.returncode is None)
        await make_topic(config.bootstrap, TOPIC)
        async with AIOKafkaProducer(bootstrap_servers=config.bootstrap) as producer:
            await producer.send_and_wait(TOPIC, b"a record")
            assert await stop(process)
    finally:
        await stop(process, grace_s=0)
    assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()
    assert (tmp_path / "tmp").is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []


async def test_largest_record_fits(kafka: RunningKafka) -> None:
    await make_topic(kafka.bootstrap, "large")
    largest = b"x" * 900_000
    await send(kafka.bootstrap, largest, topic="large")
    assert await read(kafka.bootstrap, 1, topic="large", group="large") == [largest]


async def test_topics_are_not_made_by_being_named(kafka: RunningKafka) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, request_timeout_ms=500) as producer:
        with pytest.raises(UnknownTopicOrPartitionError):
            await producer.partitions_for("misspelt")


async def test_codecs_are_unpacked_in_the_data_folder(kafka: RunningKafka) -> None:
    """The system's temporary folder may forbid execution, and a kill -9 would leave them there."""
    await make_topic(kafka.bootstrap, "compressed", {"compression.type": "lz4"})
    await send(kafka.bootstrap, b"a record that the broker compresses", topic="compressed")
    assert [path.name for path in (kafka.config.data_dir / "tmp").iterdir() if "lz4" in path.name]


async def test_listens_on_loopback_only(kafka: RunningKafka) -> None:
    """A server on all addresses would leave no other address of this machine to bind."""
    for port in (kafka.config.port, kafka.config.controller_port):
        with socket.socket(socket.AF_INET6) as every_address:
            every_address.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            every_address.bind(("::", port))


async def test_log_is_quiet(kafka: RunningKafka) -> None:
    """A start and a stop are two lines each of a log that a person will read; errors stand out."""
    printed = kafka.config.log_file.read_text("utf-8")
    assert printed.startswith(RUN_MARK)
    assert "ERROR" not in printed
    assert len(printed.splitlines()) < 10


# --- when it is ready


async def test_silent_listener_is_not_ready(tmp_path: Path) -> None:
    """An open port is not a broker."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        config = KafkaConfig(tmp_path, silent.getsockname()[1], free_port(), tmp_path / "kafka.log")
        with pytest.raises(Unavailable, match=rf"Kafka at {config.bootstrap} does not serve after 0.3 s; its log is "):
            await wait_until_ready(config, alive=lambda: True, deadline_s=0.3)


async def test_end_of_the_process_is_noticed_at_once(tmp_path: Path) -> None:
    """Also while something else answers at the port, or keeps silent there."""
    with socket.create_server((LOOPBACK, 0)) as silent:
        config = KafkaConfig(tmp_path, silent.getsockname()[1], free_port(), tmp_path / "kafka.log")
        config.log_file.write_text(f"{RUN_MARK}now\nx ERROR y\njava.lang.IllegalStateException: the cause\n")
        async with asyncio.timeout(2):
            with pytest.raises(Unavailable, match=r"failed: Kafka: java.lang.IllegalStateException: the cause\n"):
                await wait_until_ready(config, alive=lambda: False)


async def test_port_taken_between_check_and_start_is_named(tmp_path: Path) -> None:
    config = KafkaConfig.in_folder(tmp_path)
    command = await asyncio.to_thread(prepare, config)
    with socket.create_server((LOOPBACK, config.port)), config.log_file.open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=log, stderr=log)
        try:
            with pytest.raises(Misconfigured, match=rf"port {config.port} of 127.0.0.1 is taken .* \[Kafka: "):
                await wait_until_ready(config, alive=lambda: process.returncode is None)
        finally:
            await stop(process, grace_s=0)


# --- what it refuses to start on


@pytest.mark.parametrize("which", ["port", "controller_port"])
def test_taken_port_is_named(tmp_path: Path, which: str) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        taken: int = other.getsockname()[1]
        ports = {"port": free_port(), "controller_port": free_port(), which: taken}
        with pytest.raises(Misconfigured, match=rf"port {taken} of 127.0.0.1 is taken by another program; .*lsof"):
            prepare(KafkaConfig(tmp_path, **ports, log_file=tmp_path / "kafka.log"))


async def test_folder_of_a_running_broker_is_refused_and_left_alone(kafka: RunningKafka) -> None:
    settings = kafka.config.data_dir / "server.properties"
    before = settings.read_bytes()
    with pytest.raises(Misconfigured, match=f"another Kafka broker is running on {kafka.config.data_dir}; stop it"):
        prepare(KafkaConfig.in_folder(kafka.config.data_dir))
    assert settings.read_bytes() == before


@pytest.mark.parametrize(
    ("files", "what"),
    [
        pytest.param({}, "meta.properties is missing", id="empty"),
        pytest.param({"turns-0/0.log": "x"}, "meta.properties is missing", id="records without meta.properties"),
        pytest.param(
            {"meta.properties": "version=1\nnode.id=1\ncluster.id=a\n"},
            "__cluster_metadata-0 holds no checkpoint",
            id="no cluster metadata",
        ),
        pytest.param(
            {"meta.properties": "version=0\nbroker.id=1\n"},
            "meta.properties has {'version': '0', 'node.id': None}, expected {'version': '1', 'node.id': '1'}",
            id="of another kind of broker",
        ),
    ],
)
def test_damaged_folder_is_refused_and_left_alone(tmp_path: Path, files: dict[str, str], what: str) -> None:
    folder = tmp_path / "log"
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    with pytest.raises(Misconfigured) as refused:
        prepare(KafkaConfig.in_folder(tmp_path))
    assert str(refused.value) == (
        f"{folder} is not a complete Kafka folder: {what}. Restore it from a copy, or, if nothing in it is needed, "
        f"start empty: rm -r {folder}"
    )
    assert {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()} == files


def test_formatting_that_was_cut_short_is_repeated(tmp_path: Path) -> None:
    """A kill -9 in the middle of the first start; no record was ever in it."""
    half = tmp_path / "log.formatting"
    half.mkdir()
    (half / "meta.properties").write_text("version=1\n")
    prepare(KafkaConfig.in_folder(tmp_path))
    assert not half.exists()
    assert "node.id=1" in (tmp_path / "log" / "meta.properties").read_text()


def test_cluster_id_may_begin_with_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One in 64 does: Kafka's tool then took it for an option."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(bytes=b"\xf8" * 16))
    prepare(KafkaConfig.in_folder(tmp_path))
    assert "cluster.id=-" in (tmp_path / "log" / "meta.properties").read_text()


def test_folder_of_a_newer_kafka_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "formatted-by").write_text("4.10.0\n")
    with pytest.raises(Misconfigured, match=r"was made by Kafka 4\.10\.0, which 4\.4\.0 can't read; run the version"):
        prepare(KafkaConfig.in_folder(tmp_path))


def test_full_disk_is_said_before_the_start(tmp_path: Path) -> None:
    with tiny_disk(tmp_path / "disk", size="8m") as disk:
        with pytest.raises(Misconfigured, match=r"can't be written: its disk has 8 MiB left, 64 MiB are needed; make"):
            prepare(KafkaConfig.in_folder(disk / "kafka"))
        (disk / "filler").write_bytes(bytes(shutil.disk_usage(disk).free))
        with pytest.raises(Misconfigured, match=r"can't be written: (No space left|its disk has 0 MiB left)"):
            prepare(KafkaConfig.in_folder(disk / "other"))


@contextmanager
def tiny_disk(folder: Path, *, size: str) -> Iterator[Path]:
    """A file system of this size; skips the test where this process may not mount one."""
    folder.mkdir()
    mount, unmount = shutil.which("mount"), shutil.which("umount")
    if not (mount and unmount and sys.platform.startswith("linux") and os.geteuid() == 0):
        pytest.skip("a tiny file system can only be mounted by root, on Linux")
    done = subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"a tiny file system can't be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run([unmount, str(folder)], check=True)


# --- the jars


@pytest.fixture
def copied_jars(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, with the jars linked into it: replace a file there, never write to one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    copy = cache_folder()
    shutil.copytree(JARS, copy, copy_function=link_or_copy, ignore=shutil.ignore_patterns("*.aot"))
    return copy


def link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def replace(path: Path, content: bytes) -> str:
    """Put another file in the place of `path`; the sum of its content."""
    path.unlink()
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def locked(artifact: str) -> Jar:
    return next(jar for jar in read_lock() if jar.artifact == artifact)


def test_tampered_jar_is_not_run(copied_jars: Path, tmp_path: Path) -> None:
    raft = locked("kafka-raft")
    path = copied_jars / raft.file_name
    found = replace(path, path.read_bytes() + b"!")
    with pytest.raises(Misconfigured, match=rf"{path} is not the jar .* is {found}, expected {raft.sha256}; .* fetch"):
        prepare(KafkaConfig.in_folder(tmp_path / "data"))


def test_missing_jar_is_named(copied_jars: Path, tmp_path: Path) -> None:
    path = copied_jars / locked("kafka-clients").file_name
    path.unlink()
    with pytest.raises(Misconfigured, match=rf"{path} is missing .*; fetch it: python -m deploy.embedded.kafka fetch"):
        prepare(KafkaConfig.in_folder(tmp_path / "data"))


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository on loopback, named in the user's settings for jgo; the local one is empty."""
    root = tmp_path / "mirror"
    root.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest's output is for tests."""

    with ThreadingHTTPServer((LOOPBACK, 0), partial(Quiet, directory=str(root))) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        settings = tmp_path / "home" / ".config" / "jgo.conf"
        settings.parent.mkdir(parents=True)
        settings.write_text(f"[repositories]\ncentral = http://{LOOPBACK}:{server.server_port}\n")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("M2_REPO", str(tmp_path / "repository"))
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield root
        server.shutdown()


def offer(jar: Jar, repository: Path, content: bytes) -> None:
    """Put a jar where a Maven repository has it."""
    path = repository / jar.group.replace(".", "/") / jar.artifact / jar.version / jar.file_name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_fetch_mends_what_is_missing_or_tampered(copied_jars: Path, mirror: Path, tmp_path: Path) -> None:
    """One from the mirror, one from the local repository; the others are not asked for: the mirror has no others."""
    raft, argparse = locked("kafka-raft"), locked("argparse4j")
    for jar, repository in ((raft, mirror), (argparse, tmp_path / "repository")):
        offer(jar, repository, (copied_jars / jar.file_name).read_bytes())
    replace(copied_jars / raft.file_name, b"tampered")
    (copied_jars / argparse.file_name).unlink()

    assert fetch(read_lock(), copied_jars) == 2
    assert len(verified_class_path(read_lock(), copied_jars)) == len(read_lock())
    assert fetch(read_lock(), copied_jars) == 0
    assert [path.name for path in copied_jars.iterdir() if path.suffix != ".jar"] == []


def test_fetched_jar_that_differs_from_the_lock_is_refused(copied_jars: Path, mirror: Path) -> None:
    raft = locked("kafka-raft")
    offer(raft, mirror, b"another")
    (copied_jars / raft.file_name).unlink()
    found = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(Misconfigured, match=rf"kafka-raft:4.4.0 as downloaded has .* {found}, expected {raft.sha256}"):
        fetch(read_lock(), copied_jars)
    assert not (copied_jars / raft.file_name).exists()


@pytest.mark.usefixtures("mirror")
def test_jar_that_no_repository_has_is_named(copied_jars: Path) -> None:
    (copied_jars / locked("kafka-raft").file_name).unlink()
    with pytest.raises(
        Unavailable, match=r"kafka-raft:4.4.0 can't be downloaded: .*jgo\.conf, section \[repositories\]"
    ):
        fetch(read_lock(), copied_jars)
    with warnings.catch_warnings():  # jgo leaves the answer "404" open; collected here, not in some later test
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


# --- on the command line


async def run_in_foreground(data_dir: Path) -> tuple[asyncio.subprocess.Process, str]:
    """`python -m deploy.embedded.kafka run`, and the line it says when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "deploy.embedded.kafka", "run", "--data", str(data_dir), stdin=DEVNULL, stderr=PIPE
    )
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE_S):
        return process, (await process.stderr.readline()).decode()


async def test_run_serves_until_it_is_interrupted(tmp_path: Path) -> None:
    process, said = await run_in_foreground(tmp_path)
    assert said.startswith("Kafka 4.4.0 is ready at 127.0.0.1:")
    process.send_signal(signal.SIGINT)
    _, rest = await asyncio.wait_for(process.communicate(), DEADLINE_S)
    assert (process.returncode, rest) == (0, b"")
    assert (tmp_path / "log" / ".kafka_cleanshutdown").exists()


async def test_broker_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    process, said = await run_in_foreground(tmp_path)
    assert "is ready" in said
    process.kill()
    await process.communicate()
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(Misconfigured):
                refuse_folder_in_use(tmp_path)
                return
            await asyncio.sleep(0.02)


async def test_run_says_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    process, said = await run_in_foreground(tmp_path)
    await process.communicate()
    assert process.returncode == 1
    assert said.startswith(f"{tmp_path / 'log'} is not a complete Kafka folder: ")
