"""The command `mise-voice`: the one place that puts everything together."""

from __future__ import annotations

import asyncio
import sys
from enum import StrEnum
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from deploy.plain import plain
from pipeline import log
from pipeline.settings import Settings
from schemas.errors import MiseError

app = typer.Typer(
    help="Mise Voice: every turn of your voice calls, in ClickHouse.",
    no_args_is_help=True,
    # Its tracebacks show local variables: spoken text and keys in a log.
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


NARROWEST_COLUMN = 8
"""Characters; with more columns than that leaves room for, each row becomes a table of its own."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


class StageName(StrEnum):
    FEATURES = "features"
    CALLS = "calls"
    SINK = "sink"


@app.command()
def run(
    *, example: Annotated[bool, typer.Option(help="Send the example call once everything is ready.")] = True
) -> None:
    """Start everything, ingest a real call, print its turns, serve until Ctrl-C."""
    from deploy import run as running  # noqa: PLC0415 - the other commands need none of it

    settings = Settings.from_environment()
    log.configure("warning", process="run")
    raise typer.Exit(running.main(settings, example=example, console=Console()))


@app.command()
def gateway() -> None:
    """Serve the HTTP endpoint."""
    import uvicorn  # noqa: PLC0415

    from pipeline.gateway.app import create_app  # noqa: PLC0415
    from pipeline.kafka.client import brokers  # noqa: PLC0415

    settings = Settings.from_environment()
    brokers(settings)
    log.configure(settings.log_level, process="gateway")
    uvicorn.run(
        create_app(settings),
        host=settings.gateway_host,
        port=settings.gateway_port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


@app.command()
def worker(stage: StageName) -> None:
    """Run one stage."""
    from agents.worker import main as run_stage  # noqa: PLC0415

    settings = Settings.from_environment()
    log.configure(settings.log_level, process=stage.value)
    run_stage(settings, stage.value)


@app.command()
def migrate() -> None:
    """Create the topics and apply the ClickHouse migrations that are missing."""
    from deploy.run_file import running_settings  # noqa: PLC0415
    from pipeline.kafka.topics import create_topics  # noqa: PLC0415
    from pipeline.storage import migrate as migrations  # noqa: PLC0415

    settings = running_settings(Settings.from_environment())
    log.configure(settings.log_level, process="migrate")
    asyncio.run(create_topics(settings))
    applied = migrations.migrate(settings)
    typer.echo(f"applied: {', '.join(applied) or 'nothing, all is up to date'}", err=True)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="Read only; tables and views of the database need no prefix.")],
    *,
    format: Annotated[Format, typer.Option(help="table for people, json for programs.")] = Format.TABLE,
) -> None:
    """Ask ClickHouse."""
    from deploy.run_file import running_settings  # noqa: PLC0415
    from pipeline.storage.clickhouse import ClickHouse  # noqa: PLC0415

    clickhouse = ClickHouse(running_settings(Settings.from_environment()))
    columns, rows = clickhouse.select(query)
    if format is Format.JSON:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(rows), indent=1) + b"\n")
        return
    console = Console()
    if len(columns) * NARROWEST_COLUMN > console.width:
        for number, row in enumerate(rows, 1):
            tall = Table("column", f"row {number}")
            for column in columns:
                tall.add_row(plain(column), _cell(row[column]))
            console.print(tall)
        return
    table = Table(*(Column(plain(column)) for column in columns))
    for row in rows:
        table.add_row(*(_cell(row[column]) for column in columns))
    console.print(table)


@app.command()
def call(
    call_id: str, *, workspace: Annotated[str, typer.Option(help="Call ids are unique inside one.")] = "default"
) -> None:
    """Show a call as a timeline."""
    from deploy import timeline  # noqa: PLC0415
    from deploy.run_file import running_settings  # noqa: PLC0415
    from pipeline.storage.clickhouse import ClickHouse  # noqa: PLC0415

    clickhouse = ClickHouse(running_settings(Settings.from_environment()))
    Console().print(timeline.table(call_id, timeline.lines(clickhouse, call_id, workspace=workspace)))


@keys_app.command("create")
def create_key(
    *,
    workspace: Annotated[str, typer.Option(help="Whose calls the key sends.")] = "default",
    name: Annotated[str, typer.Option(help="What the key is for, for people.")] = "",
) -> None:
    """Make a key; it is printed once, and only its hash is kept."""
    from pipeline.gateway import keys  # noqa: PLC0415

    path = Settings.from_environment().keys_file()
    key = keys.generate()
    keys.add(path, key, workspace=workspace, name=name)
    typer.echo(key)


@keys_app.command("list")
def list_keys() -> None:
    """List the keys by the beginning of their hash."""
    from pipeline.gateway import keys  # noqa: PLC0415

    table = Table("id", "workspace", "scopes", "name")
    for key in keys.read(Settings.from_environment().keys_file()):
        table.add_row(key.id, key.workspace, ", ".join(key.scopes), plain(key.name))
    Console().print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Revoke a key; the gateway refuses it from the next request on."""
    from pipeline.gateway import keys  # noqa: PLC0415

    revoked = keys.revoke(Settings.from_environment().keys_file(), key_id)
    typer.echo(f"revoked {revoked.id} of workspace {revoked.workspace}", err=True)


def _cell(value: object) -> Text:
    if value is None:
        return Text("NULL")
    return plain(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def main() -> NoReturn:
    """Run the command; an error of ours is one line on standard error and status 1."""
    try:
        app()
    except MiseError as error:
        typer.echo(f"mise-voice: {error}", err=True)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
