"""What decisions are measured beside: BentoML services that do nothing.

`benchmarks.noop:Stock` is an endpoint as BentoML makes it; `benchmarks.noop:Mounted` a bare ASGI app in a
service without BentoML's metrics, access log and tracing, which is the least that a mounted app costs.
"""

import bentoml
from starlette.types import Receive, Scope, Send

_BODY = b"{}"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the request and answer with an empty object."""
    del scope
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _BODY})


@bentoml.service(name="stock_noop", traffic={"timeout": 60})
class Stock:
    """The stock endpoint."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def noop(self) -> dict[str, str]:
        """Answer with nothing."""
        return {}


@bentoml.service(
    name="mounted_noop",
    traffic={"timeout": 5},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": "/v1"},
)
@bentoml.asgi_app(nothing, path="/v1")
class Mounted:
    """The mounted app."""
