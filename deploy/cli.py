"""The command `mise-voice`: the one place that puts everything together."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import StrEnum
from getpass import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from deploy import dead_letters_command
from deploy.dead_letters_command import StageName
from deploy.plain import plain
from pipeline import log
from pipeline.settings import Settings
from schemas.errors import Misconfigured, MiseError, Refused
from schemas.turn import AudioChannel

if TYPE_CHECKING:
    from deploy.features_of_files import Reading

app = typer.Typer(
    help="Mise Voice: every turn of your voice calls, in ClickHouse.",
    no_args_is_help=True,
    # Its tracebacks show local variables: spoken text and keys in a log.
    pretty_exceptions_enable=False,
)
keys_app = typer.Typer(help="API keys of the gateway.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")
app.add_typer(dead_letters_command.app, name="dead-letters")


NARROWEST_COLUMN = 8
"""Characters; with more columns than that leaves room for, each row becomes a table of its own."""


class Format(StrEnum):
    TABLE = "table"
    JSON = "json"


class RawFormat(StrEnum):
    """Of `schemas.turn.RAW_FORMATS`."""

    PCM_S16LE = "pcm_s16le"
    MULAW = "mulaw"


class Channel(StrEnum):
    """`schemas.turn.AudioChannel`, as it is typed."""

    FIRST = "0"
    SECOND = "1"
    MIX = "mix"


class RulesOption(StrEnum):
    """`schemas.annotated.RulesName`."""

    PRODUCT = "product"
    PLAIN = "plain"


class RoleOption(StrEnum):
    """`schemas.turn.Role`."""

    USER = "user"
    AGENT = "agent"
    HUMAN_AGENT = "human_agent"


class F0(StrEnum):
    """`schemas.features.F0Estimator`."""

    AUTOCORRELATION = "autocorrelation"
    DIO = "dio"
    HARVEST = "harvest"


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
    from pipeline.gateway.serve import serve  # noqa: PLC0415
    from pipeline.kafka.client import brokers  # noqa: PLC0415

    settings = Settings.from_environment()
    brokers(settings)
    log.configure(settings.log_level, process="gateway")
    serve(settings)


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
    for warning in timeline.warnings(clickhouse, call_id, workspace=workspace):
        Console(stderr=True).print(plain(warning))


@app.command()
def tail(
    *,
    call: Annotated[str | None, typer.Option(help="Its call_id.")] = None,
    participant: Annotated[str | None, typer.Option(help="As the sender names it.")] = None,
    role: Annotated[RoleOption | None, typer.Option(help="Turns of that role; events have none.")] = None,
    workspace: Annotated[str | None, typer.Option(help="Whose calls; default all.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line, as it stands in turns.received.")] = False,
) -> None:
    """Show turns and call events as they arrive, until Ctrl-C.

    What is shown is durable: the gateway's 202 says the same. In SQL it is
    about a second later.
    """
    from deploy.run_file import running_settings  # noqa: PLC0415
    from deploy.tail import Wanted, show  # noqa: PLC0415

    settings = running_settings(Settings.from_environment())
    log.configure("error", process="tail")
    wanted = Wanted(workspace, call, participant, None if role is None else role.value)
    try:
        asyncio.run(show(settings, wanted, count=count, as_json=as_json))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@app.command()
def features(
    files: Annotated[list[Path], typer.Argument(help="wav, flac, ogg, mp3, or raw with --format.", metavar="FILE")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="All features, segments and tracks: one object a line, one for each file.")
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the file (one) into this .png: waveform, speech, F0, level.", metavar="OUT.png"),
    ] = None,
    format: Annotated[RawFormat | None, typer.Option(help="The files are raw samples; needs --sample-rate.")] = None,
    sample_rate: Annotated[
        int | None, typer.Option(min=8_000, max=48_000, help="Of raw samples, per second and channel.")
    ] = None,
    channels: Annotated[int | None, typer.Option(min=1, max=2, help="Of raw samples; 1 if not given.")] = None,
    channel: Annotated[Channel, typer.Option(help="Which one is measured; mix is the mean of all.")] = Channel.MIX,
    f0: Annotated[
        F0 | None, typer.Option(help="Estimator of the F0; if not given, MISE_VOICE_FEATURES_F0 or autocorrelation.")
    ] = None,
) -> None:
    """Measure local files as the pipeline measures turns.

    A file that can't be measured is named on standard error with the reason;
    the others are still printed, and the exit status is 1.
    """
    from deploy import features_of_files, features_plot, features_table  # noqa: PLC0415

    if plot is not None:
        if len(files) != 1:
            raise typer.BadParameter(f"a picture shows one file, not {len(files)}", param_hint="--plot")
        if plot.suffix.lower() != ".png":
            raise typer.BadParameter("the picture is a PNG; name it so (.png)", param_hint="--plot")
        features_plot.require_matplotlib()
    reading = _reading(format, sample_rate, channels, channel, f0)
    console = Console()
    refused = 0
    for path in files:
        try:
            measured = features_of_files.measure_file(path, reading)
        except Refused as error:
            typer.echo(f"mise-voice: {plain(str(error))}", err=True)
            refused += 1
            continue
        if as_json:
            sys.stdout.buffer.write(msgspec.json.encode(features_of_files.features_of(measured)) + b"\n")
            sys.stdout.buffer.flush()
        else:
            console.print(features_table.table(measured))
        if plot is not None:
            _write(plot, features_plot.png(measured))
    if refused:
        raise typer.Exit(1)


def _reading(
    format: RawFormat | None, sample_rate: int | None, channels: int | None, channel: Channel, f0: F0 | None
) -> Reading:
    """How `features` reads its files. Raises BadParameter for raw samples that are half declared."""
    from deploy.features_of_files import Raw, Reading  # noqa: PLC0415

    raw = None
    if format is not None:
        if sample_rate is None:
            raise typer.BadParameter(f"{format} has no header; pass --sample-rate", param_hint="--format")
        raw = Raw(format.value, sample_rate, channels or 1)
    elif sample_rate is not None or channels is not None:
        raise typer.BadParameter("only raw samples need it; pass --format or leave it out", param_hint="--sample-rate")
    settings = Settings.from_environment()
    which: dict[Channel, AudioChannel] = {Channel.FIRST: 0, Channel.SECOND: 1, Channel.MIX: "mix"}
    return Reading(
        longest_s=settings.audio_seconds,
        estimator=settings.features_f0 if f0 is None else f0.value,
        channel=which[channel],
        raw=raw,
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise Misconfigured(f"{path}: can't be written: {error.strerror or error}") from None


@app.command()
def dialogue(
    file: Annotated[Path, typer.Argument(help="RTTM (.rttm), or JSONL with a turn a line.", metavar="FILE")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    call: Annotated[str | None, typer.Option(help="Which call, when the file holds several.")] = None,
    rules: Annotated[
        RulesOption | None,
        typer.Option(help="What classes overlaps; if not given, MISE_VOICE_DIALOGUE_RULES or product."),
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights of the product's rules other than ours.")] = None,
) -> None:
    """Show who spoke when in a local file: overlaps, floor, talk time.

    Turns that can't be read are counted as rejected; the exit status is 2
    when the file holds several calls and none is chosen.
    """
    from deploy import dialogue_of_file, dialogue_table  # noqa: PLC0415
    from pipeline.rules import rules as rules_of  # noqa: PLC0415

    settings = Settings.from_environment()
    if weights is not None and rules is RulesOption.PLAIN:
        raise typer.BadParameter("the plain rules weigh nothing; leave it out", param_hint="--weights")
    name = settings.dialogue_rules if rules is None else rules.value
    chosen = rules_of(name, weights=weights, vocabularies=settings.dialogue_vocabularies)
    try:
        found = dialogue_of_file.dialogue_of(dialogue_of_file.read_call(file, chosen, call))
    except dialogue_of_file.SeveralCalls as error:
        typer.echo(f"mise-voice: {plain(str(error))}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        Console().print(dialogue_table.table(found))


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


@keys_app.command("add-livekit")
def add_livekit_key(
    api_key: Annotated[str, typer.Argument(help="The API key that LiveKit signs webhooks with.")],
    *,
    workspace: Annotated[str, typer.Option(help="Whose calls the webhooks tell of.")] = "default",
    name: Annotated[str, typer.Option(help="Which project it is, for people.")] = "",
) -> None:
    """Take the webhooks of a LiveKit project; its secret is read from LIVEKIT_API_SECRET, or asked for.

    The keys file holds the secret as it is, since signatures can't be checked otherwise.
    """
    from pipeline.gateway import keys  # noqa: PLC0415

    # Never an argument: others see those in the list of processes.
    # Stripped: mounted files and pasted lines end in what is no part of it, and no signature would ever match.
    secret = (os.environ.get("LIVEKIT_API_SECRET") or _secret_of_stdin()).strip()
    keys.add_livekit(Settings.from_environment().keys_file(), api_key, secret, workspace=workspace, name=name)
    typer.echo(f"webhooks of {api_key} are taken for workspace {workspace}", err=True)


@keys_app.command("list")
def list_keys() -> None:
    """List the keys: ours by the beginning of their hash, LiveKit's by their name."""
    from pipeline.gateway import keys  # noqa: PLC0415

    table = Table("id", "workspace", "scopes", "name")
    for key in keys.read(Settings.from_environment().keys_file()):
        scopes = ", ".join(key.scopes) if isinstance(key, keys.ApiKey) else "webhooks/livekit"
        table.add_row(plain(key.id), key.workspace, scopes, plain(key.name))
    Console().print(table)


@keys_app.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="As `keys list` shows it.")]) -> None:
    """Revoke a key, or LiveKit's; the gateway refuses it from the next request on."""
    from pipeline.gateway import keys  # noqa: PLC0415

    revoked = keys.revoke(Settings.from_environment().keys_file(), key_id)
    typer.echo(f"revoked {revoked.id} of workspace {revoked.workspace}", err=True)


def _secret_of_stdin() -> str:
    if sys.stdin.isatty():
        return getpass("LiveKit API secret: ")
    return sys.stdin.readline()


def _cell(value: object) -> Text:
    if value is None:
        return Text("NULL")
    return plain(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def main() -> NoReturn:
    """Run the command; an error of ours is one line on standard error and status 1."""
    # Before numpy is loaded, here and in the processes that measure: there is one for each core, and the threads of
    # numpy's linear algebra would fight over them (measured: twice the CPU time where the cores are busy).
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app()
    except MiseError as error:
        typer.echo(f"mise-voice: {error}", err=True)
        sys.exit(1)
    sys.exit(0)


if __name__ == "__main__":
    main()
