"""The gateway as a process whose clock can be set: python -m tests.chaos.gateway

The product has no hook for this: the clock that it reads is wrapped here, before its own `serve` runs. `CHAOS_FOLDER`
is where `set_clock` lays down how far it goes wrong.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from pipeline import log
from pipeline.gateway.serve import serve
from pipeline.settings import Settings

CLOCK = "clock"


def set_clock(folder: Path, ahead_s: int) -> None:
    """Let the gateway's clock be ahead by so much, or behind."""
    draft = folder / "draft-clock"
    draft.write_text(str(ahead_s), "ascii")
    draft.rename(folder / CLOCK)


def main() -> None:
    """Serve, by the clock that the folder sets."""
    clock = Path(os.environ["CHAOS_FOLDER"]) / CLOCK
    true_ns = time.time_ns
    time.time_ns = lambda: true_ns() + int(clock.read_text("ascii")) * 1_000_000_000
    settings = Settings.from_environment()
    log.configure(settings.log_level, process="gateway")
    serve(settings)


if __name__ == "__main__":
    main()
