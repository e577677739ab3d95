"""A real Kafka for all of the contract, a topic and a group for each test."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator

import pytest

from deploy.embedded.kafka import RunningKafka, running_kafka
from tests.contract.delivery.workers import Setting

FAST = pytest.param(True, id="fast")
STOCK = pytest.param(False, id="stock")


@pytest.fixture(scope="session")
async def kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RunningKafka]:
    async with running_kafka(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture(params=[FAST, STOCK])
def fast_path(request: pytest.FixtureRequest) -> bool:
    """Both ways to take records; what only ours promises is parametrised with `fast_path` true alone."""
    return bool(request.param)


@pytest.fixture
async def setting(
    kafka: RunningKafka, fast_path: bool, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Setting]:
    async with Setting.made(
        kafka.bootstrap, tmp_path_factory.mktemp("faust"), f"delivery-{secrets.token_hex(6)}", fast_path=fast_path
    ) as made:
        yield made
