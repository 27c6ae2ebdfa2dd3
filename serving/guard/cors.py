"""Which pages may read what we answer: those of active subscribers, and no other."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.runtime import Runtime

PREFLIGHT_S = 2 * 60 * 60

_NO_HEADERS = Headers({})


class SubscriberOrigins(CORSMiddleware):
    """Starlette's middleware, with origins that come and go; whether a key fits the origin is checked behind.

    Starlette tells other origins what they might do, too; here they are told nothing.
    """

    def __init__(self, app: ASGIApp, runtime: Runtime) -> None:
        super().__init__(
            app,
            # What public keys are for: everything else is for servers.
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            allow_credentials=True,
            expose_headers=["Retry-After"],
            max_age=PREFLIGHT_S,
        )
        self._runtime = runtime

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI call."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if scope["method"] == "POST" and not any(name == b"origin" for name, _ in scope["headers"]):
            # A server's call, which no cache keeps: nothing depends on who asks.
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None or not self.is_allowed_origin(origin):
            headers = _NO_HEADERS
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self.preflight_response(headers)(scope, receive, send)
            return
        await self.simple_response(scope, receive, send, request_headers=headers)

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether an active subscriber named it."""
        return self._runtime.ready and origin in self._runtime.view.catalogue.members.origins
