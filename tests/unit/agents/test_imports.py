"""What a stage imports is what its every start costs, also after a crash."""

from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.topics import SOURCES


@pytest.mark.parametrize("stage", SOURCES)
def test_no_stage_imports_the_measuring(stage: str) -> None:
    """scipy takes a second and 60 MiB; only the processes that measure need it."""
    line = f"import sys, agents.worker, agents.{stage}; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", line], check=False).returncode == 0
