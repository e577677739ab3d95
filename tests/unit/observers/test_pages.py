"""The pages on LiveKit and Pipecat name the versions that the observers ask for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("platform", "framework"), [("livekit", "livekit-agents"), ("pipecat", "pipecat-ai")])
def test_version_that_the_page_names_is_the_lowest_that_is_asked_for(platform: str, framework: str) -> None:
    project = tomllib.loads((ROOT / "observers" / platform / "pyproject.toml").read_text())["project"]
    page = (ROOT / "docs" / "integrations" / f"{platform}.md").read_text()
    (version,) = re.findall(r"in an agent of [\w ]+ ([\d.]+) or newer", page)
    assert any(needed.startswith(f"{framework}>={version},") for needed in project["dependencies"])
