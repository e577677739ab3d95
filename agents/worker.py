"""Runs one stage as a process."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Literal, NoReturn

import faust

from agents.app import create_app
from agents.calls import ADVANCE_EVERY_S, CallsStage
from agents.delivery import progress, run
from agents.features import FeaturesStage
from agents.sink import SinkStage
from pipeline.settings import Settings

StageName = Literal["features", "calls", "sink"]


async def run_stage(settings: Settings, name: StageName) -> int:
    """Run the stage until it is told to stop (0) or fails (another status)."""
    app = create_app(settings, name)
    if name == "features":
        return await run(app, FeaturesStage(settings), settings)
    if name == "sink":
        return await run(app, SinkStage(settings), settings)
    stage = CallsStage(settings)

    @app.timer(ADVANCE_EVERY_S)  # type: ignore[untyped-decorator]
    async def advance(_app: faust.App) -> None:
        await stage.advance(progress(app))

    return await run(app, stage, settings)


def main(settings: Settings, name: StageName) -> NoReturn:
    """Run the stage's process; it ends with the stage's status."""
    status = asyncio.run(run_stage(settings, name))
    sys.stderr.flush()
    # Python would free the calls in memory one by one: seconds in which the supervisor waits for nothing.
    os._exit(status)
