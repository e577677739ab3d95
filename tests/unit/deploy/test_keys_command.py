"""`mise-voice keys`: LiveKit's secrets come in by no argument, and never out."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy import cli
from pipeline.gateway import keys
from pipeline.gateway.keys import KeyRing

SECRET = "a-secret-of-a-livekit-project-for-tests"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MISE_VOICE_API_KEYS_FILE", str(tmp_path / "keys.jsonl"))
    monkeypatch.delenv("LIVEKIT_API_SECRET", raising=False)
    return tmp_path / "keys.jsonl"


def run(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """What it printed, on both streams."""
    result = CliRunner().invoke(cli.app, ["keys", *arguments], input=stdin, env=env, catch_exceptions=False)
    assert result.exit_code == 0
    assert SECRET not in result.output
    return result.output


@pytest.mark.parametrize("how", ["environment", "standard input"])
def test_secret_is_read_from_the_environment_or_standard_input_and_is_not_shown(path: Path, how: str) -> None:
    by_environment = how == "environment"
    run(
        *("add-livekit", "APIone", "--workspace", "acme", "--name", "telephony"),
        stdin="" if by_environment else f"{SECRET}\n",
        env={"LIVEKIT_API_SECRET": f"{SECRET}\n"} if by_environment else None,
    )
    found = KeyRing(path).find_livekit("APIone")
    assert found is not None
    assert (found.secret, found.workspace, found.name) == (SECRET, "acme", "telephony")


def test_list_shows_both_kinds_without_secrets_and_revoke_takes_either(path: Path) -> None:
    key = run("create", "--workspace", "acme").strip()
    run("add-livekit", "APIone", "--workspace", "acme", stdin=SECRET)
    listed = run("list")
    assert "APIone" in listed
    assert "webhooks/livekit" in listed
    assert keys.digest(key)[:12] in listed
    assert key not in listed
    run("revoke", "APIone")
    assert [entry.id for entry in keys.read(path)] == [keys.digest(key)[:12]]
