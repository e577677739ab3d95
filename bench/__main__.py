"""python -m bench [--turns N] [--seconds S] [--rate R]: measure, print, and write the results."""

from __future__ import annotations

import argparse
import asyncio

from bench.latency import measure_gateway_and_latency
from bench.measurements import Measurement, report
from bench.throughput import measure_throughput
from pipeline import log


async def measure(turns: int, seconds: float, rate: int) -> list[Measurement]:
    """Latency first: it is the one that a machine still busy with the other would spoil."""
    latency = await measure_gateway_and_latency(seconds=seconds, rate=rate)
    return [*latency, *await measure_throughput(turns)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure every stage, without audio.")
    parser.add_argument("--turns", type=int, default=100_000, help="records to drain; default 100,000")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the latency run")
    parser.add_argument("--rate", type=int, default=200, help="turns a second in the latency run")
    chosen = parser.parse_args()
    log.configure("warning", process="bench")
    report(asyncio.run(measure(chosen.turns, chosen.seconds, chosen.rate)))


if __name__ == "__main__":
    main()
