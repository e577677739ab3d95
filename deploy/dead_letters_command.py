"""`mise-voice dead-letters`: the command; what it does stands in `deploy.dead_letters`."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Collection
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.plain import plain
from pipeline.settings import Settings
from schemas.errors import Refused
from schemas.instants import to_iso, to_ms
from schemas.topics import SOURCES

if TYPE_CHECKING:
    from deploy.dead_letters import Filter, Handled, Letter, LetterId

app = typer.Typer(help="Records that no stage could process: look at them, send them again.", no_args_is_help=True)

_CONTROL = re.compile(r"[\x7f-\x9f]")


class StageName(StrEnum):
    FEATURES = "features"
    CALLS = "calls"
    SINK = "sink"


IDS = Annotated[list[str] | None, typer.Argument(help="PARTITION:OFFSET, as `list` shows them.", metavar="ID")]
STAGE = Annotated[StageName | None, typer.Option(help="Which stage gave up.")]
REASON = Annotated[str | None, typer.Option(help="As it stands in the letter, such as row_rejected.")]
SOURCE_TOPIC = Annotated[str | None, typer.Option(help="Which topic the record was read from.")]
CALL = Annotated[str | None, typer.Option(help="The call_id of the record's key.")]
SINCE = Annotated[str | None, typer.Option(help="Written then or later: ISO 8601 with a zone, or epoch seconds.")]
UNTIL = Annotated[str | None, typer.Option(help="Written before: ISO 8601 with a zone, or epoch seconds.")]
ALL = Annotated[bool, typer.Option("--all", help="Also those that were retried or dropped already.")]
YES = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_letters(
    *,
    stage: STAGE = None,
    reason: REASON = None,
    source_topic: SOURCE_TOPIC = None,
    call: CALL = None,
    since: SINCE = None,
    until: UNTIL = None,
    all_letters: ALL = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line, one for each letter.")] = False,
) -> None:
    """List the open dead letters, the oldest first."""
    chosen = _filter(None, stage, reason, source_topic, call, since, until, all_letters)
    if as_json:
        asyncio.run(_print_lines(chosen))
        return
    table = Table()
    for name in ("id", "failed at", "stage", "reason", "source", "call", "status", "error"):
        # Folded, not cut: an id or a reason is there to be copied.
        table.add_column(name, overflow="fold")
    for row in asyncio.run(_rows(chosen)):
        table.add_row(*row)
    Console().print(table)


@app.command()
def show(letter_id: Annotated[str, typer.Argument(help="PARTITION:OFFSET, as `list` shows it.", metavar="ID")]) -> None:
    """Print a dead letter with its record, as JSON.

    The record stands under `record` where it is JSON, and its bytes under
    `value` (base64) where it is not.
    """
    from deploy.dead_letters import LetterId  # noqa: PLC0415

    letter = asyncio.run(_one(LetterId.read(letter_id)))
    printed = described(letter)
    try:
        printed["record"] = msgspec.Raw(msgspec.json.encode(msgspec.json.decode(letter.content.value or b"")))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        printed["value"] = letter.content.value
    text = msgspec.json.format(msgspec.json.encode(printed), indent=2).decode()
    # What a terminal would take for a command; JSON has escapes for it.
    typer.echo(_CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


@app.command()
def retry(
    ids: IDS = None,
    *,
    stage: STAGE = None,
    reason: REASON = None,
    source_topic: SOURCE_TOPIC = None,
    call: CALL = None,
    since: SINCE = None,
    until: UNTIL = None,
    all_letters: ALL = False,
    yes: YES = False,
) -> None:
    """Send the records of open dead letters again, to the stage that refused them.

    To do it twice changes nothing in the store. A record that is refused
    again becomes a new dead letter.
    """
    _handle("retried", _filter(ids, stage, reason, source_topic, call, since, until, all_letters), yes=yes)


@app.command()
def drop(
    ids: IDS = None,
    *,
    stage: STAGE = None,
    reason: REASON = None,
    source_topic: SOURCE_TOPIC = None,
    call: CALL = None,
    since: SINCE = None,
    until: UNTIL = None,
    all_letters: ALL = False,
    yes: YES = False,
) -> None:
    """Mark open dead letters as dropped: nobody needs them.

    They stay readable (`list --all`, `show`) as long as the topic keeps them.
    """
    _handle("dropped", _filter(ids, stage, reason, source_topic, call, since, until, all_letters), yes=yes)


@app.command()
def resume(
    stage: StageName,
    *,
    to_end: Annotated[
        bool, typer.Option("--to-end", help="Let all that stands in its topics now pass, however much of it is dead.")
    ] = False,
) -> None:
    """Let a stage go on that has stopped at too many dead letters.

    Its limits count anew from the record at which it stands. Not needed where
    the cause was mended: then the stage goes on by itself.
    """
    partitions = asyncio.run(_resumed(stage, to_end=to_end))
    typer.echo(
        f"{stage.value}: limits of {partitions} partitions count anew; it goes on when it starts again", err=True
    )


def described(letter: Letter) -> dict[str, Any]:
    """The letter without its record, for programs: instants in ISO 8601, the key of a call as what it consists of."""
    content = msgspec.structs.asdict(letter.content)
    del content["value"]
    if letter.call:
        del content["key"]
    workspace, call_id = letter.call or (None, None)
    at, source_at = letter.content.failed_at, letter.content.source_timestamp
    return {
        "id": str(letter.id),
        "status": letter.status,
        **content,
        "failed_at": to_iso(at),
        "source_timestamp": None if source_at is None else to_iso(source_at),
        "workspace": workspace,
        "call_id": call_id,
        "bytes": len(letter.content.value or b""),
    }


def _filter(
    ids: list[str] | None,
    stage: StageName | None,
    reason: str | None,
    source_topic: str | None,
    call: str | None,
    since: str | None,
    until: str | None,
    handled: bool,
) -> Filter:
    from deploy.dead_letters import Filter, LetterId  # noqa: PLC0415

    return Filter(
        ids={LetterId.read(text) for text in ids} if ids else None,
        stage=stage.value if stage else None,
        reason=reason,
        source_topic=source_topic,
        call=call,
        since=_instant(since, "--since"),
        until=_instant(until, "--until"),
        handled=handled,
    )


def _instant(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        return to_ms(text, field=option)
    return to_ms(seconds, field=option)


def _handle(what: Handled, chosen: Filter, *, yes: bool) -> None:
    """Retry or drop what the filter takes, after asking."""
    reasons = asyncio.run(_reasons(chosen))
    if reasons and not yes:
        counts = Counter(reasons.values()).most_common()
        which = ", ".join(f"{count} {plain(reason)}" for reason, count in counts)
        verb = {"retried": "Retry", "dropped": "Drop"}[what]
        typer.confirm(f"{verb} {len(reasons)} dead letters ({which})?", abort=True, err=True)
    count = asyncio.run(_handled(reasons.keys(), what)) if reasons else 0
    typer.echo(f"{what}: {count}", err=True)


async def _reasons(chosen: Filter) -> dict[LetterId, str]:
    """Id and reason of what the filter takes; a letter that was named and is handled already is said to be."""
    found, named = {}, set()
    async for letter in _all():
        if chosen.ids and letter.id in chosen.ids:
            named.add(letter.id)
            if letter.status != "open" and not chosen.handled:
                typer.echo(f"{letter.id} is {letter.status} already; --all takes it once more", err=True)
        if chosen.takes(letter):
            found[letter.id] = letter.content.reason
    if missing := set(chosen.ids or ()) - named:
        raise _not_there(*missing)
    return found


async def _handled(ids: Collection[LetterId], what: Handled) -> int:
    from deploy.connected import connected  # noqa: PLC0415
    from deploy.dead_letters import handle  # noqa: PLC0415

    settings = _settings()
    async with connected(settings) as consumer:
        return await handle(settings, consumer, ids, what)


async def _resumed(stage: StageName, *, to_end: bool) -> int:
    from agents.app import group_id  # noqa: PLC0415
    from deploy.connected import connected  # noqa: PLC0415
    from deploy.dead_letters import resume  # noqa: PLC0415

    settings = _settings()
    topics = [topic.name for topic in SOURCES[stage.value]]
    async with connected(settings) as consumer:
        return await resume(settings, consumer, stage.value, group_id(stage.value), topics, to_end=to_end)


async def _print_lines(chosen: Filter) -> None:
    async for letter in _all():
        if chosen.takes(letter):
            sys.stdout.buffer.write(msgspec.json.encode(described(letter)) + b"\n")
    sys.stdout.buffer.flush()


async def _rows(chosen: Filter) -> list[tuple[str | Text, ...]]:
    return [_row(letter) async for letter in _all() if chosen.takes(letter)]


def _row(letter: Letter) -> tuple[str | Text, ...]:
    content = letter.content
    return (
        str(letter.id),
        to_iso(content.failed_at),
        plain(content.stage),
        plain(content.reason),
        plain(f"{content.source_topic}/{content.source_partition}:{content.source_offset}"),
        plain(letter.call[1] if letter.call else ""),
        letter.status,
        plain(content.error),
    )


async def _one(letter_id: LetterId) -> Letter:
    found = [letter async for letter in _all() if letter.id == letter_id]
    if not found:
        raise _not_there(letter_id)
    return found[0]


async def _all() -> AsyncIterator[Letter]:
    """Every letter; what is none is said to be."""
    from deploy.connected import connected  # noqa: PLC0415
    from deploy.dead_letters import Letter, letters  # noqa: PLC0415

    async with connected(_settings()) as consumer:
        async for letter in letters(consumer):
            if isinstance(letter, Letter):
                yield letter
            else:
                typer.echo(f"mise-voice: {letter.id} is no dead letter: {plain(str(letter.error))}", err=True)


def _not_there(*ids: LetterId) -> Refused:
    return Refused(f"no dead letter {', '.join(map(str, sorted(ids)))}; see which there are with `list --all`")


def _settings() -> Settings:
    from deploy.run_file import running_settings  # noqa: PLC0415

    return running_settings(Settings.from_environment())
