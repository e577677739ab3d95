"""One observer: attached to one session, for as long as its call lasts."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import uuid
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from livekit import rtc
from livekit.agents import AgentSession, CloseEvent, JobContext

from mise_observer import Limits, Role, Sender, Stats
from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.switches import Redact, Switches
from mise_observer_livekit.delivery import Delivery
from mise_observer_livekit.people import People, RoleOf
from mise_observer_livekit.room import RoomWatch
from mise_observer_livekit.session import SessionWatch

log = logging.getLogger("mise_observer")

CLOSE_WAIT_S = 4.0
DRAIN_S = 4.0
HUSH_S = 1.0
"""For the session to close, for what is left to be sent, for the tracks to be let go of: together less than the 10 s
that LiveKit gives a job to shut down."""

TICK_S = 0.5

_observed: weakref.WeakKeyDictionary[AgentSession[Any], Observer] = weakref.WeakKeyDictionary()


class HasRoom(Protocol):
    """A job's context, or what stands for one."""

    @property
    def room(self) -> rtc.Room: ...


class Observer:
    """What `attach` returns. Nothing of it raises."""

    def __init__(self) -> None:
        self._running: Running | None = None

    @property
    def stats(self) -> Stats:
        """What became of everything until now."""
        return Stats() if self._running is None else self._running.stats

    @property
    def call_id(self) -> str | None:
        """None until the room has told its SID."""
        return None if self._running is None else self._running.call_id

    async def aclose(self) -> None:
        """Send what is left, for 9 s at most. LiveKit's job shutdown does it by itself."""
        if self._running is not None:
            try:
                await self._running.aclose()
            except Exception as error:
                log.warning("observer_failed closing error=%s", type(error).__name__)


def attach(
    session: AgentSession[Any],
    ctx: HasRoom | rtc.Room | None = None,
    *,
    endpoint: str | None = None,
    api_key: str | None = None,
    call_id: str | None = None,
    audio: bool = True,
    text: bool = True,
    redact: Redact | None = None,
    role: RoleOf | None = None,
    spool: str | Path | None = None,
    limits: Limits | None = None,
) -> Observer:
    """Send every turn of this session's call to Mise Voice. Call it before `session.start`; it raises nothing.

    ctx : the job's context, or anything with a `.room`, or the room; None for a session without one.
    endpoint, api_key : default MISE_VOICE_URL and MISE_VOICE_KEY.
    call_id : default the room's SID. Room names are used again, they make no id.
    audio, text : False and none of it leaves the process.
    redact : gets every text, in a thread, and returns what is sent; a turn whose redaction fails is sent without text.
    role : of a remote participant: `user`, `agent`, `human_agent`; None leaves it to its attribute `mise.role`, then to
        its kind.
    spool, limits : as of `mise_observer.Sender`.
    """
    observer = Observer()
    try:
        known = _observed.get(session)
        if known is not None:
            log.warning("observed_twice detail='this session is observed already; nothing is changed'")
            return known
        sender = Sender(
            endpoint or os.environ.get("MISE_VOICE_URL", ""),
            api_key or os.environ.get("MISE_VOICE_KEY", ""),
            spool=None if spool is None else Path(spool),
            limits=limits,
        )
        running = Running(session, ctx, sender, Switches(audio, text, redact), call_id=call_id, role=role)
        running.start()
        observer._running = running
        _observed[session] = observer
    except Exception as error:
        log.error("not_observed error='%s: %s'", type(error).__name__, error)  # noqa: TRY400  # one line
    return observer


class Running:
    """An observer at work."""

    def __init__(
        self,
        session: AgentSession[Any],
        ctx: object,
        sender: Sender,
        switches: Switches,
        *,
        call_id: str | None,
        role: RoleOf | None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._notices = Notices()
        self._guard = guard = Guard(self._notices)
        self._clock = clock = Clock()
        self._sender = sender
        self._ctx = ctx
        self._closed = asyncio.Event()
        self._reason: str | None = None
        self._ended_at: float | None = None
        self._watched = session
        self._call_id = call_id
        self._job_room_sid = job_room_sid(ctx)
        self._session = SessionWatch(session, clock, guard, self._notices, keep_audio=switches.audio)
        self._room = RoomWatch(
            room_of(ctx), People(self._asking(role)), clock, guard, self._notices, self._session.linked
        )
        outbox = Outbox(sender, self._notices, held=True)
        self._delivery = Delivery(outbox, clock, switches, self._room.place_of, self._notices)
        self._on_close = guard(self._session_closed)
        self._tasks: list[asyncio.Task[None]] = []
        self._hushing: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Observe. Where that fails it raises, and leaves nothing behind."""
        if self._session.started:
            log.warning("livekit_attached_late detail='attach before session.start; what was said so far is missing'")
        try:
            self._room.open(self._delivery)
            self._session.open(self._room, self._delivery)
            self._watched.on("close", self._on_close)
            if isinstance(self._ctx, JobContext):
                self._ctx.add_shutdown_callback(self._flush_callback())
        except Exception:
            self._unhook()
            raise
        self._sender.start()
        self._guard(self._session.install)()
        self._tasks = [
            self._loop.create_task(self._identify(), name="mise-observer-identify"),
            self._loop.create_task(self._tick(self._guard(self._room.settle)), name="mise-observer-tick"),
        ]

    @property
    def stats(self) -> Stats:
        return self._delivery.stats

    @property
    def call_id(self) -> str | None:
        return self._delivery.call_id

    async def aclose(self) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="mise-observer-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        if self._session.started:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._closed.wait(), CLOSE_WAIT_S)
        hushing = self._finish()
        await self._delivery.drain(DRAIN_S)
        await asyncio.wait({hushing}, timeout=HUSH_S)

    def _flush_callback(self) -> Callable[[], Any]:
        # LiveKit looks at the callback's code: no bound method, no partial.
        async def flush_mise_observer() -> None:
            try:
                await self.aclose()
            except Exception as error:
                self._notices.warn("observer_failed", "flush", error=type(error).__name__)

        return flush_mise_observer

    def _session_closed(self, event: CloseEvent) -> None:
        self._reason = event.reason.value
        self._ended_at = self._clock.of_wall(event.created_at)
        self._closed.set()
        if isinstance(self._ctx, JobContext):
            self._finish()  # the job's shutdown drains it; until then everything may wait for the gateway
        elif self._closing is None:
            self._closing = self._loop.create_task(self._close(), name="mise-observer-close")

    def _finish(self) -> asyncio.Task[None]:
        """Send what is left of the call, once. Returns what lets go of the room."""
        if self._hushing is None:
            self._hushing = self._loop.create_task(self._room.close(), name="mise-observer-hush")
            for task in self._tasks:
                task.cancel()
            self._unhook()
            self._guard(self._session.finish)()
            self._guard(self._room.finish)()
            at = self._clock.now() if self._ended_at is None else self._ended_at
            self._delivery.event("call_ended", at, reason=self._reason or "unknown")
            if self._delivery.call_id is None:
                self._delivery.identify(self._fallback_id())
            _observed.pop(self._watched, None)
        return self._hushing

    def _unhook(self) -> None:
        self._watched.off("close", self._on_close)
        self._session.unhook()
        self._room.unhook()

    def _asking(self, role: RoleOf | None) -> RoleOf | None:
        """The host's `role`, which may fail."""
        if role is None:
            return None

        def ask(participant: object) -> Role | None:
            try:
                return role(participant)
            except Exception as error:
                self._notices.warn("observer_failed", "role", error=type(error).__name__)
                return None

        return ask

    async def _identify(self) -> None:
        try:
            sid = await self._room.connected()
            self._delivery.identify(self._call_id or sid or self._fallback_id())
        except Exception as error:
            self._notices.warn("observer_failed", "identify", error=type(error).__name__)
            self._delivery.identify(self._fallback_id())

    def _fallback_id(self) -> str:
        if given := self._call_id or self._job_room_sid:
            return given
        made = f"call-{uuid.uuid4().hex}"
        log.warning("livekit_call_id_made call_id=%s detail='no room has told its SID'", made)
        return made

    async def _tick(self, settle: Callable[[], None]) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            settle()


def room_of(ctx: object) -> rtc.Room | None:
    """The room of whatever was given; None when there is none, and for a job that is none (the console's)."""
    if isinstance(ctx, JobContext) and ctx.is_fake_job() and not ctx.room.isconnected():
        return None
    room = ctx if isinstance(ctx, rtc.Room) else getattr(ctx, "room", None)
    if room is not None and not isinstance(room, rtc.Room):
        raise TypeError(f"ctx: its room is {type(room).__name__}; give the JobContext, a livekit.rtc.Room, or None")
    if ctx is not None and room is None and not hasattr(ctx, "room"):
        raise TypeError(f"ctx: {type(ctx).__name__} has no room; give the JobContext, a livekit.rtc.Room, or None")
    return room


def job_room_sid(ctx: object) -> str | None:
    """The room's SID as the job was given it, before anybody is connected."""
    return (ctx.job.room.sid or None) if isinstance(ctx, JobContext) else None
