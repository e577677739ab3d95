"""Any process may end at any moment: nothing that was acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from functools import partial

import pytest

from schemas.topics import DEAD_LETTERS
from tests.integration.conversation import EVENT, conversation
from tests.integration.live import Live, Row
from tests.integration.waiting import until

CALLS = 3
"""Calls that run at once: in several partitions, mostly."""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_stages_that_end_one_after_the_other_lose_and_double_nothing(
    live: Live, call_ids: Callable[[], str], undisturbed: dict[str, list[Row]], number: signal.Signals
) -> None:
    # The last one first: what comes before it is busy until its own turn.
    await _disturb(live, call_ids, undisturbed, ("sink", "calls", "features"), number)


@pytest.mark.parametrize("name", ["gateway", "clickhouse", "kafka"])
async def test_server_that_is_killed_loses_and_doubles_nothing(
    live: Live, call_ids: Callable[[], str], undisturbed: dict[str, list[Row]], name: str
) -> None:
    await _disturb(live, call_ids, undisturbed, (name,), signal.SIGKILL)


async def _disturb(
    live: Live,
    call_ids: Callable[[], str],
    undisturbed: dict[str, list[Row]],
    names: Sequence[str],
    number: signal.Signals,
) -> None:
    """Send calls, end the processes evenly over the stream, and see the rows of calls that nothing disturbed."""
    # What other tests sent is committed first: read again after a kill, their dead letters would come again.
    await live.read()
    letters = await live.ends(DEAD_LETTERS)
    ids = [call_ids() for _ in range(CALLS)]
    stream = [turn for turns in zip(*map(conversation, ids), strict=True) for turn in turns]
    step = len(stream) // (len(names) + 1)
    ended: dict[str, int] = {}
    for at, turn in enumerate(stream, 1):
        await live.turn(turn)
        if at % step == 0 and len(ended) < len(names):
            name = names[len(ended)]
            ended[name] = live.send(name, number)
    for call_id in ids:
        await live.event(call_id, EVENT)
    for name, pid in ended.items():
        await live.back(name, pid)
    await live.read()
    for call_id in ids:
        assert await until(partial(live.said, call_id), lambda said: said == undisturbed) == undisturbed
    assert await live.ends(DEAD_LETTERS) == letters
