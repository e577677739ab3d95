"""The example call: two people's real voices, with overlaps placed at known times.

`make run` sends it, and whatever wants a call whose truth is known can load it. Where the recordings come from and
under which licence stands in PROVENANCE.md; compose.py is the script which made call.json and audio/.
"""

from importlib.resources import files
from typing import Literal

import msgspec


class ExampleTurn(msgspec.Struct, frozen=True):
    """One turn as a client would send it. starts_s, ends_s : seconds from the call's start, whole milliseconds.

    text is what is heard, so a turn which yields ends in the middle of its sentence. audio : the whole file's
    bytes, 16 kHz mono, sample 0 at starts_s; speech reaches to within 20 ms of both of its ends.
    """

    participant: str
    role: Literal["user", "agent"]
    text: str
    starts_s: float
    ends_s: float
    audio: bytes
    audio_format: Literal["flac"]


class ExampleOverlap(msgspec.Struct, frozen=True):
    """Where both speak, by construction. overlapper, overlapped : participants; the overlapper started later.

    placed_as : what it was made to be. "interruption": the overlapped side breaks off in mid-sentence and the
    overlapper goes on; "backchannel": a word inside the other's turn, which goes on; "terminal": the overlapper
    comes in over the other's last sounds.
    """

    overlapper: str
    overlapped: str
    starts_s: float
    duration_ms: int
    placed_as: Literal["interruption", "backchannel", "terminal"]


class ExampleCall(msgspec.Struct, frozen=True):
    """turns : in the order of their starts. overlaps : all of them, in the order of their starts."""

    turns: tuple[ExampleTurn, ...]
    overlaps: tuple[ExampleOverlap, ...]


class TurnRow(msgspec.Struct, frozen=True):
    """A turn in call.json: as ExampleTurn, with the name of its file under audio/ in place of the bytes."""

    participant: str
    role: Literal["user", "agent"]
    text: str
    starts_s: float
    ends_s: float
    audio: str
    audio_format: Literal["flac"]


class CallFile(msgspec.Struct, frozen=True):
    """call.json."""

    turns: tuple[TurnRow, ...]
    overlaps: tuple[ExampleOverlap, ...]


def load() -> ExampleCall:
    """The example call, read from this package's own files (a checkout or an installed wheel)."""
    here = files(__name__)
    call = msgspec.json.decode(here.joinpath("call.json").read_bytes(), type=CallFile)
    turns = (
        ExampleTurn(
            participant=row.participant,
            role=row.role,
            text=row.text,
            starts_s=row.starts_s,
            ends_s=row.ends_s,
            audio=here.joinpath("audio", row.audio).read_bytes(),
            audio_format=row.audio_format,
        )
        for row in call.turns
    )
    return ExampleCall(turns=tuple(turns), overlaps=call.overlaps)
