"""Who is asking, and what their key opens: one look into the catalogue, no database."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from serving.catalog import Catalogue
from serving.errors import KeyRefused, NotASubscriber, OriginRefused, SecretKeyNeeded, SiteRefused
from storage.errors import UnknownSite
from storage.subscribers import KeyKind, Site, hash_key


@dataclass(frozen=True, slots=True)
class Caller:
    """The subscriber behind a key."""

    subscriber_id: str
    key_kind: KeyKind

    @property
    def source_id(self) -> str:
        """The source that activity sent with this key is stored under."""
        return f"http:{self.subscriber_id}"

    def needs_secret_key(self) -> None:
        """Refuse what a browser may not do."""
        if self.key_kind != "secret":
            raise SecretKeyNeeded("a public key cannot do this; call from a server with the secret key")


def read_key(authorization: str) -> bytes | None:
    """Return the hash of the key in `Bearer <key>`; None where there is no key."""
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    return hash_key(key) if key and scheme.lower() == "bearer" else None


def identify(headers: Mapping[str, str], catalogue: Catalogue) -> Caller:
    """Return the caller behind `Authorization: Bearer <key>`.

    Raises
    ------
    KeyRefused : no key, or one that nobody was given or that was revoked or has expired.
    OriginRefused : a public key whose `Origin` is not one of its subscriber's.
    NotASubscriber : the subscriber is suspended.
    """
    authorization = headers.get("authorization", "")
    digest = read_key(authorization)
    if digest is None:
        raise KeyRefused("no key; send the header `Authorization: Bearer <your key>`")
    found = catalogue.keys.get(digest)
    if found is None or found.revoked_at is not None:
        start = authorization.partition(" ")[2].strip()[:14]
        raise KeyRefused(f"nobody was given the key {start!r}...; or it was revoked")
    if found.expires_at is not None and found.expires_at <= datetime.now(UTC):
        ended = found.expires_at.isoformat(timespec="seconds")
        raise KeyRefused(f"the key ...{found.hint} expired at {ended}: a newer one took over; send that one")
    subscriber = catalogue.subscribers[found.subscriber_id]
    if subscriber.status != "active":
        raise NotASubscriber(f"subscriber {subscriber.subscriber_id!r} is {subscriber.status}")
    if found.kind == "public":
        _check_origin(headers.get("origin"), subscriber.allowed_origins)
    return Caller(subscriber_id=subscriber.subscriber_id, key_kind=found.kind)


def own_site(caller: Caller, site_id: str, catalogue: Catalogue) -> Site:
    """Return a site that the caller may act for.

    Raises
    ------
    UnknownSite, NotASubscriber (the site takes no part), SiteRefused (somebody else's).
    """
    site = catalogue.sites.get(site_id)
    if site is None:
        raise UnknownSite(site_id, known=catalogue.subscribers[caller.subscriber_id].sites)
    if site.subscriber_id is None:
        raise NotASubscriber(f"site {site_id!r} is no subscriber, so nothing is shown or taken there")
    if site.subscriber_id != caller.subscriber_id:
        raise SiteRefused(f"site {site_id!r} is not one of the sites of {caller.subscriber_id!r}")
    return site


def _check_origin(origin: str | None, allowed: tuple[str, ...]) -> None:
    if origin is None:
        raise OriginRefused("a public key is for browsers, which send `Origin`; servers use the secret key")
    if origin.rstrip("/").lower() not in {one.rstrip("/").lower() for one in allowed}:
        raise OriginRefused(f"origin {origin!r} is not one of this subscriber's origins")
