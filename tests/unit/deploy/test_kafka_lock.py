"""The lock of Kafka's jars: what it holds, and what is refused."""

import hashlib
import re
from pathlib import Path

import pytest

from deploy.embedded.kafka.jars import KAFKA_VERSION, LOCK_FILE, Jar, read_lock, refuse_mixture, verified_class_path
from schemas.errors import Misconfigured

SUM = "0" * 64


def jar(artifact: str, version: str = KAFKA_VERSION, group: str = "org.apache.kafka", content: bytes = b"") -> Jar:
    return Jar(artifact, group, version, hashlib.sha256(content).hexdigest())


def test_committed_lock_is_a_class_path_of_one_kafka() -> None:
    jars = read_lock()
    assert {it.version for it in jars if it.group == "org.apache.kafka"} == {KAFKA_VERSION}
    assert {"kafka_2.13", "kafka-clients", "kafka-raft", "slf4j-simple"} <= {it.artifact for it in jars}
    assert len({it.artifact for it in jars}) == len(jars), "an artifact in two versions: the first would win"
    assert list(jars) == sorted(jars)


def test_committed_lock_names_no_address() -> None:
    """Where jars come from is the user's setting."""
    assert not re.search(r"://|www\.|\.com\b", LOCK_FILE.read_text("utf-8"))


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f"{SUM} org.apache.kafka:kafka-raft:{KAFKA_VERSION}", id="one space"),
        pytest.param(f"{SUM[1:]}  org.apache.kafka:kafka-raft:{KAFKA_VERSION}", id="short sum"),
        pytest.param(f"{SUM}  kafka-raft:{KAFKA_VERSION}", id="no group"),
        pytest.param(f"{SUM}  ../up:kafka-raft:{KAFKA_VERSION}", id="a path"),
        pytest.param(f"{SUM}  org.apache.kafka:kafka-raft:{KAFKA_VERSION} # why", id="comment behind"),
    ],
)
def test_line_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    lock = tmp_path / "kafka.lock"
    lock.write_text(f"# a comment\n\n{SUM}  org.apache.kafka:kafka-raft:{KAFKA_VERSION}\n{line}\n")
    with pytest.raises(Misconfigured, match=r"kafka\.lock, line 4: .* is not '<sha256>  <group>:<artifact>:<version>'"):
        read_lock(lock)


def test_missing_lock_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"can't be read: No such file.*restore it from git"):
        read_lock(tmp_path / "kafka.lock")


def test_mixture_of_versions_is_refused() -> None:
    with pytest.raises(Misconfigured, match=rf"all be of version {KAFKA_VERSION}, found \S+:kafka-clients:3.4.0;"):
        refuse_mixture([jar("kafka-raft"), jar("kafka-clients", "3.4.0"), jar("slf4j-api", "1.7.36", "org.slf4j")])
    with pytest.raises(Misconfigured, match="found none"):
        refuse_mixture([jar("slf4j-api", "1.7.36", "org.slf4j")])


def test_class_path_is_what_the_lock_says(tmp_path: Path) -> None:
    jars = [jar("a", content=b"first"), jar("b", content=b"second")]
    first, second = (tmp_path / it.file_name for it in jars)

    first.write_bytes(b"first")
    with pytest.raises(Misconfigured, match=rf"{second} is missing .*fetch it: python -m"):
        verified_class_path(jars, tmp_path)
    second.write_bytes(b"changed")
    changed, expected = hashlib.sha256(b"changed").hexdigest(), jars[1].sha256
    with pytest.raises(Misconfigured, match=rf"{second} is not the jar .*is {changed}, expected {expected}; .*fetch"):
        verified_class_path(jars, tmp_path)
    second.write_bytes(b"second")
    assert verified_class_path(jars, tmp_path) == [first, second]
