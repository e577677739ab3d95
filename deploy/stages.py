"""Whether the stages' processes own their partitions: asked of Kafka, not of the processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import KafkaError

from agents.app import client_id, group_id
from schemas.errors import Unavailable

OWNS_WITHIN_S = 60.0
"""After a kill -9 the group waits for the session timeout of the member that is gone (10 s) before it assigns anew."""


async def until_owner(client: AIOKafkaAdminClient, stage: str, pid: int, alive: Callable[[], bool], log: Path) -> None:
    """Return once the process owns partitions of its stage's topics. Raises Unavailable when it ends, or too late."""
    try:
        async with asyncio.timeout(OWNS_WITHIN_S):
            while alive():
                if await _owns(client, group_id(stage), client_id(stage, pid)):
                    return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise Unavailable(f"{stage}: no partitions after {OWNS_WITHIN_S:.0f} s; its log is {log}") from None
    raise Unavailable(f"{stage}: ended before it had partitions; its log is {log}")


async def _owns(client: AIOKafkaAdminClient, group: str, member_client_id: str) -> bool:
    try:
        (response,) = await client.describe_consumer_groups([group])
    except KafkaError:
        return False
    (described,) = response.groups
    state, members = described[2], described[5]
    # A member: its id, client id, host, metadata, assignment.
    assignments = [member[4] for member in members if member[1] == member_client_id]
    return state == "Stable" and any(
        partitions
        for assignment in assignments
        if assignment
        for _, partitions in ConsumerProtocolMemberAssignment.decode(assignment).assignment
    )
