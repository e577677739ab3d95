"""What `mise-voice tail` shows, and of what."""

from __future__ import annotations

import msgspec
import pytest

from deploy.tail import Wanted, line
from schemas.records import Received
from schemas.turn import Audio
from tests.records import received_event, received_turn


def test_line_of_a_turn() -> None:
    turn = received_turn(0, 900, "t1", "caller", "Hello?", received=1_000)
    assert line(turn).plain == "2026-01-01T00:00:01.000Z  call-1  caller (user)  0.9 s, no audio: Hello?"
    heard = msgspec.structs.replace(turn, audio=Audio(blob="k", format="wav", size=14_400))
    assert "0.9 s, wav 14 kB: Hello?" in line(heard).plain


def test_line_of_an_event() -> None:
    assert line(received_event(0, "call_ended", received=10)).plain == "2026-01-01T00:00:00.010Z  call-1  -  call_ended"
    event = received_event(0, "tool_call", received=10, data={"tool": "book"})
    assert line(event).plain.endswith("-  tool_call {'tool': 'book'}")


def test_what_is_said_drives_no_terminal() -> None:
    turn = received_turn(0, 900, "t1", "caller", "\x1b[2J [laughter]\nnext")
    assert line(turn).plain.endswith("\ufffd[2J [laughter] next")


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        (Wanted(), ["turn", "event"]),
        (Wanted(call_id="call-1"), ["turn", "event"]),
        (Wanted(call_id="call-2"), []),
        (Wanted(workspace="other"), []),
        (Wanted(participant="caller"), ["turn"]),
        (Wanted(role="user"), ["turn"]),
        (Wanted(role="agent"), []),
    ],
)
def test_filters(wanted: Wanted, taken: list[str]) -> None:
    records: dict[str, Received] = {"turn": received_turn(0, 900, "t1", "caller"), "event": received_event()}
    assert [name for name, record in records.items() if wanted.takes(record)] == taken
