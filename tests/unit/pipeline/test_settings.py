"""Settings come from MISE_VOICE_… alone, typed; a misspelt one stops the start."""

from __future__ import annotations

import os
from pathlib import Path

import pydantic
import pytest

from pipeline.settings import PREFIX, Settings
from schemas.errors import Misconfigured


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_without_variables_everything_has_a_default() -> None:
    settings = Settings.from_environment()
    assert settings.kafka_brokers is None
    assert settings.data_dir == Path(".mise-voice")
    assert settings.generation == 1
    assert settings.gateway_record_bytes == 900_000


def test_values_are_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISE_VOICE_KAFKA_PARTITIONS", "24")
    monkeypatch.setenv("MISE_VOICE_DATA_DIR", "/data")
    monkeypatch.setenv("MISE_VOICE_BATCH_WITHIN_S", "0.5")
    monkeypatch.setenv("mise_voice_gateway_port", "9000")
    settings = Settings.from_environment()
    assert (settings.kafka_partitions, settings.batch_within_s, settings.gateway_port) == (24, 0.5, 9000)
    assert settings.keys_file() == Path("/data/keys.jsonl")
    assert settings.run_file() == Path("/data/run.json")
    assert settings.blobs() == "file:///data/blobs"


@pytest.mark.parametrize("name", ["MISE_VOICE_KAFKA_BROKER", "MISE_VOICE_", "mise_voice_partitions"])
def test_misspelt_setting_is_refused_and_named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    with pytest.raises(Misconfigured, match=name):
        Settings.from_environment()


@pytest.mark.parametrize(
    "name", ["MISE_KAFKA_BROKER", "KAFKA_BROKERS", "XMISE_VOICE_A", "MISE_VOICE_URL", "MISE_VOICE_KEY"]
)
def test_variables_of_others_are_left_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "x")
    assert Settings.from_environment() == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MISE_VOICE_KAFKA_PARTITIONS", "many"),
        ("MISE_VOICE_KAFKA_PARTITIONS", "0"),
        ("MISE_VOICE_KAFKA_SECURITY_PROTOCOL", "TLS"),
        ("MISE_VOICE_GATEWAY_PORT", "65536"),
        ("MISE_VOICE_CLICKHOUSE_DATABASE", "mise; DROP DATABASE mise"),
        ("MISE_VOICE_GATEWAY_RECORD_BYTES", "900001"),
        ("MISE_VOICE_GATEWAY_PRODUCE_TIMEOUT_S", "0"),
        ("MISE_VOICE_LOG_LEVEL", "loud"),
        ("MISE_VOICE_GENERATION", "0"),
    ],
)
def test_wrong_value_is_refused_with_the_variable_and_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as caught:
        Settings.from_environment()
    assert name in str(caught.value)
    assert value in str(caught.value)


def test_settings_cannot_be_changed() -> None:
    settings = Settings()
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        settings.generation = 2  # type: ignore[misc]


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISE_VOICE_CLICKHOUSE_PASSWORD", "hunter2")
    monkeypatch.setenv("MISE_VOICE_KAFKA_SASL_PASSWORD", "hunter2")
    settings = Settings.from_environment()
    assert "hunter2" not in repr(settings) + str(settings)
    assert settings.clickhouse_password.get_secret_value() == "hunter2"
