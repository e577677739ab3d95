"""Writes the files that are made from the code: `python -m deploy.generate`. A test fails when they are stale.

schemas/json/ : JSON Schema of every record, and the gateway's OpenAPI. docs/ : the tables of settings, columns,
features, topics and metrics, between the lines `<!-- generated -->` and `<!-- end -->` of their pages.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, get_args, get_type_hints

import msgspec
from prometheus_client.metrics import MetricWrapperBase
from pydantic_core import PydanticUndefined

from pipeline import metrics
from pipeline.gateway import openapi
from pipeline.settings import PREFIX, Settings
from schemas.annotated import CallSummary
from schemas.dead_letter import DeadLetter
from schemas.event import CallEvent
from schemas.features import Features
from schemas.records import Annotated, Measured, Received
from schemas.topics import DAY_MS, TOPICS
from schemas.turn import Turn

RECORDS: dict[str, Any] = {
    "turn": Turn,
    "call_event": CallEvent,
    "received": Received,
    "measured": Measured,
    "annotated": Annotated,
    "call_summary": CallSummary,
    "dead_letter": DeadLetter,
}

BEGIN = "<!-- generated -->\n"
END = "<!-- end -->"


def generated(root: Path) -> Iterator[tuple[Path, str]]:
    """Path and content of every generated file. root : of the repository."""
    for name, record in RECORDS.items():
        yield root / "schemas" / "json" / f"{name}.schema.json", _json(msgspec.json.schema(record))
    # Not the version of the package: the interface does not change with each.
    yield root / "schemas" / "json" / "openapi.json", _json(openapi.document("1"))
    for page, table in (
        ("settings.md", _settings()),
        ("store.md", _columns()),
        ("features.md", _features()),
        ("topics.md", _topics()),
        ("metrics.md", _metrics()),
    ):
        path = root / "docs" / page
        before, _, after = path.read_text().partition(BEGIN)
        yield path, f"{before}{BEGIN}{table}{END}{after.partition(END)[2]}"


def _json(document: object) -> str:
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


def _settings() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for name, field in Settings.model_fields.items():
            if field.default is PydanticUndefined:
                default = "number of cores"
            elif field.default is None:
                default = ""
            else:
                default = f"`{field.default}`" if str(field.default) else "empty"
            yield f"`{PREFIX}{name.upper()}`", default, field.description or ""

    return _table(("variable", "default", "meaning"), rows())


def _columns() -> str:
    """The columns of the views' tables, from the migrations."""
    sql = "".join(
        file.read_text(encoding="utf-8")
        for file in sorted(resources.files("schemas").joinpath("clickhouse").iterdir(), key=lambda file: file.name)
    )
    parts = []
    for view, table in (("turns", "turn_rows"), ("calls", "call_rows"), ("call_events", "event_rows")):
        match = re.search(rf"CREATE TABLE IF NOT EXISTS {table}\n\((.*?)\n\)\nENGINE", sql, re.DOTALL)
        assert match, f"no table {table} in the migrations"  # noqa: S101
        columns = [_Column(*column.group("name", "type", "comment")) for column in _COLUMN.finditer(match[1])]
        for altered in re.finditer(rf"^ALTER TABLE {table}\n(.*?);$", sql, re.DOTALL | re.MULTILINE):
            for action in altered[1].split(",\n"):
                _alter(columns, action)
        rows = (
            (f"`{column.name}`", f"`{column.type}`", (column.comment or "").replace("''", "'")) for column in columns
        )
        parts.append(f"\n### mise.{view}\n\n{_table(('column', 'type', 'meaning'), rows)}")
    return "".join(parts) + "\n"


class _Column(NamedTuple):
    name: str
    type: str
    comment: str | None


_TEXT = r"'(?P<comment>(?:[^']|'')*)'"
_COLUMN = re.compile(
    rf"^    (?P<name>\w+) +(?P<type>\S.*?)(?: CODEC\(.*?\)\))?(?: DEFAULT \S+)?(?: COMMENT {_TEXT})?,?$", re.MULTILINE
)
_ADD = re.compile(
    rf"    ADD COLUMN IF NOT EXISTS (?P<name>\w+) (?P<type>\S.*?)(?: COMMENT {_TEXT})? AFTER (?P<after>\w+)"
)
_SAY = re.compile(rf"    COMMENT COLUMN IF EXISTS (?P<name>\w+) {_TEXT}")

_MODIFY = re.compile(rf"    MODIFY COLUMN (?P<name>\w+) (?P<type>\S.*?) COMMENT {_TEXT}")


def _alter(columns: list[_Column], action: str) -> None:
    """Do to the columns what an action of ALTER TABLE does. Fails for an action of another kind."""
    names = [column.name for column in columns]
    if add := _ADD.fullmatch(action):
        columns.insert(names.index(add["after"]) + 1, _Column(*add.group("name", "type", "comment")))
    elif say := _SAY.fullmatch(action):
        index = names.index(say["name"])
        columns[index] = columns[index]._replace(comment=say["comment"])
    elif modify := _MODIFY.fullmatch(action):
        columns[names.index(modify["name"])] = _Column(*modify.group("name", "type", "comment"))
    else:
        raise AssertionError(f"teach deploy.generate to read: {action}")


def _features() -> str:
    """The feature table, a section for each group."""
    hints = get_type_hints(Features, include_extras=True)
    features = [(name, get_args(hints[name])[1]) for name in Features.__struct_fields__]
    parts = []
    for group, members in groupby(features, key=lambda feature: feature[1].extra["group"]):
        rows = (
            (
                f"`{name}`",
                meta.extra["unit"],
                meta.description.removesuffix(f" [{meta.extra['unit']}]"),
                meta.extra["source"],
                meta.extra["null"],
            )
            for name, meta in members
        )
        table = _table(("feature", "unit", "definition", "source", "NULL when"), rows)
        parts.append(f"\n### {group.capitalize()}\n\n{table}")
    return "".join(parts) + "\n"


def _topics() -> str:
    return _table(
        ("topic", "holds", "partitions", "kept"),
        (
            (
                f"`{topic.name}`",
                topic.holds,
                "by call" if topic.partitioned_by_call else "1",
                "newest of each key" if topic.retention_ms is None else f"{topic.retention_ms // DAY_MS} days",
            )
            for topic in TOPICS
        ),
    )


def _metrics() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for metric in vars(metrics).values():
            if isinstance(metric, MetricWrapperBase):
                (described,) = metric.describe()
                name = f"{described.name}_total" if described.type == "counter" else described.name
                labels = ", ".join(metric._labelnames)
                yield f"`{name}`", described.type, labels, described.documentation

    return _table(("metric", "kind", "labels", "meaning"), rows())


def main() -> None:
    root = Path(__file__).parents[1]
    for path, content in generated(root):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        print(path.relative_to(root), file=sys.stderr)


if __name__ == "__main__":
    main()
