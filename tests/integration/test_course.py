"""The course of a call that goes badly, from POST to the views."""

from __future__ import annotations

import asyncio
import time

from deploy.timeline import warnings
from tests.integration.live import WORKSPACE, Live
from tests.integration.waiting import until

ASKED = "where is my parcel it should have come yesterday"
TURNS = [
    ("bot", 0, 1_500, "hello what can i do for you"),
    ("ann", 2_000, 4_000, ASKED),
    ("bot", 4_500, 6_000, "sorry i didn't catch that"),
    ("ann", 6_500, 8_500, ASKED),
    ("bot", 15_000, 17_000, "your parcel is on its way"),
    ("ann", 17_500, 19_000, "this is terrible i want to speak to a human"),
    ("bot", 19_500, 20_500, "i will transfer you"),
]
AHEAD_S = 5.0
"""The agent's clock is ahead of the caller's, and both of what follows from it."""


async def test_course_stands_in_the_views_and_wrong_clocks_are_told_of(live: Live, call_id: str) -> None:
    begin = time.time() - 20.5
    for number, (who, start, end, text) in enumerate(TURNS):
        ahead_s = AHEAD_S if who == "bot" else 0.0
        await live.turn(
            {
                "call_id": call_id,
                "turn_id": f"t{number}",
                "participant": who,
                "role": "agent" if who == "bot" else "user",
                "text": text,
                "started_at": begin + start / 1000 + ahead_s,
                "ended_at": begin + end / 1000 + ahead_s,
            }
        )
    call = await until(lambda: live.summary(call_id), lambda row: bool(row) and row["turns"] == len(TURNS))
    skews = {said["participant"]: said["clock_skew_ms"] for said in call["participants"]}
    assert skews["ann"] is None
    assert -1_000 * AHEAD_S <= skews["bot"] < -1_000
    (warning,) = await asyncio.to_thread(warnings, live.clickhouse, call_id, workspace=WORKSPACE)
    assert warning.startswith("the clock of bot seems to be ")
    assert "s ahead: overlaps and gaps" in warning

    (silence,) = await live.rows("SELECT * FROM silences WHERE call_id = {call_id:String}", call_id=call_id)
    assert (silence["before"], silence["after"], silence["due"], silence["duration_ms"]) == (
        "bot",
        "ann",
        "user",
        6_500,
    )
    assert call["silence_ratio"] > 0
    assert call["turns_per_minute"] > 0

    assert [(phase["phase"], phase["source"]) for phase in call["phases"]] == [("ai", "roles"), ("escalation", "text")]
    assert [(one["kind"], one["turn_id"]) for one in call["turnings"]] == [("escalation", "t5")]
    assert call["frustration_start"] == 0 < call["frustration_end"] <= call["frustration_max"]
    assert call["frustration_slope"] > 0

    turns = await live.turns(call_id)
    averages = [row["sentiment_ema"] for row in turns if row["participant"] == "ann"]
    assert averages[0] is not None
    assert averages[-1] < averages[0]
    assert {row["arousal"] for row in turns} == {None}  # no audio
    assert {row["crosstalk_ms"] for row in turns} == {0}
