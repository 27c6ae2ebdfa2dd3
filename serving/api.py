"""The routes under `/v1`: thin; each one finds out who asks, and hands on."""

import logging
from http import HTTPStatus
from typing import Any

from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.plugins.problem_details import (
    ProblemDetailsConfig,
    ProblemDetailsException,
    ProblemDetailsPlugin,
)
from litestar.types import Message, Scope
from starlette.types import ASGIApp

from serving.answer import Decision
from serving.browser.contact import Signals, read_signals
from serving.browser.embed import EMBEDDED
from serving.browser.visitors import VISITORS
from serving.collect import ActivityAnswer, collect
from serving.errors import STATUS, headers_of, problem_of, status_of
from serving.fast import FastCalls
from serving.guard.access import Caller
from serving.guard.cors import SubscriberOrigins
from serving.guard.wrappers import RateLimited
from serving.health import Health, examine
from serving.manage import MANAGEMENT
from serving.openapi import CONFIG, describe
from serving.privacy import PRIVACY
from serving.requests import MAX_BODY_BYTES, ActivityRequest, DecisionRequest
from serving.runtime import Runtime
from serving.sharing import SHARING

logger = logging.getLogger(__name__)


@post("/decisions", status_code=200, tags=["decide"])
async def decisions(data: DecisionRequest, runtime: Runtime, caller: Caller, signals: Signals) -> Decision:
    """Decide which promotion to show to a consumer on a site."""
    return await runtime.decide(caller, data, signals)


@post("/activity", status_code=200, tags=["collect"])
async def activity(
    data: ActivityRequest, runtime: Runtime, caller: Caller, signals: Signals
) -> Response[ActivityAnswer]:
    """Store a batch of events; answered after the commit, with what became of each event."""
    told = await collect(data, runtime=runtime, caller=caller, signals=signals)
    return Response(told.answer, status_code=200, cookies=told.cookies)


@get("/health", tags=["operate"], security=[{}])
async def health(runtime: Runtime) -> Response[Health]:
    """Say whether decisions can be made, and why not."""
    found = await examine(runtime)
    return Response(
        found,
        status_code=200 if found.ready else 503,
        headers={} if found.ready else {"Retry-After": str(runtime.retry_after_s)},
    )


@get("/metrics", tags=["operate"], security=[{}], media_type="text/plain", sync_to_thread=True)
def metrics(runtime: Runtime) -> bytes:
    """Return the metrics of all workers, in Prometheus' text format."""
    return runtime.metrics.page()


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def openapi(request: Request[Any, Any, Any]) -> Response[dict[str, Any]]:
    """Return the description of this API."""
    return Response(describe(request.app), media_type="application/vnd.oai.openapi+json")


def create_app(runtime: Runtime) -> ASGIApp:
    """Make the app that is mounted under `/v1`; `runtime` is opened and closed by who mounts it."""
    fast = FastCalls(create_api(runtime), runtime)  # type: ignore[arg-type]
    return SubscriberOrigins(RateLimited(fast, runtime), runtime)


def create_api(runtime: Runtime) -> Litestar:
    """Make the app that knows every route, describes them and refuses."""

    def caller(request: Request[Any, Any, State]) -> Caller:
        return runtime.identify(request.headers)

    def signals(request: Request[Any, Any, State]) -> Signals:
        return read_signals(request.headers)

    async def count(message: Message, scope: Scope) -> None:
        if message["type"] == "http.response.start":
            handler = scope.get("route_handler")
            route = min(handler.paths) if handler is not None and handler.paths else "unknown"
            runtime.metrics.count_request(route, message["status"])

    def refuse(error: Exception) -> ProblemDetailsException:
        return _problem(error, retry_after_s=runtime.retry_after_s)

    return Litestar(
        [
            *[decisions, activity, health, metrics, openapi],
            *[*MANAGEMENT, *SHARING, *PRIVACY, *VISITORS, *EMBEDDED],
        ],
        dependencies={
            "runtime": Provide(lambda: runtime, sync_to_thread=False, use_cache=True),
            "caller": Provide(caller, sync_to_thread=False),
            "signals": Provide(signals, sync_to_thread=False),
        },
        plugins=[
            ProblemDetailsPlugin(
                ProblemDetailsConfig(
                    exception_to_problem_detail_map=dict.fromkeys([*STATUS, HTTPException, Exception], refuse)
                )
            )
        ],
        openapi_config=CONFIG,
        request_max_body_size=MAX_BODY_BYTES,
        before_send=[count],
        # Handlers of the log belong to the entry point.
        logging_config=None,
    )


def _problem(error: Exception, *, retry_after_s: int) -> ProblemDetailsException:
    status = status_of(error)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("a fault of ours", exc_info=error)
    if status is not None:
        document = problem_of(error, status=status)
        return ProblemDetailsException(
            status_code=status,
            type_=document["type"],
            title=document["title"],
            detail=document["detail"],
            headers=headers_of(status, retry_after_s=retry_after_s),
        )
    if isinstance(error, HTTPException):
        title = HTTPStatus(error.status_code).phrase
        return ProblemDetailsException(
            status_code=error.status_code, title=title, detail=_words(error), headers=error.headers
        )
    if isinstance(error, UnicodeDecodeError):
        detail = f"the body is not UTF-8 (byte {error.start}); send JSON in UTF-8"
        return ProblemDetailsException(status_code=400, title="Bad Request", detail=detail)
    logger.error("unexpected error", exc_info=error)
    return ProblemDetailsException(
        status_code=500,
        title="Internal Server Error",
        detail="something went wrong here; the server's log says what",
    )


def _words(error: HTTPException) -> str:
    """What Litestar found wrong with the request, with the field at fault."""
    faults = error.extra if isinstance(error.extra, list) else []
    told = "; ".join(
        f"{fault.get('key', 'body')}: {fault['message']}" for fault in faults if "message" in fault
    )
    return f"{told}; /v1/openapi.json lists what this call takes" if told else error.detail
