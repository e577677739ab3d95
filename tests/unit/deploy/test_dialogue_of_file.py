"""A call in a file: what counts, what is rejected, and what is printed, by docs/dialogue.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from deploy.cli import app
from deploy.dialogue_of_file import DialogueOfFile, SeveralCalls, dialogue_of, read_call
from pipeline.dialogue.annotate import PLAIN
from schemas.errors import Refused


def line(start: Any, end: Any, participant: Any = "a", **fields: Any) -> str:
    return json.dumps({"participant": participant, "started_at": start, "ended_at": end, **fields})


def of(folder: Path, *lines: str | bytes, name: str = "call.jsonl", call_id: str | None = None) -> DialogueOfFile:
    path = folder / name
    path.write_bytes(b"\n".join(text if isinstance(text, bytes) else text.encode() for text in lines))
    return dialogue_of(read_call(path, PLAIN, call_id))


def test_call_is_printed_as_the_page_says(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        line(10, 12, "user", text="so what I wanted to ask", call_id="c7"),
        line(11, 11.5, "agent", text="uh-huh", call_id="c7"),
        line(11.7, 13, "agent", text="let me look that up", call_id="c7"),
        line(13.2, 14, "user", text="please do", call_id="c7"),
        line(15, 15.5, "user", text="hello", call_id="c7"),
    )
    assert msgspec.to_builtins(found) == {
        "call_id": "c7",
        "duration_s": 5.5,
        "speech_s": 4.3,
        "overlap_s": 0.8,
        "overlap_ratio": 800 / 4300,
        "silence_s": 1.2,
        "participants": [
            {
                "participant": "agent",
                "speech_s": 1.8,
                "talk_ratio": 1800 / 5100,
                "interruptions_made": 1,
                "interruptions_received": 0,
                "backchannels": 1,
            },
            {
                "participant": "user",
                "speech_s": 3.3,
                "talk_ratio": 3300 / 5100,
                "interruptions_made": 0,
                "interruptions_received": 1,
                "backchannels": 0,
            },
        ],
        "fto": {
            "n": 2,
            "p5_ms": -275.0,
            "p25_ms": -175.0,
            "p50_ms": -50.0,
            "p75_ms": 75.0,
            "p95_ms": pytest.approx(175),
            "overlapped_n": 1,
        },
        "pauses": {"n": 1, "p50_ms": 1000.0},
        "overlaps": [
            {
                "start_s": 1.0,
                "end_s": 1.5,
                "duration_ms": 500,
                "overlapper": "agent",
                "overlapped": "user",
                "kind": "within",
                "class": "backchannel",
                "floor_taken": False,
                "yield_ms": None,
            },
            {
                "start_s": 1.7,
                "end_s": 2.0,
                "duration_ms": 300,
                "overlapper": "agent",
                "overlapped": "user",
                "kind": "between",
                "class": "interruption",
                "floor_taken": True,
                "yield_ms": 300,
            },
        ],
        "pairs": [{"overlapper": "agent", "overlapped": "user", "overlap_s": 0.8}],
        "silences": [],
        "faults": [],
        "turns": 5,
        "rejected": 0,
        "rules": "plain-2",
    }


@pytest.mark.parametrize(
    ("start", "end", "start_ms", "end_ms"),
    [
        ("1.0005", "1.0015", 1001, 1002),
        ("1.00049999", "2", 1000, 2000),
        ("-0.0005", "1", 0, 1000),
        ("0.00049999999999999999999999999999999999999999", "1", 0, 1000),
        ("1e0", "2e0", 1000, 2000),
        ('"1970-01-01T00:00:01.0005Z"', "2", 1001, 2000),
        ('"1970-01-01 01:00:01+01:00"', '"1970-01-01T00:00:02"', 1000, 2000),
        ('"1969-12-31T23:59:59.9995Z"', "1", 0, 1000),
        ("1767225600.1235", '"2026-01-01T00:00:01Z"', 1767225600124, 1767225601000),
    ],
)
def test_times_are_whole_ms_half_up_in_any_form(
    start: str, end: str, start_ms: int, end_ms: int, tmp_path: Path
) -> None:
    """The other participant's turn touches the end as it is rounded: so they share no time, and there is no silence."""
    text = f'{{"participant": "a", "started_at": {start}, "ended_at": {end}}}'
    other = line(end_ms / 1000, end_ms / 1000 + 1, "b")
    found = of(tmp_path, text, other)
    assert (found.rejected, found.overlaps, found.silence_s) == (0, [], 0)
    assert found.participants[0].speech_s == (end_ms - start_ms) / 1000


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"turn"',
        '{"started_at": 1, "ended_at": 2}',
        line(1, 2, None),
        line(1, 2, ""),
        '{"participant": "", "role": "", "started_at": 1, "ended_at": 2}',
        '{"role": "", "started_at": 1, "ended_at": 2}',
        '{"participant": "a", "started_at": 1, "ended_at": 1e99999999999999999999}',
        line(1, 2, 7),
        line(2, 1),
        line(None, 1),
        line(1, True),
        line("soon", 2),
        line("1.5", 2),
        line([1], 2),
        line(1, float("nan")),
        line(1, float("inf")),
        '{"participant": "a", "started_at": 1}',
        '{"participant": "a", "started_at": 1, "ended_at": 1e999}',
        '{"participant": "a", "started_at": 1, "ended_at": 1e999999999}',
        '{"participant": "a", "started_at": -1e999999999, "ended_at": 1}',
        b'{"participant": "\xff", "started_at": 1, "ended_at": 2}',
        '{"participant": "\\ud800", "started_at": 1, "ended_at": 2}',
        "[" * 100_000,
    ],
)
def test_line_that_is_no_turn_is_counted_and_costs_nothing_else(bad: str | bytes, tmp_path: Path) -> None:
    found = of(tmp_path, line(0, 1), bad, line(1, 2, "b"))
    assert (found.turns, found.rejected) == (2, int(bool(bad)))
    assert found.speech_s == 2


def test_file_without_turns_is_a_call_of_nothing(tmp_path: Path) -> None:
    found = of(tmp_path, name="empty.jsonl")
    assert (found.call_id, found.turns, found.rejected, found.duration_s, found.participants) == ("empty", 0, 0, 0, [])
    assert (found.fto.n, found.fto.p50_ms, found.overlap_ratio) == (0, None, 0)


def test_blank_lines_a_byte_order_mark_and_unknown_fields_are_fine(tmp_path: Path) -> None:
    found = of(tmp_path, b"\xef\xbb\xbf" + line(0, 1, confidence=0.5).encode(), "", " \t\r", line(1, 2, "b") + "\r")
    assert (found.turns, found.rejected) == (2, 0)


def test_role_stands_in_for_the_participant_and_tells_nobody_apart(tmp_path: Path) -> None:
    stand_in = json.dumps({"role": "agent", "started_at": 0, "ended_at": 1})
    found = of(tmp_path, stand_in, line(0, 1, "a", role="agent"), line(1, 2, "a", role="user"))
    assert [said.participant for said in found.participants] == ["a", "agent"]


def test_last_valid_line_of_a_turn_wins_and_what_has_no_id_is_its_own(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        line(0, 5, turn_id="t1"),
        line(0, 5, "b", turn_id="t1"),
        line(0, 1, turn_id="t1"),
        line(3, 2, turn_id="t1"),
        line(10, 11),
        line(12, 13),
    )
    assert (found.turns, found.rejected) == (4, 1)
    assert [said.speech_s for said in found.participants] == [3, 5]


def test_number_that_no_decimal_holds_in_an_unknown_field_is_fine(tmp_path: Path) -> None:
    text = '{"participant": "a", "started_at": 0, "ended_at": 1, "x": 1e99999999999999999999}'
    assert of(tmp_path, text).turns == 1


def test_empty_ids_are_none(tmp_path: Path) -> None:
    found = of(tmp_path, line(0, 1, turn_id="", call_id=""), line(2, 3, turn_id=""))
    assert (found.turns, found.call_id) == (2, "call")


def test_what_is_no_speech_counts_for_nothing(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        line(0, 1, "ghost", text="[laughter] [noise]"),
        line(5, 5, "nobody"),
        line(10, 11, text="[unintelligible]"),
        line(10.5, 11, "b", text="<unk>"),
    )
    assert (found.turns, found.rejected, found.duration_s) == (2, 0, 1)
    assert [said.participant for said in found.participants] == ["a", "b"]
    assert found.overlaps[0].start_s == 0.5  # counted from the first turn that speaks


def test_rttm_has_its_own_clock(tmp_path: Path) -> None:
    found = of(
        tmp_path,
        ";; a comment",
        "SPKR-INFO meeting 1 <NA> <NA> <NA> unknown ann <NA> <NA>",
        "SPEAKER meeting 1 3.0004 1.0001 <NA> <NA> ann <NA> <NA>",
        "SPEAKER meeting 1 3.5 0.2 <NA> <NA> bob",
        "",
        name="x.rttm",
    )
    assert (found.call_id, found.turns, found.rejected) == ("meeting", 2, 0)
    assert found.participants[0].speech_s == 1.001  # round(4.0005) - round(3.0004)
    assert (found.overlaps[0].start_s, found.overlaps[0].end_s) == (3.5, 3.7)


@pytest.mark.parametrize(
    "bad",
    [
        "SPEAKER meeting 1 -1 1 <NA> <NA> ann",
        "SPEAKER meeting 1 1 -1 <NA> <NA> ann",
        "SPEAKER meeting 1 one 1 <NA> <NA> ann",
        "SPEAKER meeting 1 nan 1 <NA> <NA> ann",
        "SPEAKER meeting 1 1_0 1 <NA> <NA> ann",
        "SPEAKER meeting 1 1 1e999999999 <NA> <NA> ann",
        "SPEAKER meeting 1 1 1e99999999999999999999 <NA> <NA> ann",
        "SPEAKER meeting 1 1 1",
    ],
)
def test_rttm_line_that_is_no_turn_is_counted(bad: str, tmp_path: Path) -> None:
    found = of(tmp_path, bad, "SPEAKER meeting 1 0 1 <NA> <NA> ann", name="x.rttm")
    assert (found.turns, found.rejected) == (1, 1)


def test_call_is_chosen_among_several(tmp_path: Path) -> None:
    lines = line(0, 1, call_id="one"), line(0, 2, call_id="two"), line(0, 4)
    with pytest.raises(SeveralCalls, match="2 calls; choose one with --call: one, two"):
        of(tmp_path, *lines)
    assert of(tmp_path, *lines, call_id="two").duration_s == 2
    one_call = lines[0], lines[2]
    assert of(tmp_path, *one_call, call_id="one") == of(tmp_path, *one_call)
    assert of(tmp_path, lines[2], call_id="call").duration_s == 4  # named after its file
    with pytest.raises(Refused, match="no call 'three'; it has one, two"):
        of(tmp_path, *lines, call_id="three")


@given(data=st.binary(max_size=200))
def test_no_bytes_are_too_bad(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("bytes")
    for name in ("x.jsonl", "x.rttm"):
        assert of(folder, data, name=name).turns >= 0


# ----------------------------------------------------------------------------------------------------------------------
# The command


def test_command_prints_one_object_or_a_table(tmp_path: Path) -> None:
    path = tmp_path / "call.jsonl"
    path.write_text(line(0, 2, "ann[red]") + "\nbad\n" + line(1, 3, "bob"))
    printed = CliRunner().invoke(app, ["dialogue", str(path), "--rules", "plain", "--json"])
    assert printed.exit_code == 0
    assert json.loads(printed.stdout)["rejected"] == 1
    shown = CliRunner().invoke(app, ["dialogue", str(path), "--rules", "plain"])
    assert shown.exit_code == 0
    for text in ("2 turns that speak, 1 rejected", "bob over ann[red]", "interruption", "overlap 1.000 s, 33.3 %"):
        assert text in shown.stdout


def test_command_fails_with_2_on_several_calls_and_with_1_on_no_file(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(line(0, 1, call_id="one") + "\n" + line(0, 1, call_id="two"))
    several = CliRunner().invoke(app, ["dialogue", str(path), "--json"])
    assert (several.exit_code, several.stdout) == (2, "")
    assert "one, two" in several.stderr
    assert CliRunner().invoke(app, ["dialogue", str(path), "--json", "--call", "two"]).exit_code == 0
    missing = CliRunner().invoke(app, ["dialogue", str(tmp_path / "none.jsonl")])
    assert isinstance(missing.exception, Refused)
