"""LiveKit's webhooks over real HTTP, through real Kafka, until the rows."""

from __future__ import annotations

import os
import secrets
import signal
import time
from typing import Any

import httpx
import pytest

from pipeline.gateway import keys
from pipeline.kafka.partition import read_to_end
from schemas.topics import DEAD_LETTERS, RECEIVED, TOPICS
from tests import webhooks
from tests.integration.live import WORKSPACE, Live
from tests.integration.waiting import until


@pytest.fixture(scope="module")
def project() -> dict[str, str]:
    """A LiveKit project of its own: API key and secret."""
    return {"iss": f"API{secrets.token_hex(6)}", "secret": secrets.token_urlsafe(48)}


async def deliver(live: Live, project: dict[str, str], hook: dict[str, Any], **headers: str) -> httpx.Response:
    known = {entry.id for entry in keys.read(live.settings.keys_file())}
    if project["iss"] not in known:
        keys.add_livekit(
            live.settings.keys_file(), project["iss"], project["secret"], workspace=WORKSPACE, name="tests"
        )
    body = webhooks.body_of(hook)
    signed = webhooks.headers_of(body, **project) | headers
    return await live.http.post(webhooks.PATH, content=body, headers=signed)


def room_sid() -> str:
    return f"RM_{secrets.token_hex(6)}"


async def test_webhooks_of_a_call_are_its_events_once_though_delivered_twice(
    live: Live, project: dict[str, str]
) -> None:
    letters = sum((await live.ends(DEAD_LETTERS)).values())
    room, at = room_sid(), int(time.time()) - 60
    hooks = webhooks.call(room, at)
    for hook in hooks:
        answer = await deliver(live, project, hook)
        assert (answer.status_code, answer.json()) == (202, {"call_id": room, "event_id": hook["id"]})
    for hook in hooks:
        # In other bytes, which this process has not answered before: as if another process of the gateway got it.
        assert (await deliver(live, project, hook | {"unknown": "field"})).status_code == 202
    events = await until(lambda: live.events(room), lambda rows: len(rows) == 10)
    assert [(row["event_id"], row["type"], row["participant"]) for row in events] == [
        (hook["id"], kind, participant)
        for hook, (kind, participant) in zip(
            hooks,
            [
                ("room_started", None),
                ("participant_joined", "PA_agent"),
                ("participant_joined", "PA_caller"),
                ("system", "PA_agent"),
                ("system", "PA_caller"),
                ("system", "PA_caller"),
                ("participant_left", "PA_caller"),
                ("system", "PA_agent"),
                ("participant_left", "PA_agent"),
                ("call_ended", None),
            ],
            strict=True,
        )
    ]
    call = await until(lambda: live.summary(room), lambda row: row.get("state") == "closed", within_s=40)
    assert (call["state"], call["turns"], call["events"], call["started_at"]) == ("closed", 0, 10, None)
    assert len(await live.events(room)) == 10
    assert sum((await live.ends(DEAD_LETTERS)).values()) == letters


async def test_nothing_secret_or_personal_of_a_webhook_is_on_any_topic_or_in_any_row_or_log(
    live: Live, project: dict[str, str]
) -> None:
    marker = secrets.token_hex(8)
    room = room_sid()
    hook = webhooks.call(room, int(time.time()))[2]
    hook["room"]["turnPassword"] = hook["participant"]["identity"] = hook["participant"]["name"] = marker
    hook["participant"]["attributes"] = {"sip.phoneNumber": marker}
    answers = [
        await deliver(live, project, hook),
        await deliver(live, project, hook | {"createdAt": "soon"}),
        await deliver(live, project, hook, Authorization="forged"),
    ]
    assert [answer.status_code for answer in answers] == [202, 422, 401]
    assert not [answer for answer in answers if marker in answer.text]
    await until(lambda: live.events(room), lambda rows: len(rows) == 1)
    for topic in TOPICS:
        async for record in read_to_end(live.kafka, topic.name, list(await live.ends(topic))):
            assert marker.encode() not in (record.value or b"") + (record.key or b"")
    assert marker not in repr(await live.events(room)) + repr(await live.summary(room))
    logs = [path for path in live.settings.data_dir.rglob("*.log") if path.is_file()]
    assert [path for path in logs if b"webhook_refused" in path.read_bytes()], "refusals are in no log"
    for path in logs:
        content = path.read_bytes()
        assert marker.encode() not in content
        assert project["secret"].encode() not in content


@pytest.mark.parametrize("case", ["another secret", "another body", "no token", "a key of ours"])
async def test_webhook_that_is_not_signed_is_refused_and_nothing_is_produced(
    live: Live, project: dict[str, str], case: str
) -> None:
    hook = webhooks.call(room_sid(), int(time.time()))[0]
    assert (await deliver(live, project, hook)).status_code == 202
    before = await live.ends(RECEIVED)
    body = webhooks.body_of(hook)
    token = {
        "another secret": webhooks.token_of(body, project["secret"][::-1], iss=project["iss"]),
        "another body": webhooks.token_of(body + b" ", **project),
        "no token": "",
        "a key of ours": live.http.headers["Authorization"],
    }[case]
    answer = await deliver(live, project, hook, Authorization=token)
    assert answer.status_code == 401
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert await live.ends(RECEIVED) == before


async def test_webhook_without_kafka_is_503_and_its_event_is_there_when_it_is_delivered_again(
    live: Live, project: dict[str, str]
) -> None:
    room = room_sid()
    hook = webhooks.call(room, int(time.time()))[0]
    kafka = live.send("kafka", signal.SIGSTOP)
    try:
        answer = await deliver(live, project, hook)
    finally:
        os.kill(kafka, signal.SIGCONT)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    again = await until(lambda: deliver(live, project, hook), lambda answer: answer.status_code != 503)
    assert again.status_code == 202
    assert [row["event_id"] for row in await until(lambda: live.events(room))] == [hook["id"]]
