"""Whom a call is about, and what they agreed to: by its words, its cookies and the browser's own signals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from http.cookies import CookieError, SimpleCookie
from typing import Any

from serving.catalog import Catalogue
from serving.errors import SecretKeyNeeded
from serving.guard.access import Caller
from storage.activity_cookie import COOKIE_NAME, ActivityCookie, BadCookie, read_activity_cookie
from storage.errors import InvalidValue
from storage.events import BOTH_PURPOSES, CROSS_SITE, NETWORK, NO_PURPOSE, consent_field, identity_of
from storage.fields import is_missing
from storage.signing import Seal

NETWORK_COOKIE = "tailor_network"

READ = ("authorization", "origin", "cookie", "sec-gpc", "sec-fetch-site")
"""The headers that anything here looks at."""

_MOST_COOKIE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class Signals:
    """What a browser sends by itself.

    Attributes
    ----------
    gpc
        Global Privacy Control: nothing may be used across sites, whatever was agreed to.
    from_elsewhere
        The page is of another site than this service, so that cookies of ours are a third party's.
    activity, network
        The values of the two cookies that may come along.
    """

    gpc: bool = False
    from_elsewhere: bool = False
    activity: str | None = None
    network: str | None = None

    def allow(self, purposes: frozenset[str]) -> frozenset[str]:
        """What is left of some purposes."""
        return purposes - {CROSS_SITE} if self.gpc else purposes


@dataclass(frozen=True, slots=True)
class Contact:
    """Whom a call is about: None where it may not know; what they agreed to; and why that is nothing."""

    identity: tuple[str, str] | None
    purposes: frozenset[str]
    why_not: str | None = None


NO_SIGNALS = Signals()
NOBODY = Contact(None, NO_PURPOSE, "no consumer is named, so nothing personal is used")


def read_signals(headers: Mapping[str, str]) -> Signals:
    """Read the headers of a call."""
    gpc, from_elsewhere = headers.get("sec-gpc") == "1", headers.get("sec-fetch-site") == "cross-site"
    sent = headers.get("cookie")
    if sent is None or "tailor_" not in sent or len(sent) > _MOST_COOKIE_BYTES:
        return Signals(gpc, from_elsewhere)
    cookies: SimpleCookie = SimpleCookie()
    for one in sent.split(";"):
        # One that Python cannot read must not take the others with it.
        if "tailor_" in one:
            try:
                cookies.load(one.strip())
            except CookieError:
                continue
    found = {name: morsel.value for name, morsel in cookies.items()}
    return Signals(gpc, from_elsewhere, found.get(COOKIE_NAME), found.get(NETWORK_COOKIE))


def own_cookie(signals: Signals, site_id: str, *, seal: Seal, now: datetime) -> ActivityCookie | None:
    """The activity cookie of a site's visitor; None where there is none.

    Raises
    ------
    BadCookie
        It cannot be believed, or is of another site.
    """
    if signals.activity is None:
        return None
    cookie = read_activity_cookie(signals.activity, seal=seal, now=now)
    if cookie.site_id != site_id:
        raise BadCookie("foreign", f"the cookie is of site {cookie.site_id!r:.80}, not of {site_id!r}")
    return cookie


def names_nobody(named: Mapping[str, Any]) -> bool:
    """Whether neither a consumer nor an identifier is named; a namespace alone names nobody."""
    return is_missing(named.get("consumer_id")) and is_missing(named.get("identifier"))


def by_cookie(named: Mapping[str, Any], cookie: ActivityCookie | None) -> Mapping[str, Any]:
    """An event or a call as it is meant: who names nobody is the visitor of the site's activity cookie.

    Where they state no consent (`None` and `""` state nothing, `[]` states that there is none), they agreed
    to what the cookie says, and never rest on a legal basis.
    """
    if cookie is None or named.get("site_id") != cookie.site_id or not names_nobody(named):
        return named
    consent = cookie.consent or [] if is_missing(named.get("consent")) else named["consent"]
    return {**named, "identifier": cookie.visitor_id, "namespace": None, "consent": consent}


def contact_of(
    named: Mapping[str, Any],
    *,
    caller: Caller,
    catalogue: Catalogue,
    signals: Signals,
    cookie: ActivityCookie | None,
) -> Contact:
    """Whom a call about `named["site_id"]` is about.

    What the call itself says counts before the cookie. Where neither states what was agreed to, a server
    speaks on its subscriber's legal basis, and a browser has agreed to nothing.

    Parameters
    ----------
    named
        `site_id`, and what there is of `consumer_id`, `identifier`, `namespace` and `consent`.

    Raises
    ------
    SecretKeyNeeded : a public key, which any visitor can read, names somebody else than the site's visitor.
    InvalidValue : what names the consumer cannot be one.
    """
    named = by_cookie(named, cookie)
    if names_nobody(named):
        return NOBODY
    site_id = str(named["site_id"])
    identity = named_identity(named, site_id=site_id)
    check_identity(caller, identity, site_id=site_id)
    try:
        stated = frozenset(consent_field(named, legal_basis(caller, catalogue)))
    except InvalidValue as error:
        return Contact(None, NO_PURPOSE, f"{error}; without consent nothing personal is used")
    purposes = signals.allow(stated)
    if not purposes:
        return Contact(None, NO_PURPOSE, "without consent nothing personal is used")
    return Contact(identity, purposes)


def named_identity(named: Mapping[str, Any], *, site_id: str) -> tuple[str, str]:
    """Whom a call names; other than an event it may use an id that was derived from an identifier."""
    if is_missing(named.get("identifier")) and is_missing(named.get("namespace")):
        return NETWORK, str(named["consumer_id"])
    return identity_of(named, site_id=site_id)


def check_identity(caller: Caller, identity: tuple[str, str], *, site_id: str) -> None:
    """Refuse that a browser names anybody but a visitor of the very site."""
    if caller.key_kind == "public" and identity[0] != f"site:{site_id}":
        raise SecretKeyNeeded(
            f"a public key knows visitors of its own site only, by `identifier`; {identity[0]!r} is not one"
        )


def legal_basis(caller: Caller, catalogue: Catalogue) -> frozenset[str] | None:
    """What holds where no consent is stated: a server speaks on the basis that its subscriber once named."""
    subscriber = catalogue.subscribers[caller.subscriber_id]
    return BOTH_PURPOSES if caller.key_kind == "secret" and subscriber.legal_basis else None
