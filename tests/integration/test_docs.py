"""What the docs tell people to run does run."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.integration.live import Live
from tests.integration.waiting import until

ROOT = Path(__file__).parents[2]

QUERIES = [
    *re.findall(r"```sql\n(.*?);?\n```", (ROOT / "docs" / "store.md").read_text(), re.DOTALL),
    *re.findall(r'mise-voice sql "\n(.*?)"\n', (ROOT / "README.md").read_text(), re.DOTALL),
]


def test_docs_have_queries() -> None:
    assert len(QUERIES) >= 4


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.strip().splitlines()[0][:40])
async def test_documented_query_runs(live: Live, query: str) -> None:
    columns, _ = await asyncio.to_thread(live.clickhouse.select, query)
    assert columns


async def test_readme_turn_is_accepted(live: Live) -> None:
    (body,) = re.findall(r"-d '(\{.*?\})'", (ROOT / "README.md").read_text(), re.DOTALL)
    answer = await live.http.post("/v1/turns", content=body)
    assert answer.status_code == 202, answer.text


BY_HTTP = (ROOT / "docs" / "integrations" / "http.md").read_text()


@pytest.mark.parametrize(
    ("language", "command", "call_id", "said"),
    [
        ("bash", ["bash", "-euc"], "by-curl", ["Hello?"]),
        ("python", [sys.executable, "-c"], "by-python", ["Hello?", "Hi, how can I help?"]),
    ],
)
async def test_client_in_the_docs_sends_what_it_says(
    live: Live, language: str, command: list[str], call_id: str, said: list[str]
) -> None:
    (snippet,) = re.findall(rf"```{language}\n(.*?)```", BY_HTTP, re.DOTALL)
    environ = {
        **os.environ,
        "MISE_VOICE_URL": str(live.http.base_url).rstrip("/"),
        "MISE_VOICE_KEY": live.http.headers["Authorization"].removeprefix("Bearer "),
    }
    process = await asyncio.create_subprocess_exec(*command, snippet, env=environ, stdout=PIPE, stderr=PIPE)
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert call_id in out.decode()
    turns = await until(lambda: live.turns(call_id), lambda turns: len(turns) == len(said))
    assert [turn["text"] for turn in turns] == said
