"""The decoder under atheris, for a few seconds; `tests/fuzz/decode.py` says how to let it run for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS = 20_000
ROOT = Path(__file__).parents[4]


def test_no_damaged_file_breaks_the_decoder(tmp_path: Path) -> None:
    """In a process of its own: what is looked for may end it."""
    pytest.importorskip("atheris", reason="atheris is built for Linux alone, and not yet for the newest Pythons")
    fuzzing = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.decode", f"-runs={RUNS}", "-seed=1"],
        cwd=tmp_path,  # where failing inputs are written to
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=300,
        check=False,
    )
    report = fuzzing.stderr.decode(errors="replace")[-4_000:]
    assert fuzzing.returncode == 0, report
    assert f"Done {RUNS} runs" in report
