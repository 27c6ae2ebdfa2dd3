"""The cookies that the service itself leaves: of a site's visitor (server mode), and of the whole network.

The network's cookie belongs to the service's own address. Where a browser lets it come along on pages of
other sites, it tells that the visitors of several sites are one consumer. It says no more than a consumer id.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
from litestar.datastructures import Cookie

from serving.browser.contact import NETWORK_COOKIE, Signals
from serving.guard.access import Caller
from serving.metrics import ServingMetrics
from serving.view import View
from storage.activity_cookie import COOKIE_NAME, LIFETIME, ActivityCookie, CookieClaim
from storage.database import Connection
from storage.errors import AlreadyTaken, BadSeal
from storage.events import NETWORK, ActivityEvent, derived_consumer_id
from storage.identity import join
from storage.signing import Seal

CONSENT_COOKIE = "tailor_consent"


class NetworkClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What the network's cookie says: a consumer, and when it was first made (seconds since 1970)."""

    id: str
    t: int


def network_claim(
    signals: Signals, *, seal: Seal, now: datetime, metrics: ServingMetrics, even_with_gpc: bool = False
) -> str | None:
    """The consumer whom the network's cookie names; None where none is to be believed, or GPC forbids."""
    if signals.network is None or (signals.gpc and not even_with_gpc):
        return None
    try:
        claim = seal.open(signals.network, NetworkClaim)
    except BadSeal:
        metrics.cookies_refused.labels("tampered").inc()
        return None
    if datetime.fromtimestamp(claim.t, UTC) + LIFETIME < now:
        metrics.cookies_refused.labels("expired").inc()
        return None
    return claim.id


def join_visitors(connection: Connection, events: Sequence[ActivityEvent], consumer_id: str) -> None:
    """Say that the visitors of these events, who agreed to it, are the consumer of the network's cookie."""
    visitors = {
        (event.namespace, event.identifier)
        for event in events
        if event.cross_site and event.namespace == f"site:{event.site_id}"
    }
    for visitor in sorted(visitors):
        # Two people at one browser; each stays who they are.
        with suppress(AlreadyTaken):
            join(connection, visitor, (NETWORK, consumer_id), how="cookie")


def cookies_after(
    events: Sequence[ActivityEvent],
    *,
    caller: Caller,
    signals: Signals,
    cookie: ActivityCookie | None,
    view: View,
    now: datetime,
) -> list[Cookie]:
    """What to set once events are stored: the network's cookie, the site's own without what was delivered."""
    cookies = []
    if cookie is not None and cookie.signed and cookie.events and cookie.made_at is not None:
        cookies += visitor_cookies(
            str(cookie.visitor_id),
            consent=[str(one) for one in cookie.consent or []],  # type: ignore[attr-defined]
            site_id=str(cookie.site_id),
            made_at=cookie.made_at,
            seal=view.seals.cookie,
            now=now,
        )
    # Only a browser on somebody else's page, and only who agreed to being known across sites.
    agreed = [event for event in events if event.cross_site]
    if agreed and caller.key_kind == "public" and signals.from_elsewhere and signals.network is None:
        claim = NetworkClaim(
            id=derived_consumer_id(agreed[0].namespace, agreed[0].identifier), t=int(now.timestamp())
        )
        cookies.append(_kept(NETWORK_COOKIE, view.seals.network.sign(claim), LIFETIME, samesite="none"))
    return cookies


def visitor_cookies(
    visitor_id: str, *, consent: Sequence[str], site_id: str, made_at: datetime, seal: Seal, now: datetime
) -> list[Cookie]:
    """The activity cookie as the service writes it, and one that lets the tag read what was agreed to.

    Both end 13 months after the first was made.
    """
    claim = CookieClaim(id=visitor_id, consent=list(consent), site=site_id, t=int(made_at.timestamp()))
    left = made_at + LIFETIME - now
    return [
        _kept(COOKIE_NAME, seal.sign(claim), left, samesite="lax"),
        _kept(CONSENT_COOKIE, ".".join(consent), left, samesite="lax", httponly=False),
    ]


def no_cookie(name: str, *, path: str = "/", samesite: str = "lax") -> Cookie:
    """What takes a cookie away."""
    return _kept(name, "", timedelta(0), samesite=samesite, path=path)


def _kept(
    name: str, value: str, lifetime: timedelta, *, samesite: str, path: str = "/", httponly: bool = True
) -> Cookie:
    return Cookie(
        key=name,
        value=value,
        max_age=max(0, int(lifetime.total_seconds())),
        path=path,
        secure=True,
        httponly=httponly,
        samesite=samesite,  # type: ignore[arg-type]
    )
