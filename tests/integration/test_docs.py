"""What the docs tell people to run does run."""

import asyncio
import re
from pathlib import Path

import pytest

from tests.integration.live import Live

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
