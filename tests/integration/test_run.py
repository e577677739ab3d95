"""`mise-voice run` as a person uses it: one command in an empty folder, and the commands beside it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import stat
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from deploy.embedded.tether import tethered
from deploy.example import load
from deploy.run_file import RunFile
from pipeline.settings import PREFIX
from tests.integration.conversation import turn
from tests.integration.waiting import until

COMMAND = Path(sys.executable).with_name("mise-voice")
SERVES_WITHIN_S = 60.0
STOPS_WITHIN_S = 10.0
PROCESSES = {"kafka", "clickhouse", "gateway", "features", "calls", "sink"}
LAST_LINE = "Ctrl-C stops it all."


@dataclass
class Run:
    """A `mise-voice run` in a folder, and the other commands there."""

    folder: Path
    process: Process

    @property
    def run_file(self) -> Path:
        return self.folder / "run.json"

    def content(self) -> RunFile:
        return msgspec.json.decode(self.run_file.read_bytes(), type=RunFile)

    def printed(self) -> str:
        return output(self.folder).read_text()

    async def ask(self, *arguments: str) -> tuple[int, str, str]:
        return await ask(self.folder, *arguments)

    async def sql(self, query: str) -> list[dict[str, Any]]:
        status, answer, error = await self.ask("sql", query, "--format", "json")
        assert status == 0, error
        rows: list[dict[str, Any]] = msgspec.json.decode(answer)
        return rows


def output(folder: Path) -> Path:
    return folder / "printed"


def environ(folder: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    # Wide enough that no line of a table is broken.
    return inherited | {f"{PREFIX}DATA_DIR": str(folder), f"{PREFIX}GATEWAY_PORT": "0", "COLUMNS": "250"}


async def ask(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a command."""
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environ(folder)
    )
    async with asyncio.timeout(SERVES_WITHIN_S):
        printed, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, printed.decode(), error.decode()


@asynccontextmanager
async def run(folder: Path) -> AsyncIterator[Run]:
    """`mise-voice run` in the folder, from when it serves."""
    with output(folder).open("wb") as printed:
        process = await asyncio.create_subprocess_exec(
            *tethered([str(COMMAND), "run"]), stdin=DEVNULL, stdout=printed, stderr=STDOUT, env=environ(folder)
        )
    started = Run(folder, process)
    try:

        async def serves() -> bool:
            if process.returncode is not None:
                raise AssertionError(started.printed())
            return LAST_LINE in started.printed()

        assert await until(serves, within_s=SERVES_WITHIN_S), started.printed()
        yield started
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 2 * STOPS_WITHIN_S)
            except TimeoutError:
                process.kill()
                await process.wait()


async def descendants(pid: int) -> set[int]:
    """The processes below this one, theirs included."""
    below: dict[int, set[int]] = {}
    for child, parent, _ in await processes():
        below.setdefault(parent, set()).add(child)
    found: set[int] = set()
    level = {pid}
    while level:
        level = {child for parent in level for child in below.get(parent, ())} - found
        found |= level
    return found


async def processes() -> list[tuple[int, int, str]]:
    """(pid, parent, state) of every process."""
    listing = await asyncio.create_subprocess_exec("ps", "-A", "-o", "pid=,ppid=,stat=", stdout=PIPE)
    printed, _ = await listing.communicate()
    return [(int(pid), int(parent), state) for pid, parent, state in map(str.split, printed.decode().splitlines())]


async def alive(pids: set[int]) -> set[int]:
    """Those that run; a zombie has ended, only nobody asked for its status yet."""
    return {pid for pid, _, state in await processes() if pid in pids and not state.startswith("Z")}


@pytest.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """One run for the tests that leave it as it is."""
    async with run(tmp_path_factory.mktemp("served")) as started:
        yield started


async def post(run: Run, key: str) -> int:
    """The status with which a turn is answered; 0 when nobody answers."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=run.content().gateway_url, headers=headers, timeout=30) as client:
        try:
            return (await client.post("/v1/turns", json=turn("posted", 1))).status_code
        except httpx.TransportError:
            return 0


# --- what it leaves for others


async def test_run_file_says_how_to_reach_everything_and_is_the_users_alone(served: Run) -> None:
    assert stat.S_IMODE(served.run_file.stat().st_mode) == 0o600
    content = msgspec.json.decode(served.run_file.read_bytes(), type=dict[str, Any])
    assert content.keys() == set(RunFile.__struct_fields__)
    assert content["clickhouse_database"] == "mise"
    pids = content["processes"]
    assert pids.keys() == PROCESSES
    assert await alive(set(pids.values())) == set(pids.values())
    assert set(pids.values()) <= await descendants(served.process.pid)


async def test_example_call_is_printed_as_a_table(served: Run) -> None:
    printed = served.printed()
    lines = printed.splitlines()
    for said in load().turns:
        (line,) = [line for line in lines if said.text in line]
        assert re.search(rf"{said.participant}\W+\d+\.\d\d\W+\d+\.\d\d\b.*-\d\d\.\d", line)
    for overlap in ("over caller (undecided)", "480 ms over agent (terminal_overlap)"):
        assert overlap in printed
    assert "(call_ended)" in printed


async def test_printed_curl_line_works(served: Run) -> None:
    found = re.search(r"^  (curl .*?\}')$", served.printed(), flags=re.MULTILINE | re.DOTALL)
    assert found, served.printed()
    curl = await asyncio.create_subprocess_exec("sh", "-c", f"{found[1]} --silent --show-error", stdout=PIPE)
    answer, _ = await curl.communicate()
    assert msgspec.json.decode(answer, type=dict[str, str])["call_id"] == "my-call"

    async def shown() -> tuple[int, str, str]:
        return await served.ask("call", "my-call")

    status, printed, _ = await until(shown, lambda shown: shown[0] == 0)
    assert status == 0
    assert "Hello?" in printed


# --- the commands beside it


async def test_sql_answers_in_json(served: Run) -> None:
    rows = await served.sql(
        "SELECT call_id, turns, interruptions, backchannels FROM calls WHERE startsWith(call_id, 'example-')"
    )
    assert [list(row.values())[1:] for row in rows] == [[len(load().turns), 1, 0]]


async def test_sql_that_fails_or_writes_is_one_line_and_status_1(served: Run) -> None:
    for query in ("SELECT nothing FROM turns", "DROP TABLE turn_rows", "INSERT INTO migrations (number) VALUES (9)"):
        status, answer, error = await served.ask("sql", query, "--format", "json")
        assert (status, answer) == (1, "")
        assert error.startswith("mise-voice: ClickHouse")
        assert "Traceback" not in error


async def test_unknown_call_is_said(served: Run) -> None:
    status, answer, error = await served.ask("call", "nobody")
    assert (status, answer) == (1, "")
    assert error.startswith("mise-voice: no call 'nobody'")


async def test_key_works_as_soon_as_it_is_created_and_no_longer_once_revoked(served: Run) -> None:
    status, printed, _ = await served.ask("keys", "create", "--workspace", "kitchen", "--name", "a test's")
    key = printed.strip()
    assert status == 0
    assert await post(served, key) == 202
    _, listing, _ = await served.ask("keys", "list")
    (line,) = [line for line in listing.splitlines() if "kitchen" in line]
    found = re.search(r"[0-9a-f]{12}", line)
    assert found
    assert key not in listing
    status, _, said = await served.ask("keys", "revoke", found[0])
    assert (status, said.strip()) == (0, f"revoked {found[0]} of workspace kitchen")
    assert await post(served, key) == 401


async def test_second_run_in_the_folder_is_refused(served: Run) -> None:
    before = served.run_file.read_bytes()
    status, _, error = await served.ask("run")
    assert status == 1
    assert f"{served.folder} is used by another `mise-voice run` (pid {served.process.pid}); stop it" in error
    assert served.run_file.read_bytes() == before


@pytest.mark.parametrize("name", ["gateway", "sink"])
async def test_pid_of_a_process_that_was_started_again_is_in_the_run_file(served: Run, name: str) -> None:
    before = served.content().processes[name]
    os.kill(before, signal.SIGTERM)

    async def pid() -> int:
        return served.content().processes[name]

    now = await until(pid, lambda pid: pid != before, within_s=SERVES_WITHIN_S)
    assert now != before
    assert await alive({before, now}) == {now}
    key = served.content().api_key
    assert await until(lambda: post(served, key), lambda status: status == 202) == 202


# --- its end


async def test_stop_and_kill_leave_no_process_and_keep_the_data(tmp_path: Path) -> None:
    async with run(tmp_path) as first:
        content = first.content()
        (call,) = await first.sql("SELECT call_id, turns FROM calls WHERE startsWith(call_id, 'example-')")
        everyone = await descendants(first.process.pid)
        assert set(content.processes.values()) <= everyone
        first.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(STOPS_WITHIN_S):
            assert await first.process.wait() == 0
        assert await until(lambda: alive(everyone), lambda left: not left, within_s=1) == set()
        assert not first.run_file.exists()

    async with run(tmp_path) as second:
        assert second.content().api_key == content.api_key
        calls = await second.sql("SELECT call_id, turns FROM calls WHERE startsWith(call_id, 'example-')")
        assert call in calls
        assert len(calls) == 2
        everyone = await descendants(second.process.pid)
        assert set(second.content().processes.values()) <= everyone
        second.process.kill()
        await second.process.wait()
        assert await until(lambda: alive(everyone), lambda left: not left) == set()


async def test_commands_say_so_when_nothing_runs(tmp_path: Path) -> None:
    status, answer, error = await ask(tmp_path, "sql", "SELECT 1")
    assert (status, answer) == (1, "")
    assert error.startswith(f"mise-voice: {tmp_path / 'run.json'} is not there: start everything with")
