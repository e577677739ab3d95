"""The example call, whose truth is known: from POST to rows and blobs."""

from __future__ import annotations

import base64
import hashlib
import io
import math
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import soundfile

from deploy.example import load
from pipeline.dialogue.evidence import FROM_SOUND, FROM_TIMES, FROM_WORDS
from pipeline.rules import VERSION
from tests.integration.conftest import ExampleCall
from tests.integration.conversation import instant
from tests.integration.live import WORKSPACE, Live
from tests.integration.waiting import until

FEATURES = ["duration_s", "speech_s", "level_dbfs"]
CLOSES_AFTER = timedelta(seconds=10)
ACTIVITY = timedelta(milliseconds=100)
"""How far the bounds of voice activity may be from those of the cuts: the last sounds of a word fade out."""


async def test_turns_stand_as_they_were_sent(live: Live, example_call: ExampleCall) -> None:
    call = load()
    rows = await until(lambda: live.turns(example_call.call_id), lambda rows: len(rows) == len(call.turns))
    sent = ("participant", "role", "text", "audio_format")
    assert [tuple(row[name] for name in sent) for row in rows] == [
        tuple(getattr(turn, name) for name in sent) for turn in call.turns
    ]
    assert [(row["started_at"], row["ended_at"]) for row in rows] == [
        (instant(example_call.begin_ms, turn.starts_s), instant(example_call.begin_ms, turn.ends_s))
        for turn in call.turns
    ]
    assert {(row["workspace"], row["generation"]) for row in rows} == {(WORKSPACE, 1)}


async def test_levels_are_those_of_the_audio(live: Live, example_call: ExampleCall) -> None:
    call = load()
    rows = await until(lambda: live.turns(example_call.call_id), lambda rows: len(rows) == len(call.turns))
    for row, turn in zip(rows, call.turns, strict=True):
        samples, rate = soundfile.read(io.BytesIO(turn.audio), dtype="int16")
        rms = math.sqrt(float(np.mean(samples.astype(np.float64) ** 2)))
        assert abs(row["level_dbfs"] - 20 * math.log10(rms / 32768)) < 0.1
        assert abs(row["duration_s"] - len(samples) / rate) < 0.001
        assert 0 < row["speech_s"] <= row["duration_s"]
        assert set(FEATURES) <= set(row["measured"])
        assert (row["not_measured_reason"], row["audio_length_differs"]) == (None, False)


async def test_overlaps_are_those_it_was_composed_with(live: Live, example_call: ExampleCall) -> None:
    call = load()
    rows = await until(lambda: live.overlaps(example_call.call_id), lambda rows: len(rows) == len(call.overlaps))
    assert [(row["overlapper"], row["overlapped"]) for row in rows] == [
        (truth.overlapper, truth.overlapped) for truth in call.overlaps
    ]
    for row, truth in zip(rows, call.overlaps, strict=True):
        assert abs(row["started_at"] - instant(example_call.begin_ms, truth.starts_s)) <= ACTIVITY
        assert abs(timedelta(milliseconds=row["duration_ms"] - truth.duration_ms)) <= ACTIVITY
    # Not what it was composed to be: it is read literature, whose backchannel is the word "One.", and whose first
    # sentence that breaks off ends with an adjective.
    assert [row["class"] for row in rows] == ["undecided", "terminal_overlap", "terminal_overlap", "interruption"]
    for row in rows:
        assert 0 < row["confidence"] < 1
        assert row["rules"] == VERSION
        assert row["evidence"][0]["name"] in FROM_TIMES | FROM_WORDS | FROM_SOUND
    # The last one comes into a turn with a pause, whose words have no times.
    assert [row["basis"] for row in rows] == ["words", "words", "words", "times"]


async def test_agents_interruption_is_a_fault(live: Live, example_call: ExampleCall) -> None:
    query = "SELECT * FROM faults WHERE call_id = {call_id:String}"
    (row,) = await until(lambda: live.rows(query, call_id=example_call.call_id), lambda rows: len(rows) == 1)
    truth = load().overlaps[-1]
    assert (row["kind"], row["participant"]) == ("agent_spoke_over_user", truth.overlapper)
    assert abs(row["at"] - instant(example_call.begin_ms, truth.starts_s)) <= ACTIVITY
    call = await live.summary(example_call.call_id)
    assert [phase["phase"] for phase in call["phases"]] == [
        "ai",
        "escalation",
    ]  # its transfer event, and no human agent
    assert call["fault_counts"] == {"agent_spoke_over_user": 1}


async def test_audio_lies_under_its_documented_key(live: Live, example_call: ExampleCall) -> None:
    rows = await until(lambda: live.turns(example_call.call_id), lambda rows: len(rows) == len(example_call.sent))
    folder = Path(urlsplit(live.settings.blobs()).path)
    call = hashlib.sha256(example_call.call_id.encode()).hexdigest()
    for row, body in zip(rows, example_call.sent, strict=True):
        audio = base64.b64decode(body["audio_b64"])
        assert row["audio_blob"] == f"{WORKSPACE}/{call}/{hashlib.sha256(audio).hexdigest()}.flac"
        assert (folder / row["audio_blob"]).read_bytes() == audio


async def test_events_stand_with_their_data(live: Live, example_call: ExampleCall) -> None:
    rows = await until(lambda: live.events(example_call.call_id), lambda rows: len(rows) == 2)
    assert [(row["type"], row["at"], row["data"]) for row in rows] == [
        ("transfer", instant(example_call.begin_ms, 30.0), {"to": "desk", "n": "2"}),
        ("call_ended", instant(example_call.begin_ms, max(turn.ends_s for turn in load().turns)), {}),
    ]
    assert rows[1]["event_id"] == "the-end"


async def test_ended_call_closes_10_s_after_its_last_record(live: Live, example_call: ExampleCall) -> None:
    row = await until(lambda: live.summary(example_call.call_id), lambda row: row.get("state") == "closed")
    turns, events = await live.turns(example_call.call_id), await live.events(example_call.call_id)
    last = max(record["received_at"] for record in turns + events)
    assert row["state"] == "closed"
    # Whole milliseconds, as the topics have them.
    assert row["closed_at"] == last.replace(microsecond=last.microsecond // 1000 * 1000) + CLOSES_AFTER
    assert row["opened_at"] == turns[0]["opened_at"]
    assert (row["turns"], row["events"]) == (len(turns), 2)


async def test_summary_says_what_the_turns_say(live: Live, example_call: ExampleCall) -> None:
    call = load()
    row = await until(lambda: live.summary(example_call.call_id), lambda row: row.get("events") == 2)
    assert (row["started_at"], row["ended_at"]) == (
        instant(example_call.begin_ms, min(turn.starts_s for turn in call.turns)),
        instant(example_call.begin_ms, max(turn.ends_s for turn in call.turns)),
    )
    overlaps = await until(lambda: live.overlaps(example_call.call_id), lambda rows: len(rows) == len(call.overlaps))
    assert row["overlap_ms"] == sum(overlap["duration_ms"] for overlap in overlaps)
    assert (row["interruptions"], row["backchannels"], row["transfers"]) == (1, 0, 10)
    assert row["speech_ms"] + row["silence_ms"] == row["duration_ms"]
    speech_ms = dict.fromkeys(("agent", "caller"), 0)
    turns = await until(lambda: live.turns(example_call.call_id), lambda rows: len(rows) == len(call.turns))
    for turn in turns:
        speech_ms[turn["participant"]] += round(1000 * turn["speech_s"])
    assert {said["participant"]: said["speech_ms"] for said in row["participants"]} == speech_ms
