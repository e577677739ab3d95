"""While Kafka is away our clients wait: they neither give up for good nor burn a core."""

from __future__ import annotations

import time

import pytest

from deploy.embedded.ports import free_port
from deploy.services import services_of
from pipeline.kafka.client import METADATA_BACKOFF_S, producer
from schemas.errors import Unavailable
from tests.integration.live import Live


async def test_stage_without_kafka_is_not_ready_which_is_no_reason_to_give_it_up(live: Live) -> None:
    """Anything but Unavailable would end the supervisor's keeping of the stage."""
    away = live.settings.model_copy(update={"kafka_brokers": f"127.0.0.1:{free_port()}"})
    for stage in services_of(away, default_ports=False).stages:
        with pytest.raises(Unavailable, match=rf"{stage.name}: Kafka does not answer .* its log is "):
            await stage.ready(1, lambda: True)


async def test_metadata_is_not_asked_for_in_a_tight_loop(live: Live) -> None:
    """aiokafka does while a partition has no leader."""
    times = 4
    async with producer(live.settings, client_id="tests") as client:
        await client.client.force_metadata_update()
        begin = time.monotonic()
        for _ in range(times):
            await client.client.force_metadata_update()
        assert time.monotonic() - begin > 0.9 * times * METADATA_BACKOFF_S
