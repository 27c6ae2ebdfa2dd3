"""What stands before the app: limits of rate for everything, and of size for BentoML's own routes."""

from http import HTTPStatus
from time import monotonic

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import (
    PROBLEM_JSON,
    NotFound,
    ServingError,
    TooLarge,
    TooManyRequests,
    asgi_headers,
    headers_of,
    problem_of,
    status_of,
)
from serving.runtime import Runtime

MOUNTED = "/v1"
OWN_PAGE = "/me/"
MAX_QUESTION_BYTES = 64_000

_AUTHORIZATION, _FORWARDED = b"authorization", b"x-forwarded-for"


class RateLimited:
    """Turns away who asks too often, before anything else is done for them."""

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        self._app = app
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] == "http":
            try:
                _admit(scope, self._runtime)
            except TooManyRequests as error:
                await _refuse(error, send, self._runtime)
                return
        await self._app(scope, receive, send)


class GuardedService:
    """Bounds what BentoML's own routes take, which it does not; `/v1` looks after itself.

    Parameters
    ----------
    app
        BentoML's routes, with what is mounted among them.
    api
        What is mounted under `/v1`, handed its calls from here: the way through the routes takes longer than
        what it adds, which `/v1` does not use.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime, api: ASGIApp) -> None:
        self._app = app
        self._runtime = runtime
        self._api = api

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if "\n" in scope["path"]:
            # Starlette's routes take anything else, and answer this in their own words.
            await _refuse(NotFound("the address holds a line break, which no id does"), send, self._runtime)
            return
        if scope["path"].startswith(f"{MOUNTED}/"):
            mounted = {**scope, "root_path": scope.get("root_path", "") + MOUNTED}
            await self._api(mounted, receive, send)
            return
        if _always_answered(scope):
            await self._app(scope, receive, send)
            return
        try:
            _admit(scope, self._runtime)
            taken = await _take(receive)
        except ServingError as error:
            await _refuse(error, send, self._runtime)
            return
        waiting = iter(taken)

        async def receive_again() -> Message:
            return next(waiting, None) or await receive()

        await self._app(scope, receive_again, send)


def _always_answered(scope: Scope) -> bool:
    """Whether we live and are ready may be asked as often as one likes; the consumer's own page may not."""
    return scope["method"] in ("GET", "HEAD") and not f"{scope['path']}/".startswith(OWN_PAGE)


def _admit(scope: Scope, runtime: Runtime) -> None:
    gate = runtime.gate
    if gate is None:
        return
    authorization, forwarded = "", ""
    for name, value in scope["headers"]:
        if name == _AUTHORIZATION:
            authorization = value.decode("latin-1")
        elif name == _FORWARDED:
            forwarded = f"{forwarded},{value.decode('latin-1')}" if forwarded else value.decode("latin-1")
    peer = scope.get("client")
    keys = runtime.view.catalogue.keys if runtime.ready else {}
    gate.admit(authorization, peer=peer[0] if peer else "", forwarded=forwarded, keys=keys, now=monotonic())


async def _take(receive: Receive) -> list[Message]:
    """Receive a whole body, as long as it is no longer than a question can be."""
    taken, size = [], 0
    while True:
        message = await receive()
        taken.append(message)
        size += len(message.get("body", b""))
        if size > MAX_QUESTION_BYTES:
            raise TooLarge(f"the body is longer than {MAX_QUESTION_BYTES} bytes; ask for less at once")
        if not message.get("more_body", False):
            return taken


async def _refuse(error: ServingError, send: Send, runtime: Runtime) -> None:
    status = status_of(error) or HTTPStatus.INTERNAL_SERVER_ERROR
    retry_after_s = runtime.retry_after_s
    if isinstance(error, TooManyRequests):
        retry_after_s = error.retry_after_s
        runtime.metrics.rate_limited.labels(error.limit).inc()
    body = msgspec.json.encode(problem_of(error, status=status))
    told = {"content-length": str(len(body)), **headers_of(status, retry_after_s=retry_after_s)}
    await send(
        {
            "type": "http.response.start",
            "status": int(status),
            "headers": asgi_headers(told, kind=PROBLEM_JSON),
        }
    )
    await send({"type": "http.response.body", "body": body})
