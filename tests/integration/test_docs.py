"""What the docs tell people to run does run, as it stands there: every fenced block of these pages, in order.

Another address than in the docs is the one change: these tests have no fixed ports.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tomllib
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pytest

from deploy.services import _environ
from pipeline.gateway import keys
from tests.integration.live import Live

ROOT = Path(__file__).parents[2]

PAGES = [
    str(page.relative_to(ROOT))
    for page in (
        ROOT / "README.md",
        ROOT / "docs" / "http.md",
        *sorted((ROOT / "docs" / "integrations").glob("*.md")),
        *sorted((ROOT / "observers").glob("*/README.md")),
    )
]

SAID = {
    "README.md": {"my-call": ["Hello?"]},
    "docs/integrations/http.md": {"by-curl": ["Hello?"], "by-python": ["Hello?", "Hi, how can I help?"]},
    "observers/core/README.md": {"my-call": ["Hello?"]},
}
"""What is said in which call, once all of a page has been run."""

ELSEWHERE = {
    ("docs/http.md", "yaml"): "tests/livekit/room_server.py",
    ("docs/integrations/livekit.md", "python"): "observers/livekit/tests/test_docs.py",
    ("docs/integrations/pipecat.md", "python"): "observers/pipecat/tests/test_docs.py",
}
"""Blocks that run where LiveKit and Pipecat are: there all of this kind on the page."""

ADDRESS = "http://127.0.0.1:8080"

QUERIES = re.findall(r"```sql\n(.*?);?\n```", (ROOT / "docs" / "store.md").read_text(), re.DOTALL)


class Block(NamedTuple):
    language: str
    text: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page but for drawings."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    return [Block(*block) for block in found if not re.search("[│▼▶]", block[1])]


def commands(script: str) -> Iterator[str]:
    """The commands of a shell script, one by one, however many lines each has."""
    lines: list[str] = []
    for line in script.splitlines():
        lines.append(line)
        command = "\n".join(lines)
        if not line.endswith("\\") and command.count("'") % 2 == 0 and command.count('"') % 2 == 0:
            yield command
            lines.clear()
    assert not lines, f"no end of {lines}"


@dataclass(frozen=True)
class Reader:
    """Somebody who types what the docs say: each command in a shell that knows what the ones before exported."""

    live: Live
    exported: Path

    @property
    def environ(self) -> dict[str, str]:
        return {
            **os.environ,
            **_environ(self.live.settings),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "300",
            "LIVEKIT_API_SECRET": "x" * 32,
        }

    def typed(self, command: str) -> list[str]:
        here = command.replace(ADDRESS, str(self.live.http.base_url).rstrip("/"))
        return ["bash", "-euc", f"source {self.exported}\n{here}"]

    async def runs(self, command: str) -> str:
        """Have it run to its end, which must be a good one; its output."""
        process = await asyncio.create_subprocess_exec(
            *self.typed(f"{command}\nexport -p > {self.exported}"), cwd=ROOT, env=self.environ, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, f"{command}\n{err.decode()}"
        return out.decode()

    async def watches(self, command: str, call_id: str) -> None:
        """Have it run, and see there what arrives; then Ctrl-C."""
        process = await asyncio.create_subprocess_exec(
            *self.typed(f"exec {command}"), cwd=ROOT, env=self.environ, stdout=PIPE, stderr=PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert await process.stderr.readline() == b"listening\n"
        await self.live.event(call_id, {"type": "system", "at": 1769851800, "event_id": "seen"})
        assert call_id in (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGINT)
        await process.communicate()
        assert process.returncode == 130


async def follow(reader: Reader, page: str, block: Block) -> None:
    """Do what a block says."""
    if (place := ELSEWHERE.get((page, block.language))) is not None:
        assert page.rpartition("/")[2] in (ROOT / place).read_text(), f"{place} no longer runs what {page} has"
        return
    match block.language:
        case "python":
            file = reader.exported.with_suffix(".py")
            file.write_text(block.text)
            await reader.runs(f"{sys.executable} -W error {file}")
        case "" | "bash":
            for command in commands(block.text):
                await follow_command(reader, command)
        case unknown:
            pytest.fail(f"{page}: nobody runs its block of {unknown}")


async def follow_command(reader: Reader, command: str) -> None:
    match command.split():
        case ["pip", "install", requirement, *_]:
            assert_distributed(requirement)
        case ["make", verb, *_]:
            assert f"\n{verb}: " in (ROOT / "Makefile").read_text(), f"make knows no {verb}"
        case [tool, "tail", "--call", call_id, *_] if tool.endswith("mise-voice"):
            await reader.watches(command, call_id)
        case [tool, "call" | "sql", *_] if tool.endswith("mise-voice"):
            await reader.live.read()  # a second later, the docs say
            assert await reader.runs(command)
        case _:
            await reader.runs(command)


def assert_distributed(requirement: str) -> None:
    """There is a distribution of this name in the repository, with these extras."""
    found = re.fullmatch(r"([\w-]+)(?:\[([\w,-]+)\])?", requirement)
    assert found, requirement
    projects = {
        project["name"]: project
        for file in [ROOT / "pyproject.toml", *(ROOT / "observers").glob("*/pyproject.toml")]
        for project in [tomllib.loads(file.read_text())["project"]]
    }
    name, extras = found.groups()
    assert name in projects
    assert set((extras or "").split(",")) - {""} <= set(projects[name].get("optional-dependencies", {}))


def test_every_fence_is_a_block() -> None:
    """One that were not found would not be run."""
    drawings = {"README.md": 1}
    for page in PAGES:
        fences = (ROOT / page).read_text().count("```")
        assert fences == 2 * (len(blocks(page)) + drawings.get(page, 0)), page


@pytest.mark.parametrize("page", PAGES)
async def test_page_runs_as_it_stands(live: Live, page: str, tmp_path: Path) -> None:
    reader = Reader(live, tmp_path / "exported")
    key = keys.generate()
    keys.add(live.settings.keys_file(), key, workspace="default", name=page)
    url = str(live.http.base_url).rstrip("/")
    reader.exported.write_text(f"export KEY={key} MISE_VOICE_KEY={key} MISE_VOICE_URL={url}\n")
    (before,) = await live.rows("SELECT max(received_at) AS latest FROM turns")
    for block in blocks(page):
        await follow(reader, page, block)
    await live.read()
    for call_id, said in SAID.get(page, {}).items():
        turns = await live.turns(call_id)
        assert [turn["text"] for turn in turns if turn["received_at"] > before["latest"]] == said


def test_docs_have_queries() -> None:
    assert len(QUERIES) >= 4


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.strip().splitlines()[0][:40])
async def test_documented_query_runs(live: Live, query: str) -> None:
    columns, _ = await asyncio.to_thread(live.clickhouse.select, query)
    assert columns
