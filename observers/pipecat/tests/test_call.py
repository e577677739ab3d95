"""A whole call: what arrives, held against what was really said and played."""

from __future__ import annotations

import base64
from collections.abc import Iterable

import numpy as np
from bed import TOOL, USER_ID, Samples, backchannel, clip
from conftest import Happened
from marks import KINDS
from pipecat.processors.frame_processor import FrameDirection
from scripted import Row

AGENT_S = 0.02
CUT_S = 0.05
USER_S = 0.05
LONG_ANSWER = [clip(4), clip(10), clip(8)]


def samples(turn: Row) -> Samples:
    assert turn["audio_format"] == "pcm_s16le"
    assert turn["sample_rate"] == 16_000
    return np.frombuffer(base64.b64decode(turn["audio_b64"]), np.int16)


def near(found: Iterable[float], truth: Iterable[float], within_s: float) -> bool:
    return all(abs(one - other) <= within_s for one, other in zip(found, truth, strict=True))


def test_every_turn_of_both_sides_arrives_once_greeting_and_backchannel_included(happened: Happened) -> None:
    assert [(turn["role"], turn["participant"], turn["text"]) for turn in happened.turns] == [
        ("agent", "agent", clip(1).text),
        ("user", "user", clip(11).text),
        ("agent", "agent", happened.of("agent")[1]["text"]),
        ("user", "user", backchannel().text),
        ("user", "user", clip(9).text),
        ("agent", "agent", happened.of("agent")[2]["text"]),
    ]
    assert {turn["call_id"] for turn in happened.turns} == {"a-call"}


def test_agent_starts_and_stops_when_its_output_does(happened: Happened) -> None:
    agent = happened.of("agent")
    starts = [turn["started_at"] - happened.epoch for turn in agent]
    ends = [turn["ended_at"] - happened.epoch for turn in agent]
    assert near(starts, [played.started_at for played in happened.world.played], AGENT_S)
    truth = [played.ended_at for played in happened.world.played]
    assert near(ends[:1], truth[:1], AGENT_S)
    assert near(ends[1:], truth[1:], CUT_S)  # of what was being written when it was cut off, less or more was heard


def test_user_starts_and_stops_when_speech_does(happened: Happened) -> None:
    user = happened.of("user")
    assert near([turn["started_at"] - happened.epoch for turn in user], started(happened), USER_S)
    assert near([turn["ended_at"] - happened.epoch for turn in user], ended(happened), USER_S)


def test_voice_activity_alone_would_not_do(happened: Happened) -> None:
    """The negative control: neither Pipecat's own times nor those less `start_secs` are so near."""
    for spoken in happened.world.spoken:
        first = min(
            (mark for mark in happened.marks.voice_started if mark.timestamp - happened.epoch > spoken.started_at),
            key=lambda mark: mark.timestamp,
        )
        last = max(
            (mark for mark in happened.marks.voice_stopped if mark.timestamp - happened.epoch < spoken.ended_at + 1.0),
            key=lambda mark: mark.timestamp,
        )
        assert not near([first.timestamp - happened.epoch], [spoken.started_at], USER_S)
        assert not near([first.timestamp - first.start_secs - happened.epoch], [spoken.started_at], USER_S)
        assert not near([last.timestamp - happened.epoch], [spoken.ended_at], USER_S)


def started(happened: Happened) -> list[float]:
    return [spoken.started_at for spoken in happened.world.spoken]


def ended(happened: Happened) -> list[float]:
    return [spoken.ended_at for spoken in happened.world.spoken]


def test_pipecat_says_everything_twice_and_it_counts_once(happened: Happened) -> None:
    """Were its upstream frames counted, there would be twice as many turns."""
    for kind in KINDS:
        downstream = happened.marks.seen[kind, FrameDirection.DOWNSTREAM]
        assert happened.marks.seen[kind, FrameDirection.UPSTREAM] == downstream >= 2
    assert len(happened.turns) == 6


def test_agent_audio_is_what_was_synthesized_bit_by_bit_as_far_as_it_was_heard(happened: Happened) -> None:
    greeting, cut, last = (samples(turn) for turn in happened.of("agent"))
    assert np.array_equal(greeting[: len(clip(1).samples)], clip(1).samples)
    script = np.concatenate([sentence.samples for sentence in LONG_ANSWER])
    assert 16_000 < len(cut) < len(script)
    assert np.array_equal(cut, script[: len(cut)])
    assert np.array_equal(last, clip(12).samples[: len(last)])
    for turn, audio in zip(happened.of("agent"), (greeting, cut, last), strict=True):
        assert len(audio) / 16_000 <= turn["ended_at"] - turn["started_at"] + 0.001


def test_user_audio_is_the_speech_of_the_turn(happened: Happened) -> None:
    for turn, spoken in zip(happened.of("user"), happened.world.spoken, strict=True):
        found, said = samples(turn), spoken.clip.samples
        # The noise of the room lies beside the speech, not on it, so what was said is in it to the last bit.
        middle = said[len(said) // 4 : len(said) // 2]
        places = [
            place
            for place in range(len(found) - len(middle))
            if found[place] == middle[0] and np.array_equal(found[place : place + len(middle)], middle)
        ]
        assert len(places) == 1
        heard_at = turn["started_at"] - happened.epoch + places[0] / 16_000
        said_at = spoken.began_at + len(said) // 4 / 16_000
        assert abs(heard_at - said_at) <= USER_S


def test_interrupted_agent_turn_has_the_text_of_what_was_heard(happened: Happened) -> None:
    greeting, cut, last = happened.of("agent")
    assert [turn["interrupted"] for turn in (greeting, cut, last)] == [False, True, True]
    script = " ".join(sentence.text for sentence in LONG_ANSWER)
    assert LONG_ANSWER[0].text in cut["text"]
    assert script.startswith(cut["text"])
    assert len(cut["text"]) < len(script)
    assert 0 < len(last["text"]) < len(clip(12).text)


def test_events_of_the_call_arrive(happened: Happened) -> None:
    kinds = [event["type"] for event in happened.events]
    assert kinds[0] == "room_started"
    assert happened.events[0]["data"] == {"source": "pipecat"}
    assert kinds[-1] == "call_ended"
    assert happened.events[-1]["data"] == {"reason": "hung up"}
    (tool,) = [event["data"] for event in happened.events if event["type"] == "tool_call"]
    assert (tool["name"], tool["outcome"], tool["failed"]) == (TOOL, "completed", False)
    assert [data for data in metrics(happened) if data["processor"].startswith("Mind") and data.get("llm_ttft_ms")]
    assert all(path == "/v1/calls/a-call/events" for path in {event["path"] for event in happened.events})


def metrics(happened: Happened) -> list[Row]:
    return [event["data"] for event in happened.events if event["type"] == "metrics"]


def test_nothing_says_who_called(happened: Happened) -> None:
    """Pipecat's id of the user is a telephone number here, as it is of many transports."""
    assert USER_ID not in str(happened.turns) + str(happened.events)
