"""The conversation of `test_full_call` with a Pipecat agent, whose transport is the room."""

from __future__ import annotations

import numpy as np
import pytest

from tests.integration.live import Row
from tests.integration.waiting import until
from tests.livekit.calls import Stack, seconds, with_pipecat
from tests.livekit.conftest import FullCall, converse, unbroken
from tests.livekit.conversation import BACKCHANNEL, BARGE_IN, GREETING, LONGER, RATE, VOICE_RATE, Speech
from tests.livekit.test_full_call import (
    AGENT_CUT_WITHIN_S,
    AGENT_STARTS_WITHIN_S,
    CALLER_WITHIN_S,
    IN_ORDER,
    OF_THE_CALLER,
    WHOLE,
    YIELD_WITHIN_MS,
    cut_at,
    errors_of,
)
from tests.livekit.truth import find, level_db, sent_at


@pytest.fixture(scope="module")
async def pipecat_call(stack: Stack) -> FullCall:
    """The call, when it is over."""

    async def called() -> FullCall:
        async with with_pipecat(stack) as call:
            said = await converse(call)
        return FullCall(call, said)

    return await unbroken(called)


@pytest.fixture(scope="module")
async def turns(pipecat_call: FullCall) -> dict[Speech, Row]:
    """The rows of the call, by what is said in them. They are found by the room's SID."""
    rows = await pipecat_call.call.turns(len(IN_ORDER))
    assert len(rows) == len(IN_ORDER), [(row["role"], row["text"]) for row in rows]
    return dict(zip(IN_ORDER, rows, strict=True))


def test_every_turn_arrives_once_and_in_order(turns: dict[Speech, Row]) -> None:
    for speech, turn in turns.items():
        by_caller = speech in OF_THE_CALLER
        assert (turn["role"], turn["participant"]) == (("user", "user") if by_caller else ("agent", "agent"))
        assert turn["text"] == speech.text or speech == LONGER
        assert turn["not_measured_reason"] is None
        assert turn["interrupted"] is (None if by_caller else speech == LONGER)
        assert turn["metadata"] == ({"uncommitted": "true"} if speech == BACKCHANNEL else {})


def test_interrupted_turn_says_what_was_heard(turns: dict[Speech, Row]) -> None:
    text = turns[LONGER]["text"]
    assert text
    assert LONGER.text.startswith(text)
    assert len(text) < len(LONGER.text) / 2


async def test_agents_audio_is_what_its_voice_made(pipecat_call: FullCall, turns: dict[Speech, Row]) -> None:
    for speech in (*WHOLE, LONGER):
        samples, rate = await pipecat_call.call.audio(turns[speech])
        assert rate == VOICE_RATE
        made = speech.voice[: len(samples)]
        assert np.array_equal(samples[: len(made)], made)
        assert not samples[len(made) :].any()  # the last chunk is filled up
        assert speech == LONGER or len(made) == len(speech.voice)
    assert len(samples) < len(LONGER.voice) / 2


def test_agents_turns_start_when_their_sound_was_sent(pipecat_call: FullCall, turns: dict[Speech, Row]) -> None:
    sent = pipecat_call.call.sent
    errors = {
        speech.text[:9]: seconds(turns[speech]["started_at"]) - sent_at(speech.samples[: RATE * 3], sent)
        for speech in (*WHOLE, LONGER)
    }
    print("agent start errors, ms:", {name: round(1000 * error, 1) for name, error in errors.items()})
    assert all(abs(error) <= AGENT_STARTS_WITHIN_S for error in errors.values()), errors


def test_interrupted_turn_ends_when_the_track_fell_silent(pipecat_call: FullCall, turns: dict[Speech, Row]) -> None:
    ended_at = seconds(turns[LONGER]["ended_at"])
    print("interrupted end error, ms:", round(1000 * (ended_at - cut_at(pipecat_call)), 1))
    assert ended_at == pytest.approx(cut_at(pipecat_call), abs=AGENT_CUT_WITHIN_S)


def test_pipecat_takes_an_answer_for_over_while_the_room_still_hears_it(
    pipecat_call: FullCall, turns: dict[Speech, Row]
) -> None:
    """The control: its output has handed the whole of it to LiveKit by then."""
    stopped = [event["at"] for event in pipecat_call.call.told("bot_stopped")]
    assert seconds(turns[GREETING]["ended_at"]) - stopped[0] > 0.5


async def test_callers_turns_hold_what_was_said_as_loud_as_it_was_said(
    pipecat_call: FullCall, turns: dict[Speech, Row]
) -> None:
    for speech in OF_THE_CALLER:
        samples, rate = await pipecat_call.call.audio(turns[speech])
        assert find(speech.samples, samples, rate).correlation > 0.9
        assert all(find(other.samples, samples, rate).correlation < 0.8 for other in OF_THE_CALLER if other != speech)
        assert abs(level_db(speech.samples, samples, rate)) < 1.0


def test_callers_turns_start_and_end_when_they_were_spoken(pipecat_call: FullCall, turns: dict[Speech, Row]) -> None:
    spans = {
        speech: (seconds(turns[speech]["started_at"]), seconds(turns[speech]["ended_at"])) for speech in OF_THE_CALLER
    }
    errors = errors_of(spans, pipecat_call)
    print("caller errors, ms:", {s.text[:9]: [round(1000 * e, 1) for e in error] for s, error in errors.items()})
    assert all(abs(error) <= CALLER_WITHIN_S for pair in errors.values() for error in pair), errors


def test_times_of_voice_activity_would_not_have_done(pipecat_call: FullCall) -> None:
    """The control: the same bar, and what Pipecat says. It may miss the backchannel altogether."""
    started, stopped = (pipecat_call.call.told(kind) for kind in ("voice_started", "voice_stopped"))
    assert min(len(started), len(stopped)) >= len(pipecat_call.said) - 1
    for said in pipecat_call.said.values():
        starts = [event["at"] - said.started_at for event in started]
        ends = [event["at"] - said.ended_at for event in stopped]
        assert all(abs(error) > CALLER_WITHIN_S for error in [*starts, *ends])


async def test_interruption_is_an_overlap_and_the_backchannel_is_no_interruption(
    pipecat_call: FullCall, turns: dict[Speech, Row]
) -> None:
    live, sid = pipecat_call.call.stack.live, pipecat_call.call.sid
    overlaps = await until(lambda: live.overlaps(sid), lambda rows: len(rows) >= 2, within_s=30)
    by_turn = {row["turn_id"]: row for row in overlaps}
    assert len(by_turn) == len(overlaps) == 2
    barge_in = by_turn[turns[BARGE_IN]["turn_id"]]
    assert (barge_in["overlapper"], barge_in["overlapped"]) == ("user", "agent")
    assert barge_in["floor_taken"]
    true_ms = 1000 * (cut_at(pipecat_call) - pipecat_call.said[BARGE_IN].started_at)
    print("yield_ms:", barge_in["yield_ms"], "true:", round(true_ms, 1), barge_in["class"], barge_in["confidence"])
    assert barge_in["yield_ms"] == pytest.approx(true_ms, abs=YIELD_WITHIN_MS)
    assert barge_in["class"] == "interruption"
    assert by_turn[turns[BACKCHANNEL]["turn_id"]]["class"] == "backchannel"
    summary = await live.summary(sid)
    made = {said["participant"]: said["interruptions_made"] for said in summary["participants"]}
    assert made == {"user": 1, "agent": 0}


async def test_events_of_the_observer_and_of_the_webhooks_are_of_one_call(
    pipecat_call: FullCall, turns: dict[Speech, Row]
) -> None:
    live, sid = pipecat_call.call.stack.live, pipecat_call.call.sid

    def ended(rows: list[Row]) -> list[Row]:
        return [row for row in rows if row["type"] == "call_ended"]

    events = await until(lambda: live.events(sid), lambda rows: len(ended(rows)) >= 2, within_s=30)
    sources = {row["data"].get("source") for row in events if row["type"] == "room_started"}
    assert sources == {"pipecat", "livekit"}
    assert "the caller has left" in [row["data"].get("reason") for row in ended(events)]
    (tool,) = [row["data"] for row in events if row["type"] == "tool_call"]
    assert (tool["name"], tool["outcome"]) == ("look_up", "completed")
    metrics = [row["data"] for row in events if row["type"] == "metrics"]
    assert any("llm_ttft_ms" in figures for figures in metrics)
    assert any("characters" in figures for figures in metrics)
    assert pipecat_call.call.room not in str([turn["participant"] for turn in turns.values()])
