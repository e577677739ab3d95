"""Runs one stage as a process."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Literal, NoReturn

import faust
from aiokafka.errors import KafkaError
from prometheus_client import start_http_server

from agents.app import create_app
from agents.delivery import progress, run
from pipeline.process import collect_seldom
from pipeline.settings import Settings
from schemas.errors import Misconfigured, Unavailable

StageName = Literal["features", "calls", "sink"]


async def run_stage(settings: Settings, name: StageName) -> int:
    """Run the stage until it is told to stop (0) or fails (another status).

    Each process imports its own stage only: what the features stage needs takes the others a second at every start.
    """
    app = create_app(settings, name)
    if name == "features":
        from agents.features import FeaturesStage  # noqa: PLC0415

        return await run(app, FeaturesStage(settings), settings)
    if name == "sink":
        from agents.sink import SinkStage  # noqa: PLC0415

        return await run(app, SinkStage(settings), settings)
    from agents.calls import ADVANCE_EVERY_S, CallsStage  # noqa: PLC0415

    stage = CallsStage(settings)

    @app.timer(ADVANCE_EVERY_S)  # type: ignore[untyped-decorator]
    async def advance(_app: faust.App) -> None:
        await stage.advance(progress(app))

    return await run(app, stage, settings)


def main(settings: Settings, name: StageName) -> NoReturn:
    """Run the stage's process; it ends with the stage's status. Raises Misconfigured or Unavailable."""
    if settings.metrics_port is not None:
        try:
            start_http_server(settings.metrics_port, settings.metrics_host)
        except OSError as error:
            raise Misconfigured(
                f"MISE_VOICE_METRICS_PORT {settings.metrics_port}: {error.strerror}; each process needs its own"
            ) from error
    collect_seldom()
    try:
        status = asyncio.run(run_stage(settings, name))
    except KafkaError as error:
        raise Unavailable(f"{name}: Kafka at {settings.kafka_brokers} does not answer: {error}") from error
    sys.stderr.flush()
    # Python would free the calls in memory one by one: seconds in which the supervisor waits for nothing.
    os._exit(status)
