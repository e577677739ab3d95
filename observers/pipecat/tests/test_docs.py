"""The snippets of docs/integrations/pipecat.md run as they stand there."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from bed import Clip, call, clip, observed_by
from scripted import ScriptedGateway
from test_bad_input import GREETING, listen

PAGE = Path(__file__).parents[3] / "docs" / "integrations" / "pipecat.md"
THE_LINE, _IN_A_ROOM, SWITCHES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture(autouse=True)
def address(gateway: ScriptedGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MISE_VOICE_URL", gateway.url)
    monkeypatch.setenv("MISE_VOICE_KEY", "mv_key")


def run(snippet: str) -> dict[str, Any]:
    module: dict[str, Any] = {"__name__": "agent"}
    exec(compile(snippet, str(PAGE), "exec"), module)  # noqa: S102 - it is our own
    return module


async def test_worker_in_the_docs_is_observed(gateway: ScriptedGateway) -> None:
    worker = run(THE_LINE)["worker"]
    await call(lambda pipeline: worker(pipeline, "a-call"), [[GREETING]]).run(listen)
    (turn,) = gateway.turns
    assert (turn["call_id"], turn["participant"], turn["text"]) == ("a-call", "agent", GREETING.text)
    assert turn["audio_b64"]
    assert {"room_started", "metrics", "call_ended"} <= {event["type"] for event in gateway.events}
    assert gateway.requests[0].headers["Authorization"] == f"Bearer {os.environ['MISE_VOICE_KEY']}"


async def test_switches_in_the_docs_switch(gateway: ScriptedGateway) -> None:
    observer = run(SWITCHES)["observer"]
    number = Clip("Your table is number 12.", clip(3).samples)
    await call(observed_by([observer]), [[number]]).run(listen)
    (turn,) = gateway.turns
    assert (turn["call_id"], turn["text"]) == (observer.call_id, "Your table is number ##.")
    assert "audio_b64" not in turn
