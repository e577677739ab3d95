"""The Faust app of a stage: one app is one consumer group and one process.

Settings that differ from Faust's defaults say why; they were read from faust-streaming 0.15.3.
"""

from __future__ import annotations

import os
from typing import Any

import faust
from faust.types.auth import CredentialsT

from agents import fast
from agents.pool import TRIES
from pipeline.kafka.client import brokers, ssl_context
from pipeline.settings import Settings
from schemas.topics import MAX_RECORD_BYTES

SESSION_TIMEOUT_S = 10.0
"""How long a stage may be silent until its partitions go to another; the default of 60 s is that long an outage."""

METADATA_MAX_AGE_MS = 10_000
"""How long a stage may go without asking which topics and partitions there are."""

LONGEST_POLL_INTERVAL_S = 24 * 60 * 60.0


def poll_interval_s(settings: Settings) -> float:
    """How long a stage may be at its records before its partitions go to another, which would begin them anew.

    A batch of turns that all take as long to measure as one may is slow, and not dead: that is what the session tells.
    """
    longest_batch_s = settings.batch_records * TRIES * settings.features_timeout_s / settings.features_processes
    return min(2 * longest_batch_s, LONGEST_POLL_INTERVAL_S)


def group_id(stage: str) -> str:
    """Consumer group of a stage."""
    return f"mise-voice-{stage}"


def client_id(stage: str, pid: int) -> str:
    """Client id of a stage's process: tells the group's members apart by process."""
    return f"mise-voice-{stage}-{pid}"


def create_app(settings: Settings, stage: str) -> faust.App:
    """The app of a stage, without agents. Raises Misconfigured when the fast path does not fit the installed Faust."""
    scheme = "kafka"
    ours: dict[str, Any] = {}
    if settings.faust_fast_path:
        fast.check_version()
        scheme = fast.SCHEME
        ours["TableManager"] = fast.NoTables
    # Faust makes the folder of an app, but not the one that it lies in.
    data_dir = settings.data_dir / "faust"
    data_dir.mkdir(parents=True, exist_ok=True)
    return faust.App(
        group_id(stage),
        broker=[f"{scheme}://{broker}" for broker in brokers(settings)],
        broker_client_id=client_id(stage, os.getpid()),
        broker_credentials=_credentials(settings),
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=3.0,
        broker_max_poll_interval=poll_interval_s(settings),
        # Acknowledged offsets are committed this often; what a crash repeats is at most this much.
        broker_commit_interval=1.0,
        broker_commit_every=None,
        consumer_auto_offset_reset="earliest",
        # A stage whose topic was missing at a rebalance has nothing to read until it asks again: by default 5 minutes.
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        consumer_max_fetch_size=4 * MAX_RECORD_BYTES,
        # Raw bytes: a decode error in Faust acknowledges the message; ours becomes a dead letter.
        key_serializer="raw",
        value_serializer="raw",
        # On a rebalance don't wait for the batch in flight: it is done again by whoever gets the partition.
        stream_wait_empty=False,
        stream_buffer_maxsize=4 * settings.batch_records,
        # Topics are ours: created with their partitions and retention before any worker starts.
        topic_allow_declare=False,
        topic_disable_leader=True,
        store="memory://",
        datadir=data_dir / stage,
        autodiscover=False,
        web_enabled=False,
        worker_redirect_stdouts=False,
        **ours,
    )


def _credentials(settings: Settings) -> CredentialsT | None:
    context = ssl_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        password = settings.kafka_sasl_password
        options: dict[str, Any] = {"ssl_context": context} if context else {}
        return faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=password.get_secret_value() if password else None,
            mechanism=settings.kafka_sasl_mechanism,
            **options,
        )
    return faust.SSLCredentials(context=context) if context else None
