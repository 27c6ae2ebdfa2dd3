"""`POST /v1/decisions` past everything that other calls go through, which takes longer than to decide.

Calls that are no decisions, and bodies that cannot be read, are left to the app behind.
"""

import logging
from http import HTTPStatus
from time import perf_counter
from typing import Any

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import Caller, identify
from serving.answer import Decision
from serving.contact import READ, read_signals
from serving.errors import headers_of, problem_of, status_of
from serving.requests import DecisionRequest
from serving.runtime import Runtime

logger = logging.getLogger(__name__)

ROUTE = "/decisions"

_MAX_BODY_BYTES = 10_000
_HEADERS = frozenset(name.encode() for name in READ)


class FastDecisions:
    """Answers decisions, and hands every other call on to `app`."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime
        self._read = msgspec.json.Decoder(DecisionRequest).decode
        self._write = msgspec.json.Encoder().encode
        self._answered = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _is_decision(scope):
            await self._app(scope, receive, send)
            return
        started, decision, caller = perf_counter(), None, None
        first = await receive()
        body = first.get("body", b"")
        if first["type"] != "http.request" or first.get("more_body") or len(body) > _MAX_BODY_BYTES:
            await self._app(scope, _again(first, receive), send)
            return
        headers = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS
        }
        told = {"content-type": "application/json"}
        try:
            caller = identify(headers, self._runtime.view.catalogue)
            decision = await self._runtime.decide(caller, self._read(body), read_signals(headers))
            status, answer = HTTPStatus.OK, self._write(decision)
        except Exception as error:
            refused = status_of(error)
            if refused is None or refused == HTTPStatus.INTERNAL_SERVER_ERROR:
                await self._app(scope, _again(first, receive), send)
                return
            status, answer = refused, self._write(problem_of(error, status=refused))
            told = {"content-type": "application/problem+json"}
            told |= headers_of(refused, retry_after_s=self._runtime.retry_after_s)
        self._runtime.metrics.count_request(ROUTE, status)
        told["content-length"] = str(len(answer))
        raw = [(name.lower().encode(), value.encode()) for name, value in told.items()]
        await send({"type": "http.response.start", "status": int(status), "headers": raw})
        await send({"type": "http.response.body", "body": answer})
        every = self._runtime.log_every
        self._answered += 1
        if every and self._answered % every == 0:
            logger.info("%s", self._line(status, started, decision, caller))

    def _line(
        self, status: HTTPStatus, started: float, decision: Decision | None, caller: Caller | None
    ) -> str:
        """What is logged of a request: nothing that tells who the consumer is."""
        told: dict[str, Any] = {
            "route": ROUTE,
            "status": int(status),
            "ms": round(1000 * (perf_counter() - started), 2),
            "subscriber_id": None if caller is None else caller.subscriber_id,
        }
        if decision is not None:
            told |= {
                "site_id": decision.site_id,
                "placement": decision.placement,
                "strategy": decision.strategy,
                "model_version": None if decision.model is None else decision.model.version,
                "promotion_id": None if decision.promotion is None else decision.promotion.promotion_id,
                "decision_id": decision.decision_id,
            }
        return self._write(told).decode()


def _is_decision(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) == ROUTE


def _again(first: Message, receive: Receive) -> Receive:
    """A `receive` that begins with what was received already."""
    waiting = [first]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
