"""A call as a person reads it: its turns in order, as they stand in ClickHouse."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from rich.console import JustifyMethod
from rich.table import Table

from deploy.plain import plain
from pipeline.storage.clickhouse import ClickHouse
from schemas.errors import Refused

_TURNS = """
SELECT opened_at, participant, started_at, ended_at, text, level_dbfs, not_measured_reason, overlaps
FROM turns WHERE workspace = {workspace:String} AND call_id = {call_id:String}
ORDER BY opened_at, started_at, ended_at, turn_id
"""

_EVENTS = """
SELECT opened_at, type, at, participant, data
FROM call_events WHERE workspace = {workspace:String} AND call_id = {call_id:String}
ORDER BY opened_at, at, event_id
"""

_CLOCKS = """
SELECT opened_at, said.participant, said.clock_skew_ms
FROM calls ARRAY JOIN participants AS said
WHERE workspace = {workspace:String} AND call_id = {call_id:String} AND said.clock_skew_ms IS NOT NULL
ORDER BY opened_at, said.participant
"""


class Line(NamedTuple):
    """A line of the timeline. at : when it starts."""

    opened_at: datetime
    at: datetime
    ended_at: datetime | None
    participant: str
    text: str
    level: str
    overlap: str


def lines(clickhouse: ClickHouse, call_id: str, *, workspace: str) -> list[Line]:
    """Turns and call events of the call, in order. Raises Refused when there is no such call."""
    call = {"workspace": workspace, "call_id": call_id}
    _, turns = clickhouse.rows(_TURNS, call)
    _, events = clickhouse.rows(_EVENTS, call)
    found = [
        Line(
            opened_at,
            started_at,
            ended_at,
            participant,
            text,
            f"{level:.1f}" if level is not None else str(reason or ""),
            "; ".join(_overlap(overlap) for overlap in overlaps),
        )
        for opened_at, participant, started_at, ended_at, text, level, reason, overlaps in turns
    ] + [
        Line(
            opened_at,
            at,
            None,
            participant or "",
            " ".join([f"({kind})", *(f"{k}={v}" for k, v in data.items())]),
            "",
            "",
        )
        for opened_at, kind, at, participant, data in events
    ]
    if not found:
        raise Refused(
            f"no call {call_id!r} in workspace {workspace!r}; see which there are with `mise-voice sql` and "
            f"select workspace, call_id from calls"
        )
    return sorted(found, key=lambda line: (line.opened_at, line.at))


def warnings(clickhouse: ClickHouse, call_id: str, *, workspace: str) -> list[str]:
    """What may be wrong with the call's times; they are shown as they were sent."""
    _, found = clickhouse.rows(_CLOCKS, {"workspace": workspace, "call_id": call_id})
    return [
        f"the clock of {participant} seems to be {abs(skew_ms) / 1000:.1f} s {'behind' if skew_ms > 0 else 'ahead'}: "
        f"overlaps and gaps with others may be off by as much"
        for _, participant, skew_ms in found
    ]


def table(call_id: str, found: list[Line]) -> Table:
    """The lines as a table; times in seconds from the call's first line."""
    title = plain(f"Call {call_id}, from {found[0].at:%Y-%m-%d %H:%M:%S} UTC")
    table = Table(title=title, title_justify="left")
    for name in ("participant", "start", "end", "text", "level (dBFS)", "overlap"):
        # Folded, not cut: a narrow terminal should not hide what an overlap is.
        justify: JustifyMethod = "right" if name in ("start", "end", "level (dBFS)") else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for line in found:
        table.add_row(
            plain(line.participant),
            _seconds(found[0].at, line.at),
            _seconds(found[0].at, line.ended_at) if line.ended_at else "",
            plain(line.text),
            line.level,
            plain(line.overlap),
        )
    return table


def _seconds(start: datetime, at: datetime) -> str:
    return f"{(at - start).total_seconds():.2f}"


def _overlap(overlap: dict[str, object]) -> str:
    return "{duration_ms} ms over {overlapped} ({class})".format_map(overlap)
