"""The snippet of observers/core/README.md runs as it stands."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from tests.unit.observers.scripted import scripted

README = Path(__file__).parents[3] / "observers" / "core" / "README.md"


async def test_snippet_runs() -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", await asyncio.to_thread(README.read_text), re.DOTALL)
    async with scripted() as gateway:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            "-c",
            snippet,
            env=os.environ | {"MISE_VOICE_URL": gateway.url, "MISE_VOICE_KEY": "mv_key"},
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await child.communicate()
    assert child.returncode == 0
    assert said.decode() == "not sent: 0 turns, 0 events; 2 sent\n"
    assert [(row["call_id"], row["text"]) for row in gateway.turns] == [("my-call", "Hello?")]
    assert [row["type"] for row in gateway.events] == ["call_ended"]
