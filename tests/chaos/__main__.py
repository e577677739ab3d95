"""python -m tests.chaos [--seeds SEEDS] [--path PATH] [--turns N] [--results FILE]: many seeded runs, and a table.

Each run has a Mise Voice of its own, a load, and one kind of fault that strikes at two seeded moments of it; the seed
says all of that. A seed whose result on this path through Faust stands in the file is done: a run that was cut short
goes on where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import msgspec
from msgspec import Struct

from pipeline import log
from schemas.topics import ANNOTATED, MEASURED, RECEIVED, SOURCES, SUMMARISED
from tests.chaos.checks import Report
from tests.chaos.faults import (
    Anew,
    Brokers,
    Clock,
    Disturb,
    End,
    Fault,
    Fill,
    Freeze,
    Inject,
    Poison,
    Reject,
    Scale,
    Shrink,
    Trouble,
    Zombie,
)
from tests.chaos.links import Link
from tests.chaos.load import Load
from tests.chaos.runs import Strike, disturbed
from tests.chaos.stack import running
from tests.chaos.worker import Step

RESULTS = Path(".chaos/results.jsonl")
TURNS = 2_000
"""At 35 turns a second some 60 s."""

PROCESSES = ("gateway", *SOURCES, "clickhouse", "kafka")
SERVERS = ("gateway", "clickhouse", "kafka")

FaustPath = Literal["fast", "stock"]
"""Which way the stages consume: `MISE_VOICE_FAUST_FAST_PATH`, on or off."""

KINDS: list[Callable[[random.Random], Fault]] = [
    *(lambda _, each=each: End(each) for each in PROCESSES),
    *(lambda _, each=each: End(each, signal.SIGTERM) for each in PROCESSES),
    *(lambda _, each=each: Inject(each) for each in get_args(Step)),
    lambda _: Inject("marks", "raise"),
    *(lambda _, each=each: Zombie(each) for each in SOURCES),
    *(lambda _, each=each: Zombie("calls", each) for each in ("marks", "outputs")),
    *(lambda chance, each=each: Freeze(each, chance.uniform(3, 12)) for each in SERVERS),
    *(lambda _, each=each: Scale(each) for each in SOURCES),
    *(
        lambda chance, link=link, trouble=trouble: Disturb(link, trouble, chance.uniform(1, 12))
        for link in get_args(Link)
        for trouble in get_args(Trouble)
    ),
    lambda chance: Poison(chance.randrange(2**32)),
    lambda _: Reject(60.0),
    *(
        lambda chance, number=number: Brokers((chance.randrange(1, 4),), number)
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
    ),
    lambda chance: Brokers(tuple(chance.sample(range(1, 4), 2)), signal.SIGKILL),
    *(lambda chance, each=each: Fill(each, chance.uniform(3, 12)) for each in ("blobs", "kafka")),
    *(lambda _, each=each: Anew(each) for each in (MEASURED, ANNOTATED, SUMMARISED)),
    *(lambda chance, each=each: Shrink(each, chance.uniform(1, 10)) for each in (RECEIVED, MEASURED, ANNOTATED)),
    *(lambda chance, each=each: Clock(each, chance.uniform(1, 10)) for each in (-7_200, 20, 7_200)),
]


class Result(Struct, frozen=True, kw_only=True):
    """A run, as a line of the file. turns : acknowledged; broken : the promises that were, and how."""

    seed: int
    path: FaustPath
    fault: str
    turns: int
    requests: int
    seconds: float
    lost: int
    doubled: int
    broken: dict[str, list[str]]


async def run(seed: int, path: FaustPath, turns: int, logs: Path) -> Result:
    """The run of a seed, from nothing to the checks. logs : where those of a run that failed are kept."""
    chance = random.Random(seed)
    fault = KINDS[seed % len(KINDS)](chance)
    moments = sorted(chance.sample(range(turns // 20, turns * 3 // 4), 2))
    print(f"seed {seed}, {path}: {fault.name}, after {moments} of {turns} turns", file=sys.stderr, flush=True)
    begin = time.monotonic()
    found = Report(turns=0, requests=0)
    broken: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory(prefix="mise-chaos-") as folder:
        try:
            async with running(Path(folder), fault.needs, fast_path=path == "fast") as stack:
                load = Load(stack.url, stack.key, f"seed-{seed}", seed, least=turns)
                found = await disturbed(stack, load, [Strike(at, fault) for at in moments])
            broken = found.broken()
        except Exception:
            broken = {"did not become whole again": traceback.format_exc().splitlines()}
        if broken:
            shutil.copytree(Path(folder) / "logs", logs / f"{path}-{seed}", dirs_exist_ok=True)
    return Result(
        seed=seed,
        path=path,
        fault=fault.name.partition(" for ")[0],
        turns=found.turns,
        requests=found.requests,
        seconds=round(time.monotonic() - begin, 1),
        lost=len(found.lost),
        doubled=len(found.doubled),
        broken=broken,
    )


def table(results: list[Result]) -> str:
    """The runs by fault, as Markdown."""
    by_fault: defaultdict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_fault[result.fault].append(result)
    lines = [
        "| fault | runs fast | runs stock | turns | lost | doubled | other promises broken |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for fault, own in [*sorted(by_fault.items()), ("together", results)]:
        others = sorted({promise for result in own for promise in result.broken} - {"lost", "doubled"})
        sums = (sum(getattr(result, name) for result in own) for name in ("turns", "lost", "doubled"))
        runs = (sum(result.path == path for result in own) for path in get_args(FaustPath))
        lines.append(f"| {fault} | {' | '.join(map(str, [*runs, *sums]))} | {', '.join(others) or 'none'} |")
    return "\n".join(lines)


def _numbers(ranges: str) -> set[int]:
    """The numbers of "0-9,12"."""
    ends = ([int(end) for end in each.split("-")] for each in ranges.split(","))
    return {number for first, *last in ends for number in range(first, (last or [first])[0] + 1)}


def main() -> int:
    """Run the seeds that have no result yet; 1 when a promise was broken in any."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seeds", default=f"0-{len(KINDS) - 1}", help="such as 0-9,12; default every kind of fault once"
    )
    parser.add_argument("--path", choices=get_args(FaustPath), default="fast", help="through Faust; default fast")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"turns of a load at the least; default {TURNS}")
    parser.add_argument("--results", type=Path, default=RESULTS, help=f"file to go on with; default {RESULTS}")
    chosen = parser.parse_args()
    seeds = _numbers(chosen.seeds)
    log.configure("error", process="chaos")
    for number in (signal.SIGINT, signal.SIGTERM):  # the first is ignored where a shell started this in the background
        signal.signal(number, signal.default_int_handler)
    chosen.results.parent.mkdir(parents=True, exist_ok=True)
    chosen.results.touch()
    lines = chosen.results.read_bytes().splitlines()
    results = [msgspec.json.decode(line, type=Result) for line in lines]
    for seed in sorted(seeds - {result.seed for result in results if result.path == chosen.path}):
        result = asyncio.run(run(seed, chosen.path, chosen.turns, chosen.results.parent))
        with chosen.results.open("ab") as file:
            file.write(msgspec.json.encode(result) + b"\n")
        for promise, found in result.broken.items():
            print(f"seed {seed}, {chosen.path}: {promise}", *found, sep="\n  ", file=sys.stderr, flush=True)
        results.append(result)
    print(table(results))
    return int(any(result.broken for result in results))


if __name__ == "__main__":
    sys.exit(main())
