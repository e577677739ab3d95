"""What the broker is started with: its settings, the formatted folder, the command line."""

import shutil
import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.embedded.kafka.failure import RUN_MARK, failure_in, log_of_this_run, not_writable, port_taken
from deploy.embedded.kafka.jars import KAFKA_VERSION, cache_folder, read_lock, verified_class_path
from deploy.embedded.kafka.java import find_java, options_file, start_up_cache
from deploy.embedded.kafka.storage import NODE_ID, ensure_formatted, log_folder, refuse_folder_in_use
from deploy.embedded.ports import LOOPBACK, free_port, is_free
from schemas.errors import Misconfigured, MiseError

# A log file of this size is put aside at the next start (one is kept). A run without trouble writes three lines.
MAX_LOG_FILE_BYTES = 8 * 1024 * 1024
# A broker on a disk with less starts, and ends with the first records: each partition's first files take some.
MIN_FREE_BYTES = 64 * 1024 * 1024
# Formatting takes 0.5 s, 1.6 s without a start-up cache; the rest is for machines that are busy.
FORMAT_TIMEOUT_S = 60


@dataclass(frozen=True)
class KafkaConfig:
    """Where a broker of our own keeps its data and listens.

    data_dir : made if missing, kept across runs; the ports may differ from run to run.
    port, controller_port : on 127.0.0.1; clients use the first, the broker alone the second.
    log_file : takes what the broker prints, and keeps it across runs.
    """

    data_dir: Path
    port: int
    controller_port: int
    log_file: Path

    @property
    def bootstrap(self) -> str:
        """What clients are given as their bootstrap server."""
        return f"{LOOPBACK}:{self.port}"

    @classmethod
    def in_folder(cls, data_dir: Path, port: int | None = None) -> "KafkaConfig":
        """With the log file inside `data_dir`, and free ports for those not given."""
        broker_port = free_port() if port is None else port
        controller_port = free_port()
        if controller_port == broker_port:
            controller_port = free_port()
        return cls(data_dir, broker_port, controller_port, data_dir / "kafka.log")


def prepare(config: KafkaConfig) -> list[str]:
    """Make everything ready for a start and return the broker's command line.

    Verifies the jars, formats the data folder if it is new, writes the settings. It blocks for 0.1 s, 0.5 to 2 s
    more the first time: keep it off an event loop. Whoever runs the command appends its output to
    `config.log_file` and waits with `wait_until_ready`, which reads that file if the broker ends.

    Raises Misconfigured: a jar missing or different, no Java, a port taken, the folder in use, damaged, made by a
    newer Kafka or not writable, the disk full.
    """
    java, java_version = find_java()
    jars = cache_folder()
    class_path = verified_class_path(read_lock(), jars)
    data_dir = config.data_dir.absolute()
    if "," in str(data_dir):
        raise Misconfigured(f"{data_dir}: Kafka takes a comma in a folder's name for two folders; choose another")
    refuse_folder_in_use(data_dir)
    for port in (config.port, config.controller_port):
        if not is_free(port):
            raise Misconfigured(port_taken(port))

    settings, options, scratch = (data_dir / name for name in ("server.properties", "java.options", "tmp"))
    command = [str(java), f"@{options}"]
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        if (free := shutil.disk_usage(data_dir).free) < MIN_FREE_BYTES:
            cause = f"its disk has {free // 2**20} MiB left, {MIN_FREE_BYTES // 2**20} MiB are needed"
            raise Misconfigured(not_writable(data_dir, cause))
        options.write_text(options_file(class_path, start_up_cache(jars, java_version), scratch=scratch), "utf-8")

        def format_folder(folder: Path) -> None:
            _write_settings(settings, config, folder)
            _format(command, settings)

        ensure_formatted(data_dir, format_folder)
        _write_settings(settings, config, log_folder(data_dir))
        _begin_log(config)
    except OSError as error:
        raise Misconfigured(not_writable(data_dir, error.strerror or str(error))) from error
    return [*command, "kafka.Kafka", str(settings)]


def why_ended(config: KafkaConfig, *, what: str) -> MiseError:
    """The error for a broker that ended without being asked to, from the log of its latest run.

    what : what was tried, such as "starting Kafka". Misconfigured with the way out for a trouble we know, else
    Unavailable.
    """
    printed = log_of_this_run(config.log_file)
    failure = failure_in(printed, what=f"{what} at {config.bootstrap}", data_dir=config.data_dir)
    failure.add_note(f"Its log: {config.log_file}")
    return failure


def settings_for(config: KafkaConfig, log_dir: Path) -> Mapping[str, object]:
    """Kafka's settings for one broker that is its own controller.

    Topics are made by us, explicitly; their settings are not here.
    """
    return {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        # The controller's address is written into the metadata when a folder is formatted; the node updates it
        # itself when it comes back on another port.
        "listeners": f"CLIENTS://{LOOPBACK}:{config.port},CONTROLLER://{LOOPBACK}:{config.controller_port}",
        "listener.security.protocol.map": "CLIENTS:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "CLIENTS",
        "controller.listener.names": "CONTROLLER",
        "controller.quorum.bootstrap.servers": f"{LOOPBACK}:{config.controller_port}",
        "log.dirs": log_dir,
        # A misspelt topic is an error, not a new topic.
        "auto.create.topics.enable": "false",
        # Our records are up to 900 kB before headers and framing; clients' batches may hold several.
        "message.max.bytes": 2 * 1024 * 1024,
        # A group with its first member would wait 3 s for a second one.
        "group.initial.rebalance.delay.ms": 0,
        # After a kill -9 the controller, in the same process, lets the broker in again only when the session of
        # its former self has run out: with Kafka's 9 s a restart took 11 s, with these 3 s. The price: when the
        # process stands still for longer (SIGSTOP, a starved machine), its clients retry for half a second.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        # Kafka forgets a group's offsets 7 days after its last member left, and the stage would then begin anew.
        # Longer than the longest retention of ours (dead letters, 90 days).
        "offsets.retention.minutes": 100 * 24 * 60,
        # One node: one replica of everything. Few partitions: each is files to open at every start.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 2,
        # 128 MiB of a 512 MiB heap by default, for 5 million keys; ours are some thousands.
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }


def _write_settings(path: Path, config: KafkaConfig, log_dir: Path) -> None:
    """As Java reads properties: ISO 8859-1, other letters as \\uXXXX (a home folder may have any), \\ doubled."""
    text = "".join(f"{key}={value}\n" for key, value in settings_for(config, log_dir).items())
    utf16 = text.replace("\\", "\\\\").encode("utf-16-be")
    units = [int.from_bytes(utf16[at : at + 2], "big") for at in range(0, len(utf16), 2)]
    path.write_text("".join(chr(unit) if chr(unit).isascii() else f"\\u{unit:04x}" for unit in units), "ascii")


def _format(command: Sequence[str], settings: Path) -> None:
    # With "=": one in 64 begins with a dash, and would be taken for an option.
    cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    tool = ["kafka.tools.StorageTool", "format", "--standalone", f"--cluster-id={cluster_id}", "-c", str(settings)]
    done = subprocess.run(  # noqa: S603  (Java, with arguments of our own making)
        [*command, *tool],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=FORMAT_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise failure_in(done.stdout, what="formatting Kafka's data folder", data_dir=settings.parent)


def _begin_log(config: KafkaConfig) -> None:
    """Write the line that separates this run's log from earlier ones; put a log aside that has become long."""
    log_file = config.log_file
    log_file.parent.mkdir(parents=True, exist_ok=True)
    if log_file.exists() and log_file.stat().st_size > MAX_LOG_FILE_BYTES:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))
    with log_file.open("a", encoding="utf-8") as log:
        log.write(f"{RUN_MARK}{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}, Kafka {KAFKA_VERSION} on {config.bootstrap}\n")
