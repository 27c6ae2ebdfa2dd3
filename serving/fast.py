"""`POST /v1/decisions` past everything that other calls go through, which takes longer than to decide.

Whatever is not a plain success is left to the app behind, with what was read and what went wrong: only that
app knows how to refuse.
"""

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.access import identify
from serving.requests import DecisionRequest
from serving.runtime import Runtime

ROUTE = "/decisions"
WHAT_WENT_WRONG = "tailor.went_wrong"

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
        try:
            headers = {name.decode(): value.decode() for name, value in scope["headers"] if name in _HEADERS}
            caller = identify(headers, self._runtime.view.catalogue)
            decision = await self._runtime.decide(caller, self._read(body))
        except Exception as error:
            if not isinstance(error, msgspec.MsgspecError | UnicodeError):
                scope[WHAT_WENT_WRONG] = error
            await self._app(scope, _again(first, receive), send)
            return
        answer = self._write(decision)
        self._runtime.metrics.count_request(ROUTE, 200)
        length = str(len(answer)).encode()
        told = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": told})
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
