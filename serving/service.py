"""The BentoML service: `bentoml serve serving.service:TailoredPromotions`."""

import asyncio
import logging
import os
import signal
from http import HTTPStatus
from typing import Any

import bentoml
import msgspec
from starlette.responses import Response

from serving.api import create_app
from serving.browser.contact import read_signals
from serving.browser.me import create_page
from serving.errors import PROBLEM_JSON, headers_of, problem_of, status_of
from serving.guard.wrappers import MOUNTED, GuardedService
from serving.requests import DecisionRequest, read_request
from serving.runtime import Runtime

logger = logging.getLogger(__name__)

# BentoML keeps a timer per request until its timeout, so the timeout is short; our own waits end before it.
REQUEST_TIMEOUT_S = 5

# One per worker process; made without I/O, opened by the hook below.
RUNTIME = Runtime()
API = create_app(RUNTIME)


@bentoml.service(
    traffic={"timeout": REQUEST_TIMEOUT_S},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # A regular expression: our routes are not traced, which takes longer than most of them.
    tracing={"excluded_urls": "/v1/"},
)
@bentoml.asgi_app(API, path=MOUNTED)
@bentoml.asgi_app(create_page(RUNTIME), path="/me")
class TailoredPromotions:
    """Shows each visitor the one promotion that fits this person best.

    `POST /promotion` is for BentoML's typed client; everything else is under `/v1`.
    """

    # BentoML does not run the lifespan of a mounted Litestar app: its own hooks open and close the
    # runtime, in the serving event loop.
    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def open_runtime(self) -> None:
        log_like_bentoml()
        await RUNTIME.open(worker_index=bentoml.server_context.worker_index)
        self.orphanage = asyncio.create_task(end_with_parent())

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def close_runtime(self) -> None:
        self.orphanage.cancel()
        await RUNTIME.close()

    async def __is_ready__(self) -> bool:
        return RUNTIME.ready

    @bentoml.api  # type: ignore[untyped-decorator]
    async def promotion(  # noqa: PLR0917 - the fields of the request
        self,
        ctx: bentoml.Context,
        site_id: str,
        consumer_id: str | None = None,
        identifier: str | None = None,
        namespace: str | None = None,
        placement: str | None = None,
        n: int = 1,
        consent: list[str] | None = None,
    ) -> dict[str, Any]:
        """Decide which promotion to show to a consumer on a site.

        Send the key as `Authorization: Bearer <key>` (`bentoml.SyncHTTPClient(url, token=key)`).
        """
        fields = {
            "site_id": site_id,
            "consumer_id": consumer_id,
            "identifier": identifier,
            "namespace": namespace,
            "placement": placement,
            "n": n,
            "consent": consent,
        }
        try:
            caller = RUNTIME.identify(ctx.request.headers)
            decision = await RUNTIME.decide(
                caller, read_request(DecisionRequest, fields), read_signals(ctx.request.headers)
            )
        except Exception as error:
            status = status_of(error)
            if status is None:
                raise
            return _refusal(ctx, error, status)  # type: ignore[return-value]
        # Already JSON: BentoML passes a response through as it is.
        return Response(msgspec.json.encode(decision), media_type="application/json")  # type: ignore[return-value]


TailoredPromotions.add_asgi_middleware(GuardedService, runtime=RUNTIME, api=API)  # type: ignore[attr-defined]


def log_like_bentoml() -> None:
    """Let our packages log where and as BentoML does; a worker is an entry point."""
    for package in ("serving", "models", "features", "storage"):
        ours = logging.getLogger(package)
        ours.handlers = list(logging.getLogger("bentoml").handlers)
        ours.setLevel(logging.INFO)
        ours.propagate = False


async def end_with_parent(look_s: float = 1.0) -> None:
    """Stop this worker when the server that started it is gone: killed, it cannot tell its workers."""
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(look_s)
    logger.warning("the server is gone, so this worker stops")
    os.kill(os.getpid(), signal.SIGTERM)


def _refusal(ctx: bentoml.Context, error: Exception, status: HTTPStatus) -> Response:
    # BentoML would hide the text of a 401 or 403 and of every 5xx; a response of our own keeps it.
    ctx.response.status_code = int(status)
    for name, value in headers_of(status, retry_after_s=RUNTIME.retry_after_s).items():
        ctx.response.headers[name] = value
    return Response(msgspec.json.encode(problem_of(error, status=status)), media_type=PROBLEM_JSON)
