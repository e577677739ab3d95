"""Which processes there are, and what they are told."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from deploy.services import gateway_url, services_of
from pipeline.settings import Settings


def test_everything_is_embedded_by_default(tmp_path: Path) -> None:
    services = services_of(Settings(data_dir=tmp_path), default_ports=False)
    assert [server.name for server in services.servers] == ["kafka", "clickhouse"]
    assert [stage.name for stage in services.stages] == ["features", "calls", "sink"]
    environ = services.gateway.environ
    assert environ["MISE_VOICE_KAFKA_BROKERS"] == services.settings.kafka_brokers
    assert environ["MISE_VOICE_CLICKHOUSE_URL"] == services.settings.clickhouse_url
    assert environ["MISE_VOICE_CLICKHOUSE_PASSWORD"] == (tmp_path / "clickhouse.password").read_text()


def test_servers_that_are_named_are_used_instead_of_embedded_ones(tmp_path: Path) -> None:
    given = Settings(
        data_dir=tmp_path,
        kafka_brokers="kafka-1:9092,kafka-2:9092",
        clickhouse_url="https://clickhouse:8443",
        clickhouse_user="writer",
        clickhouse_password=SecretStr("hidden"),
    )
    services = services_of(given, default_ports=False)
    assert services.servers == ()
    for service in (services.gateway, *services.stages):
        assert service.environ["MISE_VOICE_KAFKA_BROKERS"] == "kafka-1:9092,kafka-2:9092"
        assert service.environ["MISE_VOICE_CLICKHOUSE_URL"] == "https://clickhouse:8443"
        assert service.environ["MISE_VOICE_CLICKHOUSE_USER"] == "writer"
        assert service.environ["MISE_VOICE_CLICKHOUSE_PASSWORD"] == "hidden"
        assert "hidden" not in " ".join(service.command()), "a command line is everybody's to read"


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8081"), ("0.0.0.0", "http://127.0.0.1:8081"), ("::1", "http://[::1]:8081")],  # noqa: S104
)
def test_gateway_url_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert gateway_url(Settings(gateway_host=host, gateway_port=8081)) == url
