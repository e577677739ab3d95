"""The features of a file as a person reads them."""

from __future__ import annotations

from itertools import groupby
from typing import get_args, get_type_hints

import msgspec
from rich.console import Group
from rich.table import Table
from rich.text import Text

from deploy.features_of_files import MeasuredFile, Value
from deploy.plain import plain
from schemas.features import Features
from schemas.measured import SpeechSegment

NOT_MEASURED = "—"

DECIMALS = {"": 4, "s": 3, "Hz": 1}
"""Of a unit's values, 2 of those of the others: no more digits than mean something to an ear."""


def table(measured: MeasuredFile) -> Group:
    """The file's features by group, and its segments of speech."""
    hints = get_type_hints(Features, include_extras=True)
    values = msgspec.structs.asdict(measured.found.features)
    rows = [(name, get_args(hints[name])[1].extra) for name in Features.__struct_fields__]
    shown = Table()
    shown.add_column("group")
    shown.add_column("feature")
    shown.add_column("value", justify="right")
    shown.add_column("unit")
    for group, members in groupby(rows, key=lambda row: row[1]["group"]):
        for number, (name, extra) in enumerate(members):
            shown.add_row("" if number else group, name, shown_value(values[name], extra["unit"]), extra["unit"])
        shown.add_section()
    # Not the table's title: a path may be wider than it.
    return Group(plain(measured.name), shown, _segments(measured.found.segments))


def shown_value(value: Value, unit: str) -> str:
    """The value with as many decimals as its unit deserves; a dash where it was not measured."""
    if value is None:
        return NOT_MEASURED
    if isinstance(value, float):
        return f"{value:.{DECIMALS.get(unit, 2)}f}"
    return str(value)


def _segments(segments: list[SpeechSegment]) -> Text:
    spans = (f"{segment.start_ms / 1000:.2f}–{segment.end_ms / 1000:.2f}" for segment in segments)
    return Text(f"speech [s]: {', '.join(spans) or 'none was found'}\n")
