"""A call is the set of its turns: order, doubles and late revisions change nothing in the rows."""

from __future__ import annotations

import random

import httpx

from pipeline.gateway import keys
from tests.integration.conversation import EVENT, OVERLAP_MS, STEP_MS, TURN_MS, conversation, instant, turn
from tests.integration.live import WORKSPACE, Live, Row
from tests.integration.waiting import until
from tests.records import T0


async def test_shuffled_and_doubled_turns_give_the_same_rows(
    live: Live, call_id: str, undisturbed: dict[str, list[Row]]
) -> None:
    turns = conversation(call_id)
    chance = random.Random(call_id)
    await live.event(call_id, EVENT)
    for body in chance.sample(turns, len(turns)) + chance.sample(turns, len(turns)):
        await live.turn(body)
    await live.event(call_id, EVENT)
    await until(live.lag, lambda lag: lag == 0)
    assert await until(lambda: live.said(call_id), lambda said: said == undisturbed) == undisturbed


async def test_revised_turn_replaces_the_whole_turn(live: Live, call_id: str) -> None:
    first = turn(call_id, 0) | {"language": "en", "metadata": {"take": "1"}, "interrupted": True}
    await live.turn(first)
    await until(lambda: live.turns(call_id))
    revised = {
        "call_id": call_id,
        "turn_id": first["turn_id"],
        "participant": "c",
        "role": "human_agent",
        "text": "no, a different one",
        "started_at": (T0 + 50) / 1000,
        "ended_at": (T0 + 60) / 1000,
    }
    await live.turn(revised)
    (row,) = await until(lambda: live.turns(call_id), lambda rows: [row["participant"] for row in rows] == ["c"])
    assert {name: row[name] for name in ("turn_id", "role", "text")} == {
        name: revised[name] for name in ("turn_id", "role", "text")
    }
    assert (row["started_at"], row["ended_at"]) == (instant(T0, 0.050), instant(T0, 0.060))
    # Nothing is left of the first, its audio neither.
    assert (row["language"], row["interrupted"], row["metadata"], row["audio_blob"]) == (None, None, {}, None)
    assert (row["level_dbfs"], row["measured"], row["not_measured_reason"]) == (None, [], "no_audio")


async def test_overlap_that_a_revision_takes_away_leaves_no_phantom(live: Live, call_id: str) -> None:
    """
    # ms     0         700  900       1400
    # a      |--------------|
    # b                |~~~~~~~~~~~~~~|        as first sent: 200 ms of overlap
    # b                     |---------|        revised: it began at 900
    """
    await live.turn(turn(call_id, 0))
    await live.turn(turn(call_id, 1))
    (overlap,) = await until(lambda: live.overlaps(call_id))
    assert (overlap["started_at"], overlap["duration_ms"]) == (instant(T0 + STEP_MS), OVERLAP_MS)
    await live.turn(turn(call_id, 1) | {"started_at": (T0 + TURN_MS) / 1000})
    assert await until(lambda: live.overlaps(call_id), lambda rows: not rows) == []
    assert [row["overlap_ms"] for row in await live.turns(call_id)] == [0, 0]
    summary = await until(lambda: live.summary(call_id), lambda row: row["overlap_ms"] == 0)
    assert (summary["turns"], summary["overlap_ms"]) == (2, 0)


async def test_workspaces_share_no_call(live: Live, call_id: str) -> None:
    """The same call_id in two workspaces is two calls, which don't overlap each other."""
    key = keys.generate()
    keys.add(live.settings.keys_file(), key, workspace="other", name="tests")
    await live.turn(turn(call_id, 0))
    answer = await live.http.post("/v1/turns", json=turn(call_id, 1), headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    rows = await until(lambda: live.turns(call_id), lambda rows: len(rows) == 2)
    assert [(row["workspace"], row["turn_id"], row["overlaps"]) for row in rows] == [
        (WORKSPACE, "t000", []),
        ("other", "t001", []),
    ]
