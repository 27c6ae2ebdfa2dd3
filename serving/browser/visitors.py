"""What a visitor says of themselves: what they agree to, and that they are the same as somebody elsewhere."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode

import msgspec
from litestar import Request, Response, post
from litestar.types import ControllerRouterHandler

from serving.browser.contact import (
    NETWORK_COOKIE,
    Contact,
    Signals,
    by_cookie,
    check_identity,
    contact_of,
    named_identity,
    names_nobody,
)
from serving.browser.keepsake import CONSENT_COOKIE, no_cookie, visitor_cookies
from serving.errors import NoConsent, RequestRefused
from serving.guard.access import Caller, own_site
from serving.requests import Id, Visitor
from serving.runtime import Runtime
from storage.activity_cookie import COOKIE_NAME, ActivityCookie
from storage.consent import purposes_of, state_consent
from storage.errors import AlreadyTaken, BadSeal, UnknownSite
from storage.events import CROSS_SITE, LOGIN, NETWORK, SAME_SITE, derived_consumer_id
from storage.identity import join

LINK_LIFETIME = timedelta(minutes=5)
ME_LIFETIME = timedelta(minutes=15)


class ConsentRequest(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a visitor agrees to from now on: any of `same_site` and `cross_site`; nothing is a withdrawal.

    In the mode `server` the service keeps it in a cookie of its own, with an identifier that it makes; a new
    one with `reset`, for when somebody logs out.
    """

    purposes: list[Literal["same_site", "cross_site"]]
    mode: Literal["script", "server"] = "script"
    reset: bool = False


class ConsentAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What holds now, and how many events were deleted or taken out of a purpose by it."""

    purposes: list[str]
    identifier: str | None
    deleted: int
    limited: int


class LinkRequest(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A visitor who is about to follow a link to another site of the network."""

    to_site: Id


class LinkAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What to put into the address as `tailor_link`: it counts once, there, until it expires."""

    token: str
    expires_at: datetime


class IdentityRequest(Visitor, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a visitor is, too: by a link that was followed, or (from a server only) by the hash of a login."""

    link: str | None = None
    login: Id | None = None


class IdentityAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether two became one by it, and why not."""

    merged: bool
    reason: str | None = None


class MyPage(msgspec.Struct, frozen=True, kw_only=True):
    """Where a visitor sees what is kept of them; opens until the token expires."""

    url: str
    expires_at: datetime


class LinkClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a link's token says: which consumer comes to which site ("" for the consumer's own page)."""

    token_id: str
    consumer_id: str
    to_site: str
    expires_at: datetime


@post("/consent", status_code=200, tags=["consent"])
async def consent(
    data: ConsentRequest, runtime: Runtime, caller: Caller, signals: Signals
) -> Response[ConsentAnswer]:
    """Keep what a visitor agrees to; what is withdrawn is taken back at once in everything stored before."""
    view, now = runtime.view, datetime.now(UTC)
    own_site(caller, data.site_id, view.catalogue)
    cookie = runtime.cookie(signals, data.site_id, view)
    purposes = signals.allow(frozenset(data.purposes))
    told = purposes_of(same_site=SAME_SITE in purposes, cross_site=CROSS_SITE in purposes)
    by_server = data.mode == "server"
    identity = None if by_server and data.reset else _identity(data, cookie, caller)
    if by_server and identity is None and told:
        identity = (f"site:{data.site_id}", secrets.token_hex(16))
    if identity is None:
        return Response(ConsentAnswer(purposes=[], identifier=None, deleted=0, limited=0), status_code=200)
    who = identity
    done = await runtime.run(
        lambda connection: state_consent(
            connection,
            who,
            site_id=data.site_id,
            purposes=told,
            now=now,
            even_of_strangers=caller.key_kind == "secret",
        )
    )
    cookies = []
    if by_server and told:
        first = cookie.made_at if cookie is not None and cookie.signed else None
        cookies += visitor_cookies(
            who[1], consent=told, site_id=data.site_id, made_at=first or now, seal=view.seals.cookie, now=now
        )
    elif signals.activity is not None and not told:
        cookies += [no_cookie(COOKIE_NAME), no_cookie(CONSENT_COOKIE)]
    if signals.network is not None and CROSS_SITE not in told and signals.from_elsewhere:
        cookies.append(no_cookie(NETWORK_COOKIE, samesite="none"))
    answer = ConsentAnswer(
        purposes=told,
        identifier=None if by_server else who[1],
        deleted=done.deleted,
        limited=done.limited,
    )
    return Response(answer, status_code=200, cookies=cookies)


@post("/links", status_code=200, tags=["consent"])
async def links(data: LinkRequest, runtime: Runtime, caller: Caller, signals: Signals) -> LinkAnswer:
    """Make a token for a link to another site, so that the visitor is known there as the same person."""
    view = runtime.view
    contact = _contact(data, runtime, caller, signals)
    if data.to_site not in view.shelves:
        raise UnknownSite(data.to_site)
    return _token(_across(contact), data.to_site, LINK_LIFETIME, runtime)


@post("/identities", status_code=200, tags=["consent"])
async def identities(
    data: IdentityRequest, runtime: Runtime, caller: Caller, signals: Signals
) -> IdentityAnswer:
    """Say that a visitor is somebody known from elsewhere: all their events count for one person."""
    identity = _across(_contact(data, runtime, caller, signals))
    if (data.link is None) == (data.login is None):
        raise RequestRefused("send either link or login")
    try:
        if data.login is not None:
            caller.needs_secret_key()
            if "@" in data.login:
                raise RequestRefused("login holds an @: send a hash of the address, never the address")
            login = (LOGIN, data.login)
            merge = await runtime.run(lambda c: join(c, identity, login, how="login"))
        else:
            claim = read_link(data.link or "", runtime, to_site=data.site_id)
            other = (NETWORK, claim.consumer_id)
            merge = await runtime.run(lambda c: join(c, identity, other, how="link", token_id=claim.token_id))
    except AlreadyTaken as error:
        return IdentityAnswer(merged=False, reason=str(error))
    return IdentityAnswer(merged=merge is not None, reason=None if merge else "they were known to be one")


@post("/me/links", status_code=200, tags=["consent"])
async def my_page(
    data: Visitor, runtime: Runtime, caller: Caller, signals: Signals, request: Request[Any, Any, Any]
) -> MyPage:
    """Make the address of the page where a visitor sees, exports and erases what is kept of them."""
    view = runtime.view
    own_site(caller, data.site_id, view.catalogue)
    # Whatever they agreed to: whoever withdrew may still look.
    identity = _identity(data, runtime.cookie(signals, data.site_id, view), caller)
    if identity is None:
        raise RequestRefused("identifier is missing, and no activity cookie of the site came along")
    answer = _token(identity, "", ME_LIFETIME, runtime)
    base = runtime.limits.public_url or f"{request.url.scheme}://{request.url.netloc}"
    return MyPage(url=f"{base}/me?{urlencode({'token': answer.token})}", expires_at=answer.expires_at)


VISITORS: list[ControllerRouterHandler] = [consent, links, identities, my_page]


def read_link(token: str, runtime: Runtime, *, to_site: str) -> LinkClaim:
    """What a link's token says.

    Raises
    ------
    RequestRefused : it is not ours, has expired, or leads elsewhere.
    """
    try:
        claim = runtime.view.seals.link.open(token, LinkClaim)
    except BadSeal as error:
        raise RequestRefused(f"the link's token does not count: {error}") from None
    if claim.expires_at <= datetime.now(UTC):
        raise RequestRefused("the link's token has expired; follow the link again")
    if claim.to_site != to_site:
        raise RequestRefused(f"the link's token leads to {claim.to_site or 'the own page'!r}, not here")
    return claim


def _token(identity: tuple[str, str], to_site: str, lifetime: timedelta, runtime: Runtime) -> LinkAnswer:
    claim = LinkClaim(
        token_id=secrets.token_hex(16),
        # Never the identifier itself: an address is seen by many, and who has the identifier is the visitor.
        consumer_id=derived_consumer_id(*identity),
        to_site=to_site,
        expires_at=datetime.now(UTC).replace(microsecond=0) + lifetime,
    )
    return LinkAnswer(token=runtime.view.seals.link.sign(claim), expires_at=claim.expires_at)


def _identity(data: Visitor, cookie: ActivityCookie | None, caller: Caller) -> tuple[str, str] | None:
    """The visitor that a call names, or else its cookie."""
    named = by_cookie(data.named, cookie)
    if names_nobody(named):
        return None
    identity = named_identity(named, site_id=data.site_id)
    check_identity(caller, identity, site_id=data.site_id)
    return identity


def _contact(data: Visitor, runtime: Runtime, caller: Caller, signals: Signals) -> Contact:
    view = runtime.view
    own_site(caller, data.site_id, view.catalogue)
    cookie = runtime.cookie(signals, data.site_id, view)
    return contact_of(data.named, caller=caller, catalogue=view.catalogue, signals=signals, cookie=cookie)


def _across(contact: Contact) -> tuple[str, str]:
    """The visitor, if they agreed to being known across sites."""
    if contact.identity is None or CROSS_SITE not in contact.purposes:
        raise NoConsent(contact.why_not or f"the consumer did not agree to {CROSS_SITE}")
    return contact.identity
