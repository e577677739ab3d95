"""All settings, in one typed and frozen class. Nothing else reads the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.annotated import RulesName
from schemas.errors import Misconfigured
from schemas.features import F0Estimator

PREFIX = "MISE_VOICE_"

CLIENTS = {"MISE_VOICE_URL", "MISE_VOICE_KEY"}
"""Where clients send turns, and with which key, in the docs' examples: no settings, but set in the same shell."""


class Settings(BaseSettings):
    """Read from `MISE_VOICE_…` variables; a misspelt name is refused by `from_environment`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    data_dir: Path = Field(
        Path(".mise-voice"), description="Local data: embedded servers, blobs, keys, logs, run.json."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Of our own events; libraries log from warning on."
    )

    kafka_brokers: str | None = Field(None, description="host:port,… of an existing cluster; unset: embedded Kafka.")
    kafka_partitions: int = Field(
        12,
        ge=1,
        le=1024,
        description="Partitions of the topics keyed by call; fixed once they exist (calls stay put).",
    )
    kafka_replication_factor: int = Field(1, ge=1, description="3 on a real cluster.")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL."
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "PLAIN", description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512."
    )
    kafka_sasl_username: str | None = Field(None, description="For SASL_…")
    kafka_sasl_password: SecretStr | None = Field(None, description="For SASL_…")
    kafka_ssl_ca_file: Path | None = Field(None, description="CA certificates, PEM; unset: the system's.")
    kafka_ssl_cert_file: Path | None = Field(None, description="Client certificate, PEM.")
    kafka_ssl_key_file: Path | None = Field(None, description="Key of the client certificate, PEM.")

    clickhouse_url: str | None = Field(None, description="http(s)://host:port of a server; unset: the embedded engine.")
    clickhouse_user: str = Field("default", description="Needs CREATE, SELECT and INSERT on the database.")
    clickhouse_password: SecretStr = Field(SecretStr(""), description="Of the user.")
    clickhouse_database: str = Field(
        "mise", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Made by `mise-voice migrate` if it is missing."
    )

    blob_url: str | None = Field(
        None, description="file:///…, s3://…, gs://…, az://…; unset: the folder blobs in data_dir."
    )

    api_keys_file: Path | None = Field(None, description="One JSON line a key; unset: keys.jsonl in data_dir.")
    gateway_host: str = Field("127.0.0.1", description="Address to listen on.")
    gateway_port: int = Field(8080, ge=0, le=65535, description="`mise-voice run` takes a free one when it is taken.")
    gateway_body_bytes: int = Field(16 * 2**20, ge=1024, description="A request body, after decompression.")
    gateway_batch_turns: int = Field(1_000, ge=1, description="Turns in one request to /v1/turns:batch.")
    gateway_text_bytes: int = Field(100_000, ge=1, description="A turn's text, UTF-8.")
    gateway_id_bytes: int = Field(256, ge=1, description="call_id, turn_id, event_id and participant, UTF-8.")
    gateway_words: int = Field(20_000, ge=0, description="Words of a turn.")
    gateway_record_bytes: int = Field(
        900_000,
        ge=1_000,
        le=900_000,
        description="An encoded record; the topics take no more than what is made from this.",
    )
    gateway_in_flight_bytes: int = Field(
        256 * 2**20,
        ge=2**20,
        description="Bodies of the requests in flight together; what goes beyond is answered 503.",
    )
    gateway_drain_s: float = Field(
        5.0, gt=0, description="How long requests in flight may take after SIGTERM; the rest is then answered 503."
    )
    gateway_produce_timeout_s: float = Field(15.0, gt=0, description="After this the answer is 503, never 202.")

    features_processes: int = Field(default_factory=lambda: os.cpu_count() or 1, ge=1, description="Audio pool.")
    # An hour of audio takes some 15 s of one core; a codec that hangs holds its process for as long as this.
    features_timeout_s: float = Field(
        60.0, gt=0, description="Longest time measuring a turn may take; after it the turn is not_measured: timed_out."
    )
    features_f0: F0Estimator = Field(
        "autocorrelation", description="Estimator of the F0: autocorrelation, dio or harvest (docs/decisions/0008)."
    )
    audio_seconds: float = Field(3600.0, gt=0, description="Longest audio decoded; longer is not_measured: too_long.")

    dialogue_rules: RulesName = Field("product", description="Which rules class overlaps: product or plain.")
    dialogue_vocabularies: Path | None = Field(
        None, description="A folder of files such as en.toml, whose words are added to the product's rules' own."
    )

    batch_records: int = Field(1_000, ge=1, description="Records a stage takes at once, at most.")
    # 1,000 turns of text are 1 MB. 1,000 of the largest records would be 900, which a stage holds several times over:
    # decoded, as outputs or rows, encoded.
    batch_bytes: int = Field(
        8 * 2**20,
        ge=1,
        description="Bytes of keys and values a stage takes at once; the record that exceeds it is the batch's last.",
    )
    batch_within_s: float = Field(
        0.05,
        gt=0,
        description="How long a stage waits to fill a batch: each stage adds up to this to the latency.",
    )
    faust_fast_path: bool = Field(
        True, description="Consume on our fast path through Faust; false: as Faust does (docs/decisions/0014)."
    )
    # A batch whose turns all take as long to measure as they may is slow, and not stuck; so this is long.
    commit_stall_s: float = Field(
        3600.0,
        gt=0,
        description="A stage ends, to be started again, when a partition with records left is not committed so long "
        "and nothing is away.",
    )
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="Where a stage serves its metrics; one for each process. Unset: nowhere."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of the stages' metrics.")
    generation: int = Field(1, ge=1, description="Generation that the calls stage writes; live starts as 1.")

    def blobs(self) -> str:
        """URL of the blob store."""
        return self.blob_url or (self.data_dir / "blobs").resolve().as_uri()

    def keys_file(self) -> Path:
        return self.api_keys_file or self.data_dir / "keys.jsonl"

    def run_file(self) -> Path:
        """Written by `mise-voice run` while it serves."""
        return self.data_dir / "run.json"

    @classmethod
    def from_environment(cls) -> Self:
        """Settings as the environment gives them. Raises Misconfigured, naming the variables."""
        names = {f"{PREFIX}{field}".upper() for field in cls.model_fields} | CLIENTS
        unknown = sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in names)
        if unknown:
            raise Misconfigured(f"{', '.join(unknown)}: no such setting; the settings are listed in docs/settings.md")
        try:
            return cls()
        except ValidationError as error:
            wrong = (
                f"{PREFIX}{'.'.join(map(str, each['loc'])).upper()}: {each['msg']}, got {each['input']!r}"
                for each in error.errors()
            )
            raise Misconfigured("; ".join(wrong)) from None
