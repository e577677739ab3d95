"""What was measured: printed as a table, and written as JSON under `bench/results/`."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from pipeline.version import VERSION

RESULTS = Path(__file__).parent / "results"


class Measurement(Struct, frozen=True, kw_only=True):
    """One figure. limit : what it should reach, in words; None where there is none yet."""

    name: str
    value: float
    unit: str
    how: str
    limit: str | None = None


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "cores": os.cpu_count() or 0,
        "processor": _processor(),
        "python": platform.python_version(),
        "mise_voice": VERSION,
    }


def report(found: list[Measurement]) -> None:
    """Print the table and write the JSON."""
    about = machine()
    table = Table(title=f"{about['cores']} cores, {about['processor']}, Python {about['python']}", title_justify="left")
    for column in ("figure", "value", "unit", "to reach", "how"):
        table.add_column(column, justify="right" if column == "value" else "left")
    for figure in found:
        table.add_row(
            figure.name,
            f"{figure.value:,.3g}" if figure.value < 10 else f"{figure.value:,.0f}",
            figure.unit,
            figure.limit or "",
            figure.how,
        )
    Console().print(table)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode({"machine": about, "measurements": found}), indent=2))
    Console().print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
