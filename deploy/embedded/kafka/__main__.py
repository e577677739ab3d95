"""The embedded Kafka on the command line.

    python -m deploy.embedded.kafka fetch                       bring the locked jars onto this machine
    python -m deploy.embedded.kafka run --data DIR [--port N]   a broker in the foreground, until Ctrl-C
    python -m deploy.embedded.kafka lock                        write the lock anew (maintainers)

Exit status 0 only when it worked; messages go to standard error.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.embedded.kafka.broker import why_ended
from deploy.embedded.kafka.fetch import fetch, write_lock
from deploy.embedded.kafka.jars import KAFKA_VERSION, LOCK_FILE, cache_folder, read_lock
from deploy.embedded.kafka.java import find_java, start_up_cache
from deploy.embedded.kafka.running import running_kafka
from deploy.embedded.kafka.start_up import record_start_up
from schemas.errors import MiseError


def main(arguments: Sequence[str]) -> int:
    """Run one command; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.embedded.kafka", description=f"Apache Kafka {KAFKA_VERSION}"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("fetch", help="bring the locked jars onto this machine, and record a quick start")
    commands.add_parser("lock", help="write the lock anew from the repositories (maintainers)")
    run = commands.add_parser("run", help="a broker in the foreground, until Ctrl-C")
    run.add_argument("--data", type=Path, required=True, help="folder for its data, made if missing")
    run.add_argument("--port", type=int, help="on 127.0.0.1; a free one by default")
    chosen = parser.parse_args(arguments)
    try:
        match chosen.command:
            case "fetch":
                _fetch()
            case "lock":
                _say(f"{len(write_lock())} jars locked in {LOCK_FILE}")
            case "run":
                asyncio.run(_run(chosen.data, chosen.port))
    except MiseError as error:
        _say("\n".join([str(error), *getattr(error, "__notes__", ())]))
        return 1
    return 0


def _fetch() -> None:
    jars, folder = read_lock(), cache_folder()
    fetch(jars, folder)
    _say(f"Kafka {KAFKA_VERSION}: {len(jars)} jars, verified, in {folder}")
    cache = start_up_cache(folder, find_java()[1])
    if cache.exists():
        return
    _say("Recording a quick start for it (about 12 s, once)")
    try:
        asyncio.run(record_start_up(cache))
    except MiseError as error:  # a slower start is no reason to fail an installation
        _say(f"Kafka will start a second slower: {error}")


async def _run(data_dir: Path, port: int | None) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with running_kafka(data_dir, port=port) as kafka:
        _say(f"Kafka {KAFKA_VERSION} is ready at {kafka.bootstrap}; its log: {kafka.config.log_file}; Ctrl-C stops it")
        ended = asyncio.ensure_future(kafka.process.wait())
        asked = asyncio.ensure_future(stopping.wait())
        await asyncio.wait({ended, asked}, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if not stopping.is_set():
            raise why_ended(kafka.config, what="running Kafka")


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
