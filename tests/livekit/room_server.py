"""The real LiveKit server on loopback, and the calls of its API that these tests make."""

from __future__ import annotations

import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt

from deploy.embedded.ports import free_port
from tests.integration.waiting import until
from tests.livekit.processes import spawn, stop

ROOT = Path(__file__).parents[2]

KEY = "devkey"
SECRET = "0123456789abcdef" * 2
"""The server wants 32 characters."""


@dataclass(frozen=True)
class RoomServer:
    port: int

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """Of a worker."""
        return {"LIVEKIT_URL": self.url, "LIVEKIT_API_KEY": KEY, "LIVEKIT_API_SECRET": SECRET}

    def joining(self, room: str, identity: str, **claims: object) -> dict[str, str]:
        """Environment of somebody who joins the room. claims : further ones of his token, as `kind`."""
        grants = {"roomJoin": True, "room": room, "agent": claims.get("kind") == "agent"}
        return {"LIVEKIT_URL": self.url, "LIVEKIT_TOKEN": token(sub=identity, video=grants, **claims)}

    async def ask(self, service: str, method: str, **body: object) -> Any:
        grants = {"roomCreate": True, "roomAdmin": True, "roomList": True, "room": body.get("room", "")}
        async with httpx.AsyncClient(timeout=10) as http:
            answer = await http.post(
                f"http://127.0.0.1:{self.port}/twirp/livekit.{service}/{method}",
                json=body,
                headers={"Authorization": f"Bearer {token(video=grants)}"},
            )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def dispatch(self, room: str, agent: str, metadata: str) -> None:
        """Have a worker's agent join the room."""
        await self.ask("AgentDispatchService", "CreateDispatch", agent_name=agent, room=room, metadata=metadata)

    async def delete(self, room: str) -> None:
        await self.ask("RoomService", "DeleteRoom", room=room)

    async def sid(self, room: str) -> str:
        found = await self.ask("RoomService", "ListRooms", names=[room])
        return str(found["rooms"][0]["sid"]) if found.get("rooms") else ""


def token(**claims: object) -> str:
    """A token for the server, valid for an hour."""
    now = int(time.time())
    return jwt.encode({"iss": KEY, "nbf": now - 5, "exp": now + 3600, **claims}, SECRET, "HS256")


@asynccontextmanager
async def serving(binary: Path, folder: Path, gateway: str) -> AsyncIterator[RoomServer]:
    """The server, until the block ends. gateway : base URL of the one that gets its webhooks, as the docs say."""
    server = RoomServer(free_port())
    config = {
        "port": server.port,
        "bind_addresses": ["127.0.0.1"],
        "rtc": {
            "node_ip": "127.0.0.1",
            "use_external_ip": False,
            "enable_loopback_candidate": True,
            "udp_port": free_port(),
            "tcp_port": 0,
            "stun_servers": ["127.0.0.1:3478"],  # nobody there: without any it names public ones
        },
        "keys": {KEY: SECRET},
        "room": {"auto_create": True, "empty_timeout": 5, "departure_timeout": 2},
        "logging": {"level": "info", "json": True},
    }
    config_file = folder / "livekit.yaml"
    (webhook,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "http.md").read_text(), re.DOTALL)
    webhook = webhook.replace("APIxxxxxxxx", KEY).replace("https://gateway.example", gateway)
    config_file.write_text(webhook + "".join(f"{key}: {json.dumps(value)}\n" for key, value in config.items()))
    process = await spawn([str(binary), "--config", str(config_file)], folder / "livekit-server.log", {})
    try:
        async with httpx.AsyncClient() as http:

            async def ready() -> bool:
                assert process.returncode is None, f"livekit-server has ended; its log is in {folder}"
                try:
                    return (await http.get(f"http://127.0.0.1:{server.port}/")).status_code == 200
                except httpx.TransportError:
                    return False

            assert await until(ready, within_s=15), f"livekit-server is not ready; its log is in {folder}"
        yield server
    finally:
        await stop(process, within_s=1.0)
