"""What a stage tells Faust."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.app import LONGEST_POLL_INTERVAL_S, create_app
from agents.pool import TRIES
from pipeline.settings import Settings


@pytest.mark.parametrize(("processes", "timeout_s"), [(1, 5.0), (2, 60.0)])
def test_partitions_stay_while_a_batch_takes_as_long_as_it_may(
    processes: int, timeout_s: float, tmp_path: Path
) -> None:
    app = create_app(
        Settings(
            kafka_brokers="127.0.0.1:1", data_dir=tmp_path, features_processes=processes, features_timeout_s=timeout_s
        ),
        "features",
    )
    assert app.conf.broker_max_poll_interval > 1_000 * TRIES * timeout_s / processes


def test_poll_interval_fits_what_kafka_takes(tmp_path: Path) -> None:
    app = create_app(Settings(kafka_brokers="127.0.0.1:1", data_dir=tmp_path, features_timeout_s=1e9), "features")
    assert app.conf.broker_max_poll_interval == LONGEST_POLL_INTERVAL_S
    assert 1000 * LONGEST_POLL_INTERVAL_S < 2**31
