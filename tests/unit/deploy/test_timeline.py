"""What people said, on a terminal."""

from datetime import UTC, datetime
from io import StringIO

import pytest
from rich.console import Console

from deploy.plain import plain
from deploy.timeline import Line, table

AT = datetime(2026, 1, 31, 9, 30, tzinfo=UTC)


def shown(text: str) -> str:
    console = Console(file=StringIO(), width=120, force_terminal=True)
    console.print(table("[/x]", [Line(AT, AT, AT, "caller", text, "", "")]))
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


@pytest.mark.parametrize("text", ["[laughter] I said [bold]so[/bold]", "well [/] yes", "[/x]"])
def test_text_is_no_markup(text: str) -> None:
    assert text in shown(text)


def test_text_cannot_drive_the_terminal() -> None:
    assert "\x1b[2J" not in shown("hello \x1b[2J there")
    assert plain("a\x1b]0;title\x07b\nc").plain == "a\ufffd]0;title\ufffdb c"
