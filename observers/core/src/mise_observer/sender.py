"""The sender: takes turns and call events from the host at once, and brings them to the gateway when it can."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp

from mise_observer.answer import Accepted, Answer, Denied, Refused, Unavailable, Verdict
from mise_observer.backoff import Backoff
from mise_observer.batch import Batch, Item, batches
from mise_observer.encoding import Refusal, Spilled, Unsent, encode_all, is_turn, spill
from mise_observer.event import CallEvent
from mise_observer.intake import Intake, Limits
from mise_observer.notices import Notices
from mise_observer.post import Poster
from mise_observer.spool import Lost, Spool
from mise_observer.stats import Left, Stats
from mise_observer.turn import Turn

log = logging.getLogger("mise_observer")

T = TypeVar("T")

CLOSE_WITHIN_S = 5.0
"""LiveKit gives a job 10 s for all of its shutdown."""

CLOSING_WAIT_S = 1.0
"""Between the attempts then, whatever the gateway asked for: there is no later."""

CRASHES = 3
"""So often the gateway may crash on a batch (500); then it is halved at each crash, to find the turn at fault."""

ASIDE = 100
"""So many such turns are set aside, so that others pass; more of them, and it is not the turns."""

DISK_AGAIN_S = 30.0
"""After the disk has failed it is left alone for so long."""


class Sender:
    """Sends turns and call events to the gateway at `url` with an ingest key.

        async with Sender("https://voice.example.com", key) as sender:
            sender.send(Turn(...))

    A background task on the loop that started it (two with a spool), and one thread for what would hold that loop.
    Whatever happens to the gateway, the host sees it in `stats` and in the log lines of `mise_observer`, nowhere else.

    spool : folder for what does not fit in memory or is left at the end; several processes may share it.
    backoff, pause : how long to wait between attempts, and what waits so many seconds; for tests.
    Raises ValueError for a url or a key that can't be one.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        spool: Path | None = None,
        limits: Limits | None = None,
        backoff: Backoff | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError(f"url: {url!r} is no address of a gateway; give for example https://voice.example.com")
        if not key or not key.isascii() or not key.isprintable():
            raise ValueError("key: empty, or has characters that no key has; make one with `mise-voice keys create`")
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._limits = limits or Limits()
        self._backoff = backoff or Backoff()
        self._pause = pause
        self._notices = Notices()
        self._intake = Intake(self._limits)
        self._reported = Stats()
        self._signalled = False
        self._stopped = False
        self._process: int | None = None
        # All that follows belongs to the loop. What left the intake is in `_aside`, `_round`, `_taken`, `_spilling` or
        # `_unspilled`, from the oldest to the newest, until it is settled: nothing is lost when the sender is closed.
        self._loop: asyncio.AbstractEventLoop | None = None
        self._posting: asyncio.Task[None] | None = None
        self._relief: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._half_full = asyncio.Event()
        self._closing = asyncio.Event()
        self._taken: list[Turn | CallEvent] = []
        self._spilling: list[Turn | CallEvent] = []
        self._unspilled: list[Turn | CallEvent] = []
        self._round: list[Batch] = []
        self._aside: list[Batch] = []
        self._left: Left | None = None
        self._putting_away: asyncio.Task[Left] | None = None
        self._one_closes = asyncio.Lock()
        # One thread: encoding can't take more than one core, and the spool needs no locks.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="mise-observer")
        self._spool_folder = spool
        self._spool: Spool | None = None

    # --- what the host calls

    def start(self) -> None:
        """Start on the running loop; once, and not when it is closed."""
        if self._posting is not None or self._intake.closed:
            self._notices.warn("start_ignored", why="closed" if self._intake.closed else "started already")
            return
        self._process = os.getpid()
        self._loop = asyncio.get_running_loop()
        self._posting = self._loop.create_task(self._run(), name="mise-observer")

    async def __aenter__(self) -> Sender:
        self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def send(self, item: Turn | CallEvent) -> None:
        """Take the item, and return at once; from any thread, also before `start`. Raises nothing.

        In a process that was forked since `start` nothing is taken: neither loop nor thread is there, and locks may be
        held.
        """
        try:
            if self._is_fork():
                self._notices.warn("sent_in_a_fork")
                return
            self._intake.put(item)
            if self._loop is not None and not self._signalled:
                self._signalled = True
                self._loop.call_soon_threadsafe(self._notice)
        except Exception as error:
            self._notices.warn("send_failed", type(error).__name__, error=error)

    @property
    def stats(self) -> Stats:
        """What became of everything until now; a copy."""
        in_round = [item for batch in (*self._round, *self._aside) for item in batch.items]
        in_memory = sum(item.spooled is None for item in in_round)
        stats = self._intake.stats()
        on_disk = 0 if self._spool is None else len(self._spool) + len(in_round) - in_memory
        return replace(
            stats,
            queued=stats.queued + sum(map(len, (self._taken, self._spilling, self._unspilled))) + in_memory,
            spooled=on_disk if self._left is None else self._left.spooled,
        )

    async def aclose(self, deadline_s: float = CLOSE_WITHIN_S) -> Left:
        """Send what waits, for at most so many seconds; the rest goes to the spool, if there is one, or is given up.

        Returns what was not sent; so it does when it is called again. Writing the rest to disk comes on top of the
        deadline. What is given to `send` from now on is given up. In a fork it does nothing.
        """
        if self._is_fork():
            return Left()
        async with self._one_closes:
            if self._left is None:
                self._intake.close()
                self._end_tasks()
                try:
                    if self._posting is not None:
                        await asyncio.wait({self._posting}, timeout=deadline_s)
                finally:
                    # Shielded: it holds what was in memory, which must not be lost because nobody waits any longer.
                    self._left = await asyncio.shield(self._last_task())
        return self._left

    # --- sending

    def _is_fork(self) -> bool:
        return self._process is not None and os.getpid() != self._process

    def _notice(self) -> None:
        self._signalled = False  # before looking: what is put in from now on signals again
        self._news.set()
        if self._spool is not None and self._intake.half_full:
            self._half_full.set()

    async def _run(self) -> None:
        try:
            if self._spool_folder is not None:
                await self._in_thread(self._open_spool)
            if self._spool is not None:
                self._relief = asyncio.create_task(self._relieve(self._spool), name="mise-observer-spool")
                self._half_full.set()  # it may be already, of what was sent before the spool was open
            async with aiohttp.ClientSession(headers=self._headers) as http:
                await self._post_all(Poster(http, self._url))
        except Exception:
            log.exception("sender_failed")
            self._stop()

    async def _post_all(self, poster: Poster) -> None:
        failures = 0
        while not self._stopped and (self._round or await self._next_round()):
            unavailable = await self._attempt(poster)
            if unavailable is None:
                if failures:
                    log.info("gateway_available failures=%d", failures)
                failures = 0
                continue
            failures += 1
            self._intake.count(retries=1)
            self._notices.warn("gateway_unavailable", why=unavailable.why)
            self._report()
            await self._wait(self._backoff.wait_s(failures, unavailable.after_s))

    async def _next_round(self) -> bool:
        """Take what is to be sent next, oldest first: the spool, then the queue. False at the end."""
        while True:
            self._news.clear()
            self._report()
            await self._take_from_spool()
            # What is on its way to the spool is older than what is in the queue.
            if not self._round and not self._spilling:
                await self._take_from_queue()
            if not self._round:
                self._round, self._aside = self._aside[:1], self._aside[1:]
            if self._round:
                return True
            if self._spilling or not (self._unspilled or len(self._intake)):
                if self._closing.is_set() and not self._spilling:
                    return False
                await self._news.wait()

    async def _take_from_spool(self) -> None:
        spool = self._spool
        while spool is not None and len(spool) and not self._round:
            found, lost = await self._in_thread(spool.take, self._limits.batch_turns, self._limits.take_bytes)
            self._count_lost(lost)
            self._round = batches([Item(encoded, name) for name, encoded in found])

    async def _take_from_queue(self) -> None:
        self._taken = self._take()
        encoded, refused = await self._in_thread(encode_all, self._taken)
        self._taken = []
        self._round = batches([Item(item) for item in encoded])
        self._refuse(refused)

    def _take(self) -> list[Turn | CallEvent]:
        """The oldest of what waits in memory: what the disk did not take stands before the queue."""
        taken, self._unspilled = self._unspilled or self._intake.take(), []
        return taken

    async def _attempt(self, poster: Poster) -> Unavailable | None:
        """One request for turns, or one for each of some call events. Returns why a part of it is to wait, if it is."""
        # Batches of turns one after another: a turn sent again must not overtake itself.
        many = 1 if self._round[0].is_turns else len(self._round)
        now, later = self._round[:many], self._round[many:]
        bodies = [await self._in_thread(batch.make_body) for batch in now]
        answers = await asyncio.gather(*map(poster.post, now, bodies))
        left: list[Batch] = []
        settled: list[Item] = []
        waits: list[Unavailable] = []
        for batch, answer in zip(now, answers, strict=True):
            left += self._settle(batch, answer, settled, waits)
        self._round = left + later
        names = [item.spooled for item in settled if item.spooled is not None]
        if names and self._spool is not None:
            # Shielded: what is sent must not be left on disk because the sender is closed now.
            await asyncio.shield(self._on_disk(self._spool.remove, names))
        if self._stopped:
            self._stop()
        return max(waits, key=lambda wait: wait.after_s or 0.0, default=None)

    def _settle(self, batch: Batch, answer: Answer, settled: list[Item], waits: list[Unavailable]) -> list[Batch]:
        """What is to be sent again of a batch that was answered; adds to `settled` and `waits`."""
        if isinstance(answer, Denied):
            if not self._stopped:
                log.error("key_not_accepted url=%s detail=%r: nothing more is sent", self._url, answer.detail)
            self._stopped = True
            return [batch]
        if isinstance(answer, Unavailable):
            waits.append(answer)
            return self._suspect(batch) if answer.crashed else [batch]
        if isinstance(answer, Refused):
            if len(batch.items) > 1:
                return batch.halves()
            if answer.too_large and batch.items[0].encoded.audio is not None:
                self._intake.count(audio=1)
                return [Batch([batch.items[0].without_audio()])]
            answer = [answer]
        return self._settle_items(batch, answer, settled, waits)

    def _suspect(self, batch: Batch) -> list[Batch]:
        """What is to be sent next of a batch that the gateway crashed on."""
        batch.crashes += 1
        if batch.crashes >= CRASHES and len(batch.items) > 1:
            return batch.halves()
        if batch.crashes >= CRASHES and self._room_aside(batch):
            batch.body = None  # it is there twice otherwise; made again, it is the same
            self._aside.append(batch)
            return []
        return [batch]

    def _room_aside(self, batch: Batch) -> bool:
        """For one at least. What does not fit waits where it is, and what follows in the queue, which is bounded."""
        held = sum(other.size for other in self._aside)
        return not self._aside or (len(self._aside) < ASIDE and held + batch.size <= self._limits.batch_bytes)

    def _settle_items(
        self, batch: Batch, verdicts: Sequence[Verdict], settled: list[Item], waits: list[Unavailable]
    ) -> list[Batch]:
        # Of what waits, sent again, whatever an accepted turn has replaced would replace that.
        newest = {
            item.identity: place
            for place, (item, verdict) in enumerate(zip(batch.items, verdicts, strict=True))
            if isinstance(verdict, Accepted)
        }
        replaced = [item for other in self._aside for item in other.items if item.identity in newest]
        self._aside = [other for other in self._aside if other.items[0].identity not in newest]
        again: list[Item] = []
        for place, (item, verdict) in enumerate(zip(batch.items, verdicts, strict=True)):
            if isinstance(verdict, Unavailable):
                if newest.get(item.identity, -1) > place:
                    replaced.append(item)
                else:
                    waits.append(verdict)
                    again.append(item)
                continue
            settled.append(item)
            if isinstance(verdict, Accepted):
                self._intake.count(sent=1)
            else:
                self._refuse([(item.encoded.call_id, item.encoded.id, verdict)])
        settled += replaced
        self._intake.count_given_up(item.encoded.is_turn for item in replaced)
        if len(again) == len(batch.items):
            return [batch]
        return [Batch(again)] if again else []

    async def _wait(self, seconds: float) -> None:
        """Wait; the closing ends it, and while closing there is no time for long waits."""
        if self._closing.is_set():
            await self._pause(min(seconds, CLOSING_WAIT_S))
            return
        waits = {asyncio.ensure_future(self._pause(seconds)), asyncio.ensure_future(self._closing.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # --- giving up

    def _end_tasks(self) -> None:
        if self._loop is not None and self._loop.is_closed():
            # Its tasks never end, and nothing can wake them. What they had taken is still here.
            self._posting = self._relief = None
            return
        self._closing.set()
        self._news.set()
        self._half_full.set()

    def _stop(self) -> None:
        """Send nothing more. Without a spool what waits is given up; with one it is kept for the next process."""
        self._stopped = True
        if self._spool is None:
            self._intake.close()
            older, newer = self._unsent()
            self._intake.count_given_up(map(is_turn, [*older, *newer]))

    def _unsent(self) -> tuple[list[Unsent], list[Unsent]]:
        """Empty the memory; what was there without what lies on disk, older than that and newer. Oldest first."""
        unsettled = [*self._aside, *self._round]
        older: list[Unsent] = [item.encoded for batch in unsettled for item in batch.items if item.spooled is None]
        older += self._taken
        newer: list[Unsent] = [*self._spilling]  # only when the loop ended under it
        self._aside, self._round, self._taken, self._spilling = [], [], [], []
        while taken := self._take():
            newer += taken
        return older, newer

    def _last_task(self) -> asyncio.Task[Left]:
        """The one task that puts away what is left; another only when its loop has ended under it."""
        task = self._putting_away
        if task is None or task.cancelled() or task.get_loop().is_closed():
            task = self._putting_away = asyncio.create_task(self._put_away(), name="mise-observer-end")
        return task

    async def _put_away(self) -> Left:
        if self._posting is not None:
            self._posting.cancel()
            await asyncio.wait({self._posting})
        if self._relief is not None:
            await asyncio.wait({self._relief})  # it ends by itself, with what it is writing
        if self._spool_folder is not None:
            await self._in_thread(self._open_spool)
        older, newer = self._unsent()
        unsent = [*older, *newer]
        turns, events = 0, 0
        if self._spool is not None:
            spilled = await self._in_thread(spill, self._spool, newer, older)
            self._count_spilled(spilled)
            unsent = spilled.unwritten
            turns, events = await self._on_disk(self._spool.close) or (0, 0)
        kinds = [is_turn(item) for item in unsent]
        self._intake.count_given_up(kinds)
        self._report()
        self._thread.shutdown(wait=False)
        left = Left(turns=turns + kinds.count(True), events=events + kinds.count(False), spooled=turns + events)
        if left != Left():
            log.warning("not_all_sent turns=%d events=%d spooled=%d", left.turns, left.events, left.spooled)
        return left

    def _count_lost(self, lost: Lost) -> None:
        self._intake.count(audio=lost.audio, turns=lost.turns, events=lost.events)

    def _refuse(self, refusals: Sequence[Refusal]) -> None:
        self._intake.count(refused=len(refusals))
        for call_id, item_id, why in refusals:
            kind = f"{why.reason} {why.field}"
            self._notices.warn(
                "refused", kind, call_id=call_id, id=item_id, reason=why.reason, field=why.field, detail=why.detail
            )

    def _report(self) -> None:
        """Log what was given up since the last time; not in `send`, for a log's handlers may be slow."""
        now = self._intake.stats()
        before, self._reported = self._reported, now
        self._notices.warn("audio_given_up", count=now.dropped_audio - before.dropped_audio)
        self._notices.warn("turns_given_up", count=now.dropped_turns - before.dropped_turns)
        self._notices.warn("events_given_up", count=now.dropped_events - before.dropped_events)

    # --- the spool

    def _open_spool(self) -> None:
        # In the thread, and kept from there: whoever waits for it may be gone by then.
        if self._spool is None and self._spool_folder is not None:
            try:
                self._spool = Spool(self._spool_folder, self._limits.spool_bytes)
            except OSError as error:
                self._notices.warn("spool_unusable", folder=str(self._spool_folder), error=error)
            else:
                self._count_lost(self._spool.adopted)

    async def _relieve(self, spool: Spool) -> None:
        """Move the oldest from memory to disk while memory is more than half full."""
        while not self._closing.is_set():
            await self._half_full.wait()
            self._half_full.clear()
            while self._intake.half_full and not self._closing.is_set():
                self._spilling = self._take()
                spilled = await self._in_thread(spill, spool, self._spilling)
                self._unspilled = self._spilling[len(self._spilling) - len(spilled.unwritten) :]
                self._spilling = []
                self._count_spilled(spilled)
                self._news.set()
                if spilled.error is not None:
                    await self._wait(DISK_AGAIN_S)

    def _count_spilled(self, spilled: Spilled) -> None:
        self._count_lost(spilled.lost)
        self._refuse(spilled.refused)
        if spilled.error is not None:
            self._notices.warn("spool_failed", error=spilled.error)

    async def _on_disk(self, work: Callable[..., T], *arguments: object) -> T | None:
        """What the work in the thread returns, None when the disk fails: that costs no more than what lies there."""
        try:
            return await self._in_thread(work, *arguments)
        except OSError as error:
            self._notices.warn("spool_failed", error=error)
            return None

    async def _in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
