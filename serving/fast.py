"""`POST /v1/decisions` past everything that other calls go through, which takes longer than to decide.

Calls that are no decisions, and bodies that cannot be read, are left to the app behind.
"""

from http import HTTPStatus

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import identify
from serving.errors import headers_of, problem_of, status_of
from serving.requests import DecisionRequest
from serving.runtime import Runtime

ROUTE = "/decisions"

_MAX_BODY_BYTES = 10_000
_HEADERS = (b"authorization", b"origin")


class FastDecisions:
    """Answers decisions, and hands every other call on to `app`."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime
        self._read = msgspec.json.Decoder(DecisionRequest).decode
        self._write = msgspec.json.Encoder().encode

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _is_decision(scope):
            await self._app(scope, receive, send)
            return
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
            decision = await self._runtime.decide(caller, self._read(body))
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


def _is_decision(scope: Scope) -> bool:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) == ROUTE


def _again(first: Message, receive: Receive) -> Receive:
    """A `receive` that begins with what was received already."""
    waiting = [first]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again
