"""The shell blocks of the pages on LiveKit and Pipecat run as they stand; their Python does beside the observers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from deploy.services import gateway_url
from pipeline.gateway import keys
from pipeline.settings import Settings

ROOT = Path(__file__).parents[3]

FRAMEWORKS = {"livekit": "livekit-agents", "pipecat": "pipecat-ai"}
INSTALL = re.compile(r"^pip install ([\w-]+)(?:\[([\w,-]+)\])?(?= |$)", re.MULTILINE)

pytestmark = pytest.mark.parametrize("platform", FRAMEWORKS)


def page(platform: str) -> str:
    return (ROOT / "docs" / "integrations" / f"{platform}.md").read_text()


def shell(platform: str) -> list[str]:
    """The lines of the one block."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page(platform), re.DOTALL | re.MULTILINE)
    (block,) = [block for language, block in blocks if not language]
    lines: list[str] = block.splitlines()
    return lines


def test_what_is_to_be_installed_is_the_observer_for_the_version_that_is_named(platform: str) -> None:
    project = tomllib.loads((ROOT / "observers" / platform / "pyproject.toml").read_text())["project"]
    readme = (ROOT / "observers" / platform / "README.md").read_text()
    for lines in (shell(platform)[0], readme):
        ((name, extras),) = INSTALL.findall(lines)
        assert name == project["name"]
        assert set(filter(None, extras.split(","))) <= project["optional-dependencies"].keys()
    (version,) = re.findall(r"in an agent of [\w ]+ ([\d.]+) or newer", page(platform))
    assert any(needed.startswith(f"{FRAMEWORKS[platform]}>={version},") for needed in project["dependencies"])


def test_key_is_made_and_the_address_is_the_gateways(platform: str, tmp_path: Path) -> None:
    found = 'echo "$MISE_VOICE_URL" "$MISE_VOICE_KEY"'
    said = subprocess.run(
        ["/bin/bash", "-euc", "\n".join([*shell(platform)[1:], found])],
        env={
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "MISE_VOICE_DATA_DIR": str(tmp_path),
        },
        capture_output=True,
        check=True,
        text=True,
    )
    url, key = said.stdout.split()
    assert url == gateway_url(Settings(data_dir=tmp_path))
    (entry,) = keys.read(Settings(data_dir=tmp_path).keys_file())
    assert entry.id == keys.digest(key)[:12]
