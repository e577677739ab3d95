"""python -m bench [WHAT] [--turns N] [--seconds S] [--rate R]"""

from __future__ import annotations

import argparse
import asyncio

from bench.acoustics import measure_acoustics
from bench.delivery import measure_delivery
from bench.dialogue import measure_dialogue
from bench.latency import measure_gateway_and_latency
from bench.livekit_turns import measure_livekit_turns
from bench.measurements import Measurement, report
from bench.observer import measure_observer
from bench.outage import measure_outage
from bench.recovery import measure_recovery
from bench.state import measure_state
from bench.throughput import measure_throughput
from pipeline import log


async def measure_stages(turns: int, seconds: float, rate: int) -> list[Measurement]:
    """Latency first: it is the one that a machine still busy with the other would spoil."""
    latency = await measure_gateway_and_latency(seconds=seconds, rate=rate)
    return [*latency, *await measure_throughput(turns)]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="Measure acoustics, delivery, dialogue, an observer, recovery, state, every stage on turns without "
        "audio, and how an outage of ClickHouse passes.",
    )
    parser.add_argument(
        "only",
        nargs="?",
        choices=("acoustics", "delivery", "dialogue", "observer", "outage", "recovery", "stages", "state"),
        help="one of them; default all but outage",
    )
    parser.add_argument("--turns", type=int, default=100_000, help="records to drain; default 100,000")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the latency run, or of the outage")
    parser.add_argument("--rate", type=int, default=200, help="turns a second in these")
    chosen = parser.parse_args()
    log.configure("warning", process="bench")
    found: list[Measurement] = []
    if chosen.only in (None, "acoustics"):
        found += measure_acoustics()
    if chosen.only in (None, "dialogue"):
        found += measure_dialogue()
    if chosen.only in (None, "delivery"):
        found += asyncio.run(measure_delivery(chosen.turns))
    if chosen.only in (None, "observer"):
        found += asyncio.run(measure_observer(chosen.turns // 10))
        found += measure_livekit_turns()
    if chosen.only in (None, "state"):
        found += asyncio.run(measure_state(chosen.turns))
    if chosen.only in (None, "recovery"):
        found += asyncio.run(measure_recovery(chosen.turns))
    if chosen.only in (None, "stages"):
        found += asyncio.run(measure_stages(chosen.turns, chosen.seconds, chosen.rate))
    if chosen.only == "outage":
        found += asyncio.run(measure_outage(seconds=chosen.seconds, rate=chosen.rate))
    report(found)


if __name__ == "__main__":
    main()
