"""The agent in the docs runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Gateway
from fakes import Llm, Microphone, Speaker, Stt, Tts, Vad
from livekit.agents import AgentSession, JobContext, inference
from livekit.agents.testing import fake_job_context

PAGE = Path(__file__).parents[3] / "docs" / "integrations" / "livekit.md"


class Ears(Stt):
    def __init__(self, _: str) -> None:
        super().__init__()


class Mind(Llm):
    def __init__(self, _: str) -> None:
        super().__init__("Fine")


class Voice(Tts):
    def __init__(self, _: str) -> None:
        super().__init__()


async def test_agent_in_the_docs_is_observed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other voices and ears than LiveKit's, for which there is no network here, and its audio in this process."""
    (snippet,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    monkeypatch.setenv("MISE_VOICE_URL", gateway.url)
    monkeypatch.setenv("MISE_VOICE_KEY", "mv_key")
    for name, fake in (("STT", Ears), ("LLM", Mind), ("TTS", Voice), ("VAD", Vad)):
        monkeypatch.setattr(inference, name, fake)
    start = AgentSession.start
    sessions: list[AgentSession[Any]] = []

    async def start_here(session: AgentSession[Any], agent: Any, **_: object) -> None:
        session.output.audio, session.input.audio = Speaker(), Microphone()
        sessions.append(session)
        await start(session, agent, record=False)

    monkeypatch.setattr(AgentSession, "start", start_here)
    module: dict[str, Any] = {"__name__": "agent"}
    exec(compile(snippet, str(PAGE), "exec"), module)  # noqa: S102  # it is our own
    shutdown: list[Any] = []
    monkeypatch.setattr(JobContext, "add_shutdown_callback", lambda _, callback: shutdown.append(callback))
    with fake_job_context() as ctx:
        await module["answer"](ctx)
        await gateway.inbox.until(lambda inbox: bool(inbox.turns))
        await sessions[0].aclose()
        for callback in shutdown:
            if callback.__name__ == "flush_mise_observer":
                await callback()
    (turn,) = gateway.inbox.turns
    assert (turn["text"], turn["call_id"]) == ("Good evening, how can I help?", ctx.job.room.sid)
    assert turn["pcm"]
    assert [event["type"] for event in gateway.inbox.events if event["type"] != "metrics"] == ["call_ended"]
