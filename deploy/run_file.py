"""`run.json`: how to reach what `mise-voice run` serves. A public name that others rely on."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from msgspec import Struct
from pydantic import SecretStr

from pipeline.settings import Settings
from schemas.codec import decode
from schemas.errors import Misconfigured, Refused


class RunFile(Struct, frozen=True, kw_only=True):
    """There while everything is ready; readable by the user alone. processes : name -> pid, those that we started."""

    gateway_url: str
    api_key: str
    kafka_brokers: str
    clickhouse_url: str
    clickhouse_user: str
    clickhouse_password: str
    clickhouse_database: str
    processes: dict[str, int]


_DECODER: msgspec.json.Decoder[RunFile] = msgspec.json.Decoder(RunFile)


def write(path: Path, content: RunFile) -> None:
    """Write the file whole, or not at all."""
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    draft.replace(path)


def read(path: Path) -> RunFile:
    """What runs. Raises Misconfigured when nothing does."""
    try:
        return decode(_DECODER, path.read_bytes())
    except FileNotFoundError:
        raise Misconfigured(
            f"{path} is not there: start everything with `mise-voice run`, or set MISE_VOICE_…"
        ) from None
    except (OSError, Refused) as error:
        raise Misconfigured(f"{path}: {error}; remove it and start again") from error


def running_settings(settings: Settings) -> Settings:
    """The settings, with what the environment leaves open taken from `run.json`. Raises Misconfigured."""
    if settings.clickhouse_url and settings.kafka_brokers:
        return settings
    running = read(settings.run_file())
    known: dict[str, object] = {}
    if not settings.kafka_brokers:
        known["kafka_brokers"] = running.kafka_brokers
    if not settings.clickhouse_url:
        known |= {
            "clickhouse_url": running.clickhouse_url,
            "clickhouse_user": running.clickhouse_user,
            "clickhouse_password": SecretStr(running.clickhouse_password),
            "clickhouse_database": running.clickhouse_database,
        }
    return settings.model_copy(update=known)
