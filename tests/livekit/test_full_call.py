"""One call with everything in it: a greeting, answers, a backchannel, an interruption, a hang-up.

agent   |greeting|         |long ------------------|          |longer ------x                |short|
caller             |first|       |mm-hmm|            |second|             |barge-in ------|           leaves
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.live import Row
from tests.integration.waiting import until
from tests.livekit.calls import seconds
from tests.livekit.conftest import FullCall
from tests.livekit.conversation import (
    BACKCHANNEL,
    BARGE_IN,
    FIRST,
    GREETING,
    LONG,
    LONGER,
    RATE,
    SECOND,
    SHORT,
    VOICE_RATE,
    Speech,
)
from tests.livekit.truth import find, level_db, sent_at, sounds

IN_ORDER = (GREETING, FIRST, LONG, BACKCHANNEL, SECOND, LONGER, BARGE_IN, SHORT)
OF_THE_CALLER = (FIRST, BACKCHANNEL, SECOND, BARGE_IN)
WHOLE = (GREETING, LONG, SHORT)

AGENT_STARTS_WITHIN_S = 0.020
AGENT_CUT_WITHIN_S = 0.050
CALLER_WITHIN_S = 0.050
YIELD_WITHIN_MS = 60


@pytest.fixture(scope="session")
async def turns(full_call: FullCall) -> dict[Speech, Row]:
    """The rows of the call, by what is said in them."""
    rows = await full_call.call.turns(len(IN_ORDER))
    assert len(rows) == len(IN_ORDER), [(row["role"], row["text"]) for row in rows]
    return dict(zip(IN_ORDER, rows, strict=True))


def test_every_turn_arrives_once_and_in_order(turns: dict[Speech, Row]) -> None:
    for speech, turn in turns.items():
        assert turn["role"] == ("user" if speech in OF_THE_CALLER else "agent")
        assert turn["text"] == speech.text or speech == LONGER
        assert turn["not_measured_reason"] is None
        assert turn["interrupted"] is (None if speech in OF_THE_CALLER else speech == LONGER)
    assert [turn["metadata"].get("uncommitted") for turn in turns.values()] == [
        "true" if speech == BACKCHANNEL else None for speech in IN_ORDER
    ]
    assert len({turn["participant"] for turn in turns.values()}) == 2


def test_interrupted_turn_says_what_was_heard(turns: dict[Speech, Row]) -> None:
    text = turns[LONGER]["text"]
    assert text
    assert LONGER.text.startswith(text)
    assert len(text) < len(LONGER.text) / 2


async def test_agents_audio_is_what_its_voice_made(full_call: FullCall, turns: dict[Speech, Row]) -> None:
    for speech in (*WHOLE, LONGER):
        samples, rate = await full_call.call.audio(turns[speech])
        assert rate == VOICE_RATE
        assert np.array_equal(samples, speech.voice[: len(samples)])
        assert speech == LONGER or len(samples) == len(speech.voice)
    assert len(samples) < len(LONGER.voice) / 2


def test_agents_turns_start_when_their_sound_was_sent(full_call: FullCall, turns: dict[Speech, Row]) -> None:
    sent = full_call.call.sent
    errors = {
        speech.text[:9]: seconds(turns[speech]["started_at"]) - sent_at(speech.samples[: RATE * 3], sent)
        for speech in WHOLE
    }
    print("agent start errors, ms:", {name: round(1000 * error, 1) for name, error in errors.items()})
    assert all(abs(error) <= AGENT_STARTS_WITHIN_S for error in errors.values()), errors


def cut_at(full_call: FullCall) -> float:
    """When the interrupted turn was last heard on the track as it was sent."""
    begin = sent_at(LONGER.samples[: 3 * RATE], full_call.call.sent)
    return next(end for start, end in sounds(full_call.call.sent) if end > begin)


def test_interrupted_turn_ends_when_the_track_fell_silent(full_call: FullCall, turns: dict[Speech, Row]) -> None:
    ended_at = seconds(turns[LONGER]["ended_at"])
    print("interrupted end error, ms:", round(1000 * (ended_at - cut_at(full_call)), 1))
    assert ended_at == pytest.approx(cut_at(full_call), abs=AGENT_CUT_WITHIN_S)
    (item,) = full_call.call.told("item", role="assistant", interrupted=True)
    assert item["metrics"]["stopped_speaking_at"] - ended_at > 1.0


async def test_callers_turns_hold_what_was_said_as_loud_as_it_was_said(
    full_call: FullCall, turns: dict[Speech, Row]
) -> None:
    for speech in OF_THE_CALLER:
        samples, rate = await full_call.call.audio(turns[speech])
        found = find(speech.samples, samples, rate)
        assert found.correlation > 0.9
        assert all(find(other.samples, samples, rate).correlation < 0.8 for other in OF_THE_CALLER if other != speech)
        assert abs(level_db(speech.samples, samples, rate)) < 1.0


def errors_of(spans: dict[Speech, tuple[float, float]], full_call: FullCall) -> dict[Speech, tuple[float, float]]:
    """How far starts and ends are from the truth, in seconds."""
    return {
        speech: (span[0] - full_call.said[speech].started_at, span[1] - full_call.said[speech].ended_at)
        for speech, span in spans.items()
    }


def test_callers_turns_start_and_end_when_they_were_spoken(full_call: FullCall, turns: dict[Speech, Row]) -> None:
    spans = {
        speech: (seconds(turns[speech]["started_at"]), seconds(turns[speech]["ended_at"])) for speech in OF_THE_CALLER
    }
    errors = errors_of(spans, full_call)
    print("caller errors, ms:", {s.text[:9]: [round(1000 * e, 1) for e in error] for s, error in errors.items()})
    assert all(abs(error) <= CALLER_WITHIN_S for pair in errors.values() for error in pair), errors


def test_times_of_voice_detection_would_not_have_done(full_call: FullCall) -> None:
    """The control: the same bar, and what the framework says."""
    spoke = full_call.call.told("user_state", state="speaking")
    stopped = [event for event in full_call.call.told("user_state") if event["state"] != "speaking"]
    assert min(len(spoke), len(stopped)) >= len(OF_THE_CALLER) - 1, "it may miss the backchannel"
    spans = {
        speech: (start["at"], end["at"]) for speech, start, end in zip(OF_THE_CALLER, spoke, stopped, strict=False)
    }
    assert all(
        abs(start) > CALLER_WITHIN_S or abs(end) > CALLER_WITHIN_S
        for start, end in errors_of(spans, full_call).values()
    )


async def test_events_tell_how_long_answers_took_and_why_the_call_ended(full_call: FullCall) -> None:
    events = await full_call.call.observed_events()
    (end,) = (event for event in events if event["type"] == "call_ended")
    assert end["data"]["reason"] == full_call.call.told("close")[0]["reason"]
    took = [float(event["data"]["e2e_latency_ms"]) for event in events if "e2e_latency_ms" in event["data"]]
    answers = [item["metrics"]["e2e_latency"] for item in full_call.call.told("item", role="assistant")[1:]]
    assert took == pytest.approx([1000 * each for each in answers], abs=1)
    assert len(took) == len(IN_ORDER) - len(OF_THE_CALLER) - 1, "the greeting answers nobody"


def test_items_of_the_chat_history_would_not_have_done(full_call: FullCall) -> None:
    """The control: the turn after the backchannel, as the framework's item has it."""
    item = full_call.call.told("item", role="user")[1]
    assert item["text"] == f"{BACKCHANNEL.text} {SECOND.text}"
    assert full_call.said[SECOND].started_at - item["metrics"]["started_speaking_at"] > 1.0


async def test_interruption_is_an_overlap_and_the_backchannel_is_no_interruption(
    full_call: FullCall, turns: dict[Speech, Row]
) -> None:
    live, sid = full_call.call.stack.live, full_call.call.sid
    overlaps = await until(lambda: live.overlaps(sid), lambda rows: len(rows) >= 2, within_s=30)
    by_turn = {row["turn_id"]: row for row in overlaps}
    assert len(by_turn) == len(overlaps) == 2
    caller, agent = turns[BARGE_IN]["participant"], turns[LONGER]["participant"]
    barge_in = by_turn[turns[BARGE_IN]["turn_id"]]
    assert (barge_in["overlapper"], barge_in["overlapped"]) == (caller, agent)
    assert barge_in["floor_taken"]
    true_ms = 1000 * (cut_at(full_call) - full_call.said[BARGE_IN].started_at)
    print("yield_ms:", barge_in["yield_ms"], "true:", round(true_ms, 1), barge_in["class"], barge_in["confidence"])
    assert barge_in["yield_ms"] == pytest.approx(true_ms, abs=YIELD_WITHIN_MS)
    assert barge_in["class"] == "interruption"
    assert by_turn[turns[BACKCHANNEL]["turn_id"]]["class"] == "backchannel"
    summary = await live.summary(sid)
    made = {said["participant"]: said["interruptions_made"] for said in summary["participants"]}
    assert made == {caller: 1, agent: 0}
