"""The consumer's own page: what is kept of them, why promotions were shown, and how to change or end it.

It works without scripts. Who may see it has followed a link made by `POST /v1/me/links`, or comes with the
network's cookie; either becomes a session of a quarter of an hour.
"""

import functools
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from importlib.resources import files
from typing import Any

import msgspec
from jinja2 import Environment, select_autoescape
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from serving.browser.contact import NETWORK_COOKIE, read_signals
from serving.browser.keepsake import network_claim
from serving.browser.visitors import ME_LIFETIME, LinkClaim, read_link
from serving.errors import RequestRefused, status_of
from serving.runtime import Runtime
from storage.consumers import erase, export
from storage.dossier import DOING, agree, dossier
from storage.errors import UnknownConsumer
from storage.events import CROSS_SITE, SAME_SITE

SESSION = "tailor_me"

CHOICES: Mapping[str, tuple[str, ...]] = {"all": (SAME_SITE, CROSS_SITE), "site": (SAME_SITE,), "nothing": ()}

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_page(runtime: Runtime) -> Starlette:
    """Make the app that is mounted at `/me`."""

    def called(handler: Any) -> Any:
        @functools.wraps(handler)
        async def handle(request: Request) -> Response:
            try:
                answer: Response = await handler(request, runtime)
            except Exception as error:
                status = status_of(error)
                if status is None:
                    raise
                answer = _page("refused.html", status=status, reason=str(error))
            answer.headers.update(_HEADERS)
            return answer

        return handle

    return Starlette(
        routes=[
            Route("/", called(show), methods=["GET"]),
            Route("/consent", called(change), methods=["POST"]),
            Route("/erase", called(erase_all), methods=["POST"]),
            Route("/download", called(download), methods=["GET"]),
            Route("/style.css", called(style), methods=["GET"]),
        ]
    )


async def show(request: Request, runtime: Runtime) -> Response:
    """The page; a token in the address becomes a session first, so that it leaves the address."""
    token = request.query_params.get("token")
    if token is not None:
        return _with_session(read_link(token, runtime, to_site=""), runtime)
    consumer_id = session(request, runtime)
    if consumer_id is None:
        found = _by_network(request, runtime)
        return _page("nobody.html") if found is None else _with_session(found, runtime)
    kept = await runtime.run(lambda connection: dossier(connection, consumer_id))
    return _page("me.html", kept=kept, doing=DOING, changed=request.query_params.get("changed"))


async def change(request: Request, runtime: Runtime) -> Response:
    """Keep another word about a site."""
    consumer_id = _needed(request, runtime)
    form = await request.form()
    choice, site_id = str(form.get("choice")), str(form.get("site_id"))
    if choice not in CHOICES:
        raise RequestRefused(f"choice {choice!r:.40} is not one of {', '.join(CHOICES)}")
    await runtime.run(
        lambda connection: agree(
            connection, consumer_id, site_id=site_id, purposes=CHOICES[choice], now=datetime.now(UTC)
        )
    )
    return RedirectResponse("/me/?changed=consent", HTTPStatus.SEE_OTHER)


async def erase_all(request: Request, runtime: Runtime) -> Response:
    """Delete everything, and end the session and the network's cookie."""
    consumer_id = _needed(request, runtime)
    await runtime.run(lambda connection: erase(connection, consumer_id, asked_by="the consumer's page"))
    answer = _page("erased.html")
    answer.delete_cookie(SESSION, path="/me", secure=True, httponly=True, samesite="lax")
    answer.delete_cookie(NETWORK_COOKIE, path="/", secure=True, httponly=True, samesite="none")
    return answer


async def download(request: Request, runtime: Runtime) -> Response:
    """Everything that is kept, as JSON."""
    consumer_id = _needed(request, runtime)

    def read(connection: Any) -> dict[str, Any]:
        try:
            return export(connection, consumer_id)
        except UnknownConsumer:
            return {"consumer_id": consumer_id, "identifiers": [], "activity": []}

    kept = await runtime.run(read)
    return Response(
        msgspec.json.format(msgspec.json.encode(kept)),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="my-data.json"'},
    )


async def style(request: Request, runtime: Runtime) -> Response:  # noqa: ARG001 - as all others
    """How it looks."""
    return Response(_read("me.css"), media_type="text/css")


def session(request: Request, runtime: Runtime) -> str | None:
    """The consumer of a session, None where there is none or it has ended."""
    token = request.cookies.get(SESSION)
    if token is None:
        return None
    try:
        return read_link(token, runtime, to_site="").consumer_id
    except RequestRefused:
        return None


def _needed(request: Request, runtime: Runtime) -> str:
    """The consumer of the session, for what changes something: never at the wish of another site's page."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise RequestRefused("this may be asked for on the page itself only")
    consumer_id = session(request, runtime)
    if consumer_id is None:
        raise RequestRefused("a quarter of an hour has passed; open the page again from where you came")
    return consumer_id


def _by_network(request: Request, runtime: Runtime) -> LinkClaim | None:
    found = network_claim(
        read_signals(request.headers),
        seal=runtime.view.seals.network,
        now=datetime.now(UTC),
        metrics=runtime.metrics,
        even_with_gpc=True,
    )
    if found is None:
        return None
    ends = datetime.now(UTC).replace(microsecond=0) + ME_LIFETIME
    return LinkClaim(token_id=secrets.token_hex(16), consumer_id=found, to_site="", expires_at=ends)


def _with_session(claim: LinkClaim, runtime: Runtime) -> Response:
    left = claim.expires_at - datetime.now(UTC)
    answer = RedirectResponse("/me/", HTTPStatus.SEE_OTHER)
    answer.set_cookie(
        SESSION,
        runtime.view.seals.link.sign(claim),
        max_age=max(0, int(left.total_seconds())),
        path="/me",
        secure=True,
        httponly=True,
        samesite="lax",
    )
    return answer


def _page(name: str, *, status: int = 200, **values: Any) -> Response:
    return Response(
        _templates().get_template(name).render(values), status_code=int(status), media_type="text/html"
    )


@functools.cache
def _templates() -> Environment:
    from jinja2 import FunctionLoader

    made = Environment(loader=FunctionLoader(_read), autoescape=select_autoescape(default=True))
    made.filters["day"] = lambda at: "some time" if at is None else f"{at:%-d %B %Y, %H:%M}"
    return made


def _read(name: str) -> str:
    return files("serving").joinpath("browser", name).read_text(encoding="utf-8")
