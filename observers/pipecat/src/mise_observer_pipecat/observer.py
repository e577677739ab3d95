"""The observer that a worker is given."""

from __future__ import annotations

import asyncio
import logging
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from weakref import WeakKeyDictionary

from pipecat.observers.base_observer import BaseObserver, FramePushed
from pipecat.pipeline.worker import PipelineWorker
from pipecat.utils.asyncio.task_manager import BaseTaskManager

from mise_observer import Limits, Sender, Stats
from mise_observer.clock import Clock
from mise_observer.guard import Guard
from mise_observer.notices import Notices
from mise_observer.outbox import Outbox
from mise_observer.switches import Redact, Switches
from mise_observer_pipecat.delivery import Delivery
from mise_observer_pipecat.watch import Watch

log = logging.getLogger("mise_observer")

FLUSH_WITHIN_S = 5.0

Installation = tuple[str, str]
"""Address and key."""

_observed: WeakKeyDictionary[PipelineWorker, set[Installation]] = WeakKeyDictionary()
"""Which workers are observed for which installations."""


class MiseObserver(BaseObserver):
    """Sends the turns and call events of one worker to Mise Voice. Nothing of it raises.

        worker = PipelineWorker(pipeline, observers=[MiseObserver(endpoint, api_key, call_id=call_id)])

    endpoint, api_key : of the gateway, with an ingest key; default MISE_VOICE_URL and MISE_VOICE_KEY.
    call_id : groups what is sent; made when it is not given.
    audio, text : False and none of it leaves the process. Times are found in the audio either way.
    redact : gets every text, in a thread, and returns what is sent; a turn whose redaction fails is sent without text.
    flush_within_s : how long the end of the worker may wait for what is not sent yet.
    spool, limits : as of `mise_observer.Sender`.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        api_key: str | None = None,
        *,
        call_id: str | None = None,
        audio: bool = True,
        text: bool = True,
        redact: Redact | None = None,
        flush_within_s: float = FLUSH_WITHIN_S,
        spool: str | Path | None = None,
        limits: Limits | None = None,
    ) -> None:
        # A frame is pushed once by every processor that it passes; the first time is enough.
        super().__init__(observe_every_push=False)
        self.call_id = call_id or uuid.uuid4().hex
        self._notices = Notices()
        self._guard = Guard(self._notices)
        self._flush_within_s = flush_within_s
        self._running: _Running | None = None
        try:
            address = (
                endpoint or os.environ.get("MISE_VOICE_URL", ""),
                api_key or os.environ.get("MISE_VOICE_KEY", ""),
            )
            sender = Sender(*address, spool=None if spool is None else Path(spool), limits=limits)
            self._running = _Running(address, sender, self.call_id, Switches(audio, text, redact), self._notices)
        except Exception as error:
            log.error("not_observed error='%s: %s'", type(error).__name__, error)  # noqa: TRY400 - one line

    @property
    def stats(self) -> Stats:
        """What became of everything until now."""
        return Stats() if self._running is None else self._running.delivery.stats

    async def setup(self, task_manager: BaseTaskManager) -> None:
        """Pipecat sets the worker up."""
        await super().setup(task_manager)
        if self._running is not None:
            self._guard(self._running.prepare)()

    async def on_pipeline_started(self) -> None:
        """Pipecat's pipeline runs."""
        if self._running is not None:
            self._guard(self._running.start)()

    async def on_push_frame(self, data: FramePushed) -> None:
        """A processor of the pipeline pushes a frame."""
        if self._running is not None:
            try:
                self._running.observe(data)
            except Exception as error:
                kind = type(data.frame).__name__
                self._notices.warn("observer_failed", kind, frame=kind, error=type(error).__name__)

    async def cleanup(self) -> None:
        """Pipecat's worker is done."""
        await super().cleanup()  # type: ignore[no-untyped-call]
        if self._running is not None and not self._running.over:
            for data in _waiting(self, self._running.worker):
                await self.on_push_frame(data)
            self._guard(self._running.end)()
            try:
                await self._running.delivery.drain(self._flush_within_s)
            except Exception as error:
                self._notices.warn("observer_failed", "drain", error=type(error).__name__)


def _waiting(observer: MiseObserver, worker: PipelineWorker | None) -> Iterator[FramePushed]:
    """Frames that Pipecat has queued for the observer, and now, done with its worker, hands on no more.

    Its API does not give them; a Pipecat that keeps them elsewhere than 1.14 does costs them, and nothing else.
    """
    proxies = getattr(getattr(worker, "_observer", None), "_proxies", None) or {}
    queue = getattr(proxies.get(observer), "queue", None)
    while isinstance(queue, asyncio.Queue) and not queue.empty():
        data = queue.get_nowait()
        if isinstance(data, FramePushed):
            yield data


class _Running:
    """An observer that can send. worker : whose frames it has seen. over : that worker is done."""

    def __init__(
        self, installation: Installation, sender: Sender, call_id: str, switches: Switches, notices: Notices
    ) -> None:
        clock = Clock()
        self._sender = sender
        self.delivery = Delivery(Outbox(sender, notices), call_id, clock, switches, notices)
        self._installation = installation
        self._notices = notices
        self._watch = Watch(self.delivery, clock, notices)
        self.worker: PipelineWorker | None = None
        self._idle = False
        self._started = False
        self.over = False

    def prepare(self) -> None:
        if self.over:
            self._notices.warn("not_observed", detail="this observer's worker is done; make one for each worker")
        else:
            self._sender.start()

    def start(self) -> None:
        if not self._idle:
            self._started = True
            self._watch.started()

    def observe(self, data: FramePushed) -> None:
        if self.worker is None:
            self._take(data.source.pipeline_worker)
        if not self._idle and data.first_push:
            self._watch.observe(data)

    def end(self) -> None:
        self.over = True
        if self.worker is None or self._idle:
            return
        self._idle = True
        _observed[self.worker].discard(self._installation)
        if self._started:
            self._watch.ended()

    def _take(self, worker: PipelineWorker) -> None:
        """Observe the worker, unless another observer does for the same installation."""
        self.worker = worker
        installations = _observed.setdefault(worker, set())
        self._idle = self._installation in installations
        installations.add(self._installation)
        if self._idle:
            self._notices.warn("observed_twice", detail="the other observer of this worker sends everything")
