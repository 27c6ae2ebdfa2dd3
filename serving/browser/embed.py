"""What a page of a subscriber's site embeds: the tag, and an image for pages without scripts."""

import secrets
from base64 import b64decode
from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response, get
from litestar.types import ControllerRouterHandler

from serving.browser.contact import Signals
from serving.browser.tag import tag_etag, tag_source
from serving.collect import collect
from serving.errors import Forbidden
from serving.requests import ActivityRequest
from serving.runtime import Runtime

PIXEL = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")

_A_WHILE = "public, max-age=300, stale-while-revalidate=86400"


@get("/tag.js", tags=["browser"], media_type="text/javascript", security=[{}], sync_to_thread=False)
def tag(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the tag: a script of a few kilobytes for the pages of subscribers."""
    headers = {
        "ETag": tag_etag(),
        "Cache-Control": _A_WHILE,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Content-Type-Options": "nosniff",
    }
    if request.headers.get("if-none-match") == tag_etag():
        return Response(b"", status_code=304, headers=headers)
    return Response(tag_source(), media_type="text/javascript", headers=headers)


@get("/pixel.gif", tags=["browser"], media_type="image/gif", security=[{}])
async def pixel(  # noqa: PLR0917 - the fields of the address
    request: Request[Any, Any, Any],
    runtime: Runtime,
    signals: Signals,
    site_id: str,
    key: str,
    item_id: str,
    kind: str = "page_view",
    event_id: str | None = None,
    identifier: str | None = None,
    consent: str | None = None,
) -> Response[bytes]:
    """Take one event of a page without scripts, and return an image of one dot that cannot be seen.

    Who it is of and what they agreed to says the activity cookie, where it comes along, or the address: a
    page that the site's server made for this visitor.
    """
    referer = urlsplit(request.headers.get("referer", ""))
    sent = {"authorization": f"Bearer {key}"}
    if referer.netloc:
        sent["origin"] = f"{referer.scheme}://{referer.netloc}"
    caller = runtime.identify(sent)
    if caller.key_kind == "secret":
        raise Forbidden("an address is seen by many: send a public key, and revoke the secret one")
    event = {
        "event_id": event_id or secrets.token_hex(16),
        "site_id": site_id,
        "kind": kind,
        "item_id": item_id,
        **({} if identifier is None else {"identifier": identifier}),
        **({} if consent is None else {"consent": consent}),
    }
    batch = ActivityRequest(events=[event], site_id=site_id)
    told = await collect(batch, runtime=runtime, caller=caller, signals=signals)
    return Response(
        PIXEL,
        media_type="image/gif",
        headers={"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "cross-origin"},
        cookies=told.cookies,
    )


EMBEDDED: list[ControllerRouterHandler] = [tag, pixel]
