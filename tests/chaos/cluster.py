"""Three Kafka brokers as one cluster: what stands on in production when a broker goes. Each is a process of its own."""

from __future__ import annotations

import subprocess
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from deploy.embedded import kafka
from deploy.embedded.kafka import KafkaConfig
from deploy.embedded.kafka.broker import settings_for
from deploy.embedded.kafka.jars import cache_folder, read_lock, verified_class_path
from deploy.embedded.kafka.java import find_java, options_file, start_up_cache
from deploy.embedded.ports import LOOPBACK
from deploy.supervisor import Alive, Service

BROKERS = 3


def brokers_of(folder: Path) -> tuple[str, list[Service]]:
    """Where clients begin (host:port,…), and the brokers, which stand on each other: start them together."""
    configs = [KafkaConfig.in_folder(folder / f"kafka-{number}") for number in range(1, BROKERS + 1)]
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    services = [
        Service(
            config.data_dir.name,
            partial(_command, number, configs, cluster),
            partial(_ready, config),
            config.log_file,
            {},
        )
        for number, config in enumerate(configs, 1)
    ]
    return ",".join(config.bootstrap for config in configs), services


def _command(number: int, configs: Sequence[KafkaConfig], cluster: str) -> Sequence[str]:
    """The broker's command line; its folder is formatted the first time."""
    config = configs[number - 1]
    data = config.data_dir
    options, settings, scratch, log = (data / name for name in ("java.options", "server.properties", "tmp", "log"))
    scratch.mkdir(parents=True, exist_ok=True)
    java, version = find_java()
    jars = cache_folder()
    class_path = verified_class_path(read_lock(), jars)
    options.write_text(options_file(class_path, start_up_cache(jars, version), scratch=scratch), "utf-8")
    settings.write_text("".join(f"{key}={value}\n" for key, value in _settings(number, configs, log).items()), "ascii")
    command = [str(java), f"@{options}"]
    if not log.exists():
        tool = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(settings)]
        subprocess.run([*command, *tool], check=True, capture_output=True)
    return [*command, "kafka.Kafka", str(settings)]


def _settings(number: int, configs: Sequence[KafkaConfig], log: Path) -> Mapping[str, object]:
    """Those of the embedded broker, but for what a cluster has and one node has not."""
    voters = (f"{node}@{LOOPBACK}:{config.controller_port}" for node, config in enumerate(configs, 1))
    settings = {
        **settings_for(configs[number - 1], log),
        "node.id": number,
        "controller.quorum.voters": ",".join(voters),
        "min.insync.replicas": BROKERS - 1,
        # Longer than a busy machine keeps a broker waiting: one that is fenced hands over its partitions.
        "broker.session.timeout.ms": 6_000,
        "broker.heartbeat.interval.ms": 1_000,
        **{
            f"{topic}.replication.factor": BROKERS
            for topic in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
        },
    }
    del settings["controller.quorum.bootstrap.servers"]  # of voters that are found out
    return settings


async def _ready(config: KafkaConfig, _: int, alive: Alive) -> None:
    await kafka.wait_until_ready(config, alive=alive)
