"""Decisions and activity past everything that other calls go through, which takes longer than they do.

Other calls, and bodies that cannot be read, are left to the app behind.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from time import perf_counter
from typing import Any

import msgspec
from litestar.datastructures import Cookie
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.answer import Decision
from serving.browser.contact import READ, Signals, read_signals
from serving.collect import ActivityAnswer, collect
from serving.errors import PROBLEM_JSON, asgi_headers, headers_of, problem_of, status_of
from serving.guard.access import Caller
from serving.requests import MAX_BODY_BYTES, ActivityRequest, DecisionRequest
from serving.runtime import Runtime

logger = logging.getLogger(__name__)

_HEADERS = frozenset(name.encode() for name in READ)
_TOLD_JSON = asgi_headers({}, kind="application/json")
_NO_COOKIES: Sequence[Cookie] = ()


@dataclass(frozen=True, slots=True)
class _Call:
    """How to read a body, what to do then, and how large a body may be."""

    read: Callable[[bytes], Any]
    answer: Callable[[Any, Caller, Signals], Awaitable[tuple[msgspec.Struct, Sequence[Cookie]]]]
    max_body_bytes: int


class FastCalls:
    """Answers decisions and activity, and hands every other call on to `app`."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime
        self._calls = {
            "/decisions": _Call(msgspec.json.Decoder(DecisionRequest).decode, self._decide, 10_000),
            "/activity": _Call(msgspec.json.Decoder(ActivityRequest).decode, self._collect, MAX_BODY_BYTES),
        }
        self._write = msgspec.json.Encoder().encode
        self._decided = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        route = _route(scope)
        call = self._calls.get(route)
        if call is None:
            await self._app(scope, receive, send)
            return
        started, caller, found = perf_counter(), None, None
        messages, body = await _receive(receive, max_bytes=call.max_body_bytes)
        if body is None:
            await self._app(scope, _again(messages, receive), send)
            return
        headers = {
            name.decode(): value.decode("latin-1") for name, value in scope["headers"] if name in _HEADERS
        }
        told, cookies = _TOLD_JSON, _NO_COOKIES
        try:
            caller = self._runtime.identify(headers)
            found, cookies = await call.answer(call.read(body), caller, read_signals(headers))
            status, answer = HTTPStatus.OK, self._write(found)
        except Exception as error:
            refused = status_of(error)
            if refused is None or refused == HTTPStatus.INTERNAL_SERVER_ERROR:
                await self._app(scope, _again(messages, receive), send)
                return
            status, answer = refused, self._write(problem_of(error, status=refused))
            told = asgi_headers(
                headers_of(refused, retry_after_s=self._runtime.retry_after_s), kind=PROBLEM_JSON
            )
        self._runtime.metrics.count_request(route, status)
        length = (b"content-length", str(len(answer)).encode())
        headers_told = [*told, length, *(cookie.to_encoded_header() for cookie in cookies)]
        await send({"type": "http.response.start", "status": int(status), "headers": headers_told})
        await send({"type": "http.response.body", "body": answer})
        if route == "/decisions" and self._is_logged():
            logger.info("%s", self._line(route, status, started, found, caller))

    async def _decide(
        self, data: DecisionRequest, caller: Caller, signals: Signals
    ) -> tuple[Decision, Sequence[Cookie]]:
        return await self._runtime.decide(caller, data, signals), ()

    async def _collect(
        self, data: ActivityRequest, caller: Caller, signals: Signals
    ) -> tuple[ActivityAnswer, Sequence[Cookie]]:
        told = await collect(data, runtime=self._runtime, caller=caller, signals=signals)
        return told.answer, told.cookies

    def _is_logged(self) -> bool:
        every = self._runtime.log_every
        self._decided += 1
        return bool(every) and self._decided % every == 0

    def _line(
        self, route: str, status: HTTPStatus, started: float, decision: object, caller: Caller | None
    ) -> str:
        """What is logged of a request: nothing that tells who the consumer is."""
        told: dict[str, Any] = {
            "route": route,
            "status": int(status),
            "ms": round(1000 * (perf_counter() - started), 2),
            "subscriber_id": None if caller is None else caller.subscriber_id,
        }
        if isinstance(decision, Decision):
            told |= {
                "site_id": decision.site_id,
                "placement": decision.placement,
                "strategy": decision.strategy,
                "model_version": None if decision.model is None else decision.model.version,
                "promotion_id": None if decision.promotion is None else decision.promotion.promotion_id,
                "decision_id": decision.decision_id,
            }
        return self._write(told).decode()


def _route(scope: Scope) -> str:
    """The path of a POST below where we are mounted; empty for anything else."""
    if scope["type"] != "http" or scope["method"] != "POST":
        return ""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def _receive(receive: Receive, *, max_bytes: int) -> tuple[list[Message], bytes | None]:
    """What was received, and the body; None where it is too large or the caller has gone."""
    messages: list[Message] = []
    n_bytes = 0
    while True:
        message = await receive()
        messages.append(message)
        n_bytes += len(message.get("body", b""))
        if message["type"] != "http.request" or n_bytes > max_bytes:
            return messages, None
        if not message.get("more_body"):
            return messages, b"".join([one.get("body", b"") for one in messages])


def _again(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that begins with what was received already."""
    waiting = messages[::-1]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
