"""The gateway's HTTP interface. What is accepted is decided in `accept`, what is published in `publish`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from http import HTTPStatus
from typing import TypeVar

import msgspec
import structlog
from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from pipeline import metrics
from pipeline.gateway import livekit, openapi, problems
from pipeline.gateway.accept import AcceptedEvent, AcceptedTurn, Limits, accept_event, accept_turn
from pipeline.gateway.body import read_body
from pipeline.gateway.clock import Clock
from pipeline.gateway.idempotency import Answer, Answers
from pipeline.gateway.in_flight import REQUEST_BYTES, InFlight
from pipeline.gateway.keys import KeyRing, Scope
from pipeline.gateway.publish import Publisher
from pipeline.gateway.signature import Signed, check_body, signed
from pipeline.settings import Settings
from pipeline.version import VERSION
from schemas.codec import decode, encode
from schemas.errors import Misconfigured, Refused, Unavailable
from schemas.event import CallEvent
from schemas.http import BatchItem, BatchResult, EventAccepted, TurnAccepted, TurnBatch
from schemas.turn import Turn

log = structlog.get_logger()

T = TypeVar("T")
C = TypeVar("C")
"""Whom a request is from."""

_TURN: msgspec.json.Decoder[Turn] = msgspec.json.Decoder(Turn)
_BATCH: msgspec.json.Decoder[TurnBatch] = msgspec.json.Decoder(TurnBatch)
_EVENT: msgspec.json.Decoder[CallEvent] = msgspec.json.Decoder(CallEvent)

KEY_HEADER = "Idempotency-Key"
KEY_CHARACTERS = 256

HOOK_RETRY_AFTER_S = 6
"""LiveKit 1.13 tries five times, at these intervals, then drops the webhook: it outlives an outage of 24 s. Webhooks
that wait behind it for over 30 s are dropped too. Not 5 s, at which uvicorn closes the connection it would come on."""


def create_app(gateway: Gateway) -> FastAPI:
    """The application; it connects to Kafka and the blob store when it starts, and fails to start if it can't."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with gateway.publisher:
            yield

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.openapi = lambda: openapi.document(VERSION)  # type: ignore[method-assign]
    app.add_api_route("/v1/turns", gateway.post_turn, methods=["POST"])
    app.add_api_route("/v1/turns:batch", gateway.post_batch, methods=["POST"])
    # `path`: a call_id may hold a slash, sent as %2F.
    app.add_api_route("/v1/calls/{call_id:path}/events", gateway.post_event, methods=["POST"])
    app.add_api_route("/v1/webhooks/livekit", gateway.post_livekit, methods=["POST"])
    app.add_api_route("/healthz", gateway.get_health, methods=["GET"])
    app.add_api_route("/readyz", gateway.get_ready, methods=["GET"])
    app.add_api_route("/metrics", gateway.get_metrics, methods=["GET"])
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _bug)
    return app


class Gateway:
    """The handlers and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.publisher = Publisher(settings)
        # Room for one body of the greatest size, whatever the settings say.
        most = max(settings.gateway_in_flight_bytes, settings.gateway_body_bytes + REQUEST_BYTES)
        self.in_flight = InFlight(most, drain_s=settings.gateway_drain_s)
        self._keys = KeyRing(settings.keys_file())
        self._answers = Answers(time.monotonic)
        # Apart: there are many webhooks in a call, and they are not to drive out the answers to clients.
        self._hooks = Answers(time.monotonic)
        self._clock = Clock()
        self._limits = Limits(
            text_bytes=settings.gateway_text_bytes,
            id_bytes=settings.gateway_id_bytes,
            words=settings.gateway_words,
            record_bytes=settings.gateway_record_bytes,
        )
        self._body_bytes = settings.gateway_body_bytes
        self._batch_turns = settings.gateway_batch_turns

    async def post_turn(self, request: Request) -> Response:
        """One turn: 202 once it is durable."""

        async def handle(body: bytes, workspace: str) -> Answer:
            accepted = _counted("turn", lambda: self._accept(decode(_TURN, body), workspace))
            await self._publish_one(accepted)
            record = accepted.record
            return Answer(HTTPStatus.ACCEPTED, encode(TurnAccepted(record.call_id, record.turn_id)))

        return await self._ingest(request, "turns", handle)

    async def post_event(self, request: Request, call_id: str) -> Response:
        """One call event: 202 once it is durable."""

        async def handle(body: bytes, workspace: str) -> Answer:
            accepted = _counted(
                "event",
                lambda: accept_event(
                    decode(_EVENT, body),
                    call_id=call_id,
                    workspace=workspace,
                    received_at=self._clock.now_us(),
                    limits=self._limits,
                ),
            )
            await self._publish_one(accepted)
            record = accepted.record
            return Answer(HTTPStatus.ACCEPTED, encode(EventAccepted(record.call_id, record.event_id)))

        return await self._ingest(request, "events", handle)

    async def post_batch(self, request: Request) -> Response:
        """Many turns: 207 with a result for each, in the order sent."""

        async def handle(body: bytes, workspace: str) -> Answer:
            turns = decode(_BATCH, body).turns
            if len(turns) > self._batch_turns:
                raise Refused(
                    f"turns: {len(turns)} turns, at most {self._batch_turns}; send them in several batches",
                    field="turns",
                    reason="too_large",
                )
            outcomes = []
            for turn in turns:
                outcomes.append(self._accept_item(turn, workspace))
                await asyncio.sleep(0)  # other requests are not to wait for a whole batch of long turns
            accepted = [outcome for outcome in outcomes if isinstance(outcome, AcceptedTurn)]
            published = iter(await self._publish(accepted))
            results = [
                _item(outcome, next(published)) if isinstance(outcome, AcceptedTurn) else _refused_item(outcome)
                for outcome in outcomes
            ]
            final = all(item.status != HTTPStatus.SERVICE_UNAVAILABLE for item in results)
            return Answer(HTTPStatus.MULTI_STATUS, encode(BatchResult(results)), final)

        return await self._ingest(request, "turns:batch", handle)

    async def post_livekit(self, request: Request) -> Response:
        """A webhook of LiveKit: 202 once its event is durable, 204 when it is about no room."""

        def authenticate() -> Signed:
            with _refusal_logged():
                return signed(request.headers.get("authorization", ""), self._keys.find_livekit)

        async def handle(body: bytes, claimed: Signed) -> Answer:
            place = (claimed.livekit_key, claimed.sha256)
            with _refusal_logged():
                check_body(claimed, body)
                return await self._hooks.once(place, body, lambda: self._hook(body, claimed.workspace))

        return await self._answer(request, "webhooks/livekit", authenticate, handle, HOOK_RETRY_AFTER_S)

    async def get_health(self) -> Response:
        """The process lives."""
        return Response(b'{"status":"ok"}', media_type="application/json")

    async def get_ready(self) -> Response:
        """Kafka and the blob store answer, and there is room for further requests."""
        try:
            self.in_flight.check()
            await self.publisher.check()
        except Unavailable as error:
            return problems.response(problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "unavailable"))
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def get_metrics(self) -> Response:
        """Metrics in Prometheus's text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    async def _hook(self, body: bytes, workspace: str) -> Answer:
        accepted = _counted("event", lambda: self._accept_hook(body, workspace))
        if accepted is None:
            metrics.HOOKS_LEFT_OUT.inc()
            return Answer(HTTPStatus.NO_CONTENT, b"")
        await self._publish_one(accepted)
        record = accepted.record
        return Answer(HTTPStatus.ACCEPTED, encode(EventAccepted(record.call_id, record.event_id)))

    def _accept_hook(self, body: bytes, workspace: str) -> AcceptedEvent | None:
        hook = livekit.hook_of(body)
        call_id = livekit.call_of(hook)
        if call_id is None:
            return None
        return accept_event(
            livekit.event_of(hook),
            call_id=call_id,
            workspace=workspace,
            received_at=self._clock.now_us(),
            limits=self._limits,
        )

    def _accept(self, turn: Turn, workspace: str) -> AcceptedTurn:
        return accept_turn(turn, workspace=workspace, received_at=self._clock.now_us(), limits=self._limits)

    def _accept_item(self, turn: msgspec.Raw, workspace: str) -> AcceptedTurn | Refused:
        try:
            return _counted("turn", lambda: self._accept(decode(_TURN, turn), workspace))
        except Refused as error:
            return error

    async def _publish_one(self, accepted: AcceptedTurn | AcceptedEvent) -> None:
        (error,) = await self._publish([accepted])
        if error is not None:
            raise error

    async def _publish(self, accepted: Sequence[AcceptedTurn | AcceptedEvent]) -> list[Unavailable | None]:
        results = await self.publisher.publish(accepted)
        for item, error in zip(accepted, results, strict=True):
            if error is None:
                self._clock.acknowledged(item.record.received_at)
        return results

    async def _ingest(
        self, request: Request, route: str, handle: Callable[[bytes, str], Awaitable[Answer]]
    ) -> Response:
        """The answer to a client that has a key of ours."""

        async def once(body: bytes, workspace: str) -> Answer:
            key = _idempotency_key(request)
            if key is None:
                return await handle(body, workspace)
            place = (workspace, request.url.path, key)
            return await self._answers.once(place, body, lambda: handle(body, workspace))

        return await self._answer(request, route, lambda: self._workspace(request, "ingest"), once)

    async def _answer(
        self,
        request: Request,
        route: str,
        authenticate: Callable[[], C],
        handle: Callable[[bytes, C], Awaitable[Answer]],
        retry_after_s: int = problems.RETRY_AFTER_S,
    ) -> Response:
        started = time.perf_counter()
        try:
            caller = authenticate()  # before the body is read
            async with self.in_flight.request() as hold:
                encoding = request.headers.get("content-encoding")
                body = await read_body(request.stream(), encoding, self._body_bytes, hold)
                answer = await handle(body, caller)
            response = Response(answer.body, answer.status, media_type="application/json")
        except Refused as error:
            response = problems.response(problems.refused(error))
        except Misconfigured:
            # The keys file was damaged after the start: no key can be checked until it is mended.
            log.exception("keys_unreadable")
            unavailable = problems.problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "keys can't be checked; the gateway's log says why", "unavailable"
            )
            response = problems.response(unavailable, retry_after_s=retry_after_s)
        except Unavailable as error:
            log.warning("publish_failed", route=route, error=str(error))
            unavailable = problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "unavailable")
            response = problems.response(unavailable, retry_after_s=retry_after_s)
        metrics.REQUESTS.labels(route, response.status_code).inc()
        metrics.REQUEST_SECONDS.labels(route).observe(time.perf_counter() - started)
        return response

    def _workspace(self, request: Request, scope: Scope) -> str:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key.strip():
            raise Refused(
                "Authorization: expected `Bearer KEY`; make a key with `mise-voice keys create`",
                field="Authorization",
                reason="unauthenticated",
            )
        found = self._keys.find(key.strip())
        if found is None:
            raise Refused(
                "Authorization: the key is not known; it may be revoked",
                field="Authorization",
                reason="unauthenticated",
            )
        if scope not in found.scopes:
            raise Refused(f"Authorization: the key lacks the scope {scope}", field="Authorization", reason="forbidden")
        return found.workspace


@contextmanager
def _refusal_logged() -> Iterator[None]:
    """Log why a webhook is refused: LiveKit's own log has the status alone. No message repeats what was sent."""
    try:
        yield
    except Refused as error:
        log.warning("webhook_refused", error=str(error))
        raise


def _counted(record: str, accept: Callable[[], T]) -> T:
    try:
        return accept()
    except Refused as error:
        metrics.REFUSED.labels(record, error.reason).inc()
        raise


def _item(accepted: AcceptedTurn, error: Unavailable | None) -> BatchItem:
    record = accepted.record
    if error is None:
        return BatchItem(status=HTTPStatus.ACCEPTED, call_id=record.call_id, turn_id=record.turn_id)
    unavailable = problems.problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), "unavailable")
    return BatchItem(status=unavailable.status, call_id=record.call_id, turn_id=record.turn_id, problem=unavailable)


def _refused_item(error: Refused) -> BatchItem:
    refused = problems.refused(error)
    return BatchItem(status=refused.status, problem=refused)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get(KEY_HEADER)
    if key is not None and not 0 < len(key) <= KEY_CHARACTERS:
        raise Refused(f"{KEY_HEADER}: {len(key)} characters, expected 1 to {KEY_CHARACTERS}", field=KEY_HEADER)
    return key


async def _http_error(_: Request, error: Exception) -> Response:
    """No such path, or not this method."""
    assert isinstance(error, HTTPException), "registered for it"  # noqa: S101
    status = HTTPStatus(error.status_code)
    response = problems.response(problems.problem(status, f"{status.phrase}: see /openapi.json", "http"))
    response.headers.update(error.headers or {})  # Allow
    return response


async def _bug(_: Request, error: Exception) -> Response:
    """A bug of ours: uvicorn logs it, the client learns that nothing is known to be stored."""
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return problems.response(problems.problem(status, f"a bug ({type(error).__name__}); it is logged", "bug"))
