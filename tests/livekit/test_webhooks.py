"""The webhooks of a real LiveKit server at the real gateway."""

from __future__ import annotations

import signal

import httpx
import jwt
import msgspec
import pytest

from pipeline.kafka.partition import read_to_end
from schemas.topics import RECEIVED
from tests.integration.live import Live, Row
from tests.integration.waiting import until
from tests.livekit.calls import Stack
from tests.livekit.conftest import FullCall
from tests.livekit.relay import Request
from tests.livekit.room_server import KEY

PATH = "/v1/webhooks/livekit"

HOOKS = [
    "participant_joined",
    "participant_joined",
    "participant_left",
    "participant_left",
    "room_finished",
    "room_started",
    "track_published",
    "track_published",
    "track_unpublished",
    "track_unpublished",
]


def told(hook: Request) -> Row:
    event: Row = msgspec.json.decode(hook.body)
    return event


@pytest.fixture(scope="session")
async def hooks(full_call: FullCall) -> list[Request]:
    """Those of the full call, once its room has ended."""
    call = full_call.call

    async def of_the_call() -> list[Request]:
        return [hook for hook in list(call.stack.relay.passed) if told(hook)["room"]["sid"] == call.sid]

    return await until(of_the_call, lambda found: any(told(hook)["event"] == "room_finished" for hook in found))


@pytest.mark.parametrize("worker", ["newest"], indirect=True)
class TestOfTheFullCall:
    """What becomes of the webhooks of the full call."""

    def test_every_one_is_accepted(self, hooks: list[Request]) -> None:
        assert sorted(told(hook)["event"] for hook in hooks) == HOOKS
        assert {hook.answer for hook in hooks} == {202}

    async def test_delivered_again_they_change_nothing(self, full_call: FullCall, hooks: list[Request]) -> None:
        live, sid = full_call.call.stack.live, full_call.call.sid
        before = await until(lambda: of_livekit(live, sid), lambda events: len(events) == len(HOOKS))
        for hook in hooks:
            assert (await posted(live, hook.body, hook.headers["Authorization"])).status_code == 202
        await until(live.lag, lambda lag: lag == 0)
        after = await of_livekit(live, sid)
        assert [event["event_id"] for event in after] == [event["event_id"] for event in before]

    async def test_another_body_or_secret_is_refused(self, full_call: FullCall, hooks: list[Request]) -> None:
        live, hook = full_call.call.stack.live, hooks[0]
        token = hook.headers["Authorization"]
        assert (await posted(live, hook.body + b" ", token)).status_code == 401
        claims = jwt.decode(token, options={"verify_signature": False})
        forged = jwt.encode({**claims, "iss": KEY}, "x" * 32, "HS256")
        assert (await posted(live, hook.body, forged)).status_code == 401

    async def test_password_of_the_room_is_kept_nowhere(self, full_call: FullCall, hooks: list[Request]) -> None:
        live = full_call.call.stack.live
        (password,) = {told(hook)["room"].get("turnPassword") for hook in hooks} - {None, ""}
        count = live.settings.kafka_partitions
        records = [record async for record in read_to_end(live.kafka, RECEIVED.name, range(count))]
        kept = [bytes(part or b"") for record in records for part in (record.key, record.value)]
        assert any(full_call.call.sid.encode() in part for part in kept)
        kept += [str(await live.said(full_call.call.sid)).encode()]
        kept += [file.read_bytes() for file in live.settings.data_dir.glob("logs/*.log")]
        assert not [part for part in kept if password.encode() in part]


async def posted(live: Live, body: bytes, token: str) -> httpx.Response:
    headers = {"Authorization": token, "Content-Type": "application/webhook+json"}
    return await live.http.post(PATH, content=body, headers=headers)


async def of_livekit(live: Live, sid: str) -> list[Row]:
    return [event for event in await live.events(sid) if event["data"].get("source") == "livekit"]


async def test_webhook_arrives_though_the_gateway_was_away(stack: Stack) -> None:
    before = stack.live.send("gateway", signal.SIGKILL)
    room = await stack.server.ask("RoomService", "CreateRoom", name="unattended", empty_timeout=60)
    await stack.live.back("gateway", before)
    events = await until(lambda: of_livekit(stack.live, room["sid"]), within_s=40)
    assert [event["type"] for event in events] == ["room_started"]
    await stack.server.delete("unattended")
