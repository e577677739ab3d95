"""Everything once for the whole session: it takes some seconds to start, and each test has calls of its own."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest

from tests.integration.conversation import EVENT, OVERLAP_MS, Body, conversation, example, seconds
from tests.integration.live import Live, Row, running
from tests.integration.waiting import until


class ExampleCall(NamedTuple):
    """The example call as it was sent; it has ended."""

    call_id: str
    begin_ms: int
    sent: list[Body]


class Started(NamedTuple):
    live: Live
    example: ExampleCall


@pytest.fixture(scope="session")
async def started(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Started]:
    """Everything runs, and the example call is sent: it takes 10 s to close, and other tests run meanwhile."""
    async with running(tmp_path_factory.mktemp("live")) as live:
        begin_ms = time.time_ns() // 1_000_000 - 60_000
        call = ExampleCall("example", begin_ms, example("example", begin_ms))
        for turn in call.sent:
            await live.turn(turn)
        end = max(turn["ended_at"] for turn in call.sent)
        await live.event(
            call.call_id, {"type": "transfer", "at": seconds(begin_ms, 30.0), "data": {"to": "desk", "n": 2}}
        )
        await live.event(call.call_id, {"type": "call_ended", "at": end, "event_id": "the-end"})
        yield Started(live, call)


@pytest.fixture
def live(started: Started) -> Live:
    """A Mise Voice that runs. A test that disturbs it returns when it is whole again."""
    return started.live


@pytest.fixture
def example_call(started: Started) -> ExampleCall:
    return started.example


@pytest.fixture
def call_ids() -> Callable[[], str]:
    """Makes call ids that no other test has."""
    return lambda: f"call-{secrets.token_hex(6)}"


@pytest.fixture
def call_id(call_ids: Callable[[], str]) -> str:
    return call_ids()


@pytest.fixture(scope="session")
async def undisturbed(started: Started) -> dict[str, list[Row]]:
    """What the views say of the conversation when nothing goes wrong."""
    live = started.live
    turns = conversation("undisturbed")
    for turn in turns:
        await live.turn(turn)
    await live.event("undisturbed", EVENT)
    # All sent is in the rows before they are read: one view is read after the other.
    await live.read()
    found = await until(
        lambda: live.said("undisturbed"),
        lambda found: len(found["overlaps"]) == len(turns) - 1 and len(found["call_events"]) == 1,
    )
    # By construction, so that what others are compared with is the truth.
    assert [turn["turn_id"] for turn in found["turns"]] == [turn["turn_id"] for turn in turns]
    assert [overlap["duration_ms"] for overlap in found["overlaps"]] == [OVERLAP_MS] * (len(turns) - 1)
    assert [(call["turns"], call["overlap_ms"]) for call in found["calls"]] == [
        (len(turns), OVERLAP_MS * (len(turns) - 1))
    ]
    return found
