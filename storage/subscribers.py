"""The database of subscribers: who takes part, with which sites, origins and keys."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from storage.database import Connection
from storage.errors import AlreadyTaken, InvalidValue, UnknownKey, UnknownSite, UnknownSubscriber
from storage.fields import required_identifier

KeyKind = Literal["secret", "public"]
KEY_KINDS: tuple[KeyKind, ...] = ("secret", "public")
STATUSES = ("active", "suspended")
HINT_LENGTH = 4


@dataclass(frozen=True, slots=True)
class Site:
    """A site of the network; without a subscriber, activity may come from it but it shows no promotion."""

    site_id: str
    name: str
    subscriber_id: str | None


@dataclass(frozen=True, slots=True)
class Subscriber:
    """Somebody who takes part with some sites, and shows promotions on them.

    What it shares and accepts is explained in `storage.sharing`.
    """

    subscriber_id: str
    name: str
    status: str
    allowed_origins: tuple[str, ...]
    legal_basis: str | None
    sites: tuple[str, ...]
    created_at: datetime
    shares_activity: bool = True
    accepts_from: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """What is kept of a key: never the key. `expires_at` is set when a newer one takes over."""

    key_hash: bytes
    subscriber_id: str
    kind: KeyKind
    hint: str
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None


def add_subscriber(
    connection: Connection,
    subscriber_id: str,
    *,
    name: str,
    sites: Sequence[str] = (),
    allowed_origins: Sequence[str] = (),
    legal_basis: str | None = None,
) -> Subscriber:
    """Enter a subscriber with its sites; entered again, name, origins and legal basis are replaced.

    Parameters
    ----------
    allowed_origins
        Where its public key may be used from, as browsers write it: ``https://shop.example``.
    legal_basis
        On what ground activity from its servers may be used when an event states no consent.

    Raises
    ------
    AlreadyTaken
        When one of the sites belongs to another subscriber.
    """
    required_identifier({"subscriber_id": subscriber_id}, "subscriber_id")
    connection.execute(
        "INSERT INTO subscriber (subscriber_id, name, allowed_origins, legal_basis) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (subscriber_id) DO UPDATE SET name = excluded.name,"
        " allowed_origins = excluded.allowed_origins, legal_basis = excluded.legal_basis",
        (subscriber_id, name, [parse_origin(origin) for origin in allowed_origins], legal_basis),
    )
    for site_id in sites:
        add_site(connection, site_id, subscriber_id=subscriber_id)
    return get_subscriber(connection, subscriber_id)


def add_site(
    connection: Connection, site_id: str, *, name: str | None = None, subscriber_id: str | None = None
) -> Site:
    """Enter a site, or give one that has no subscriber to a subscriber.

    Raises
    ------
    AlreadyTaken
        When it belongs to another subscriber.
    UnknownSubscriber
    """
    required_identifier({"site_id": site_id}, "site_id")
    if subscriber_id is not None:
        get_subscriber(connection, subscriber_id)
    row = connection.execute(
        "INSERT INTO site AS s (site_id, name, subscriber_id)"
        " VALUES (%(site)s::text, coalesce(%(name)s, %(site)s::text), %(owner)s)"
        " ON CONFLICT (site_id) DO UPDATE SET name = coalesce(%(name)s, s.name),"
        " subscriber_id = coalesce(s.subscriber_id, excluded.subscriber_id)"
        " RETURNING site_id, name, subscriber_id",
        {"site": site_id, "name": name, "owner": subscriber_id},
    ).fetchone()
    if row is None or subscriber_id not in (None, row[2]):
        raise AlreadyTaken(
            f"site {site_id!r} belongs to subscriber {row and row[2]!r}, not to {subscriber_id!r}"
        )
    return Site(*row)


def add_network_sites(connection: Connection, site_ids: Sequence[str]) -> list[str]:
    """Enter sites that are only known from data; returns those that are new."""
    rows = connection.execute(
        "INSERT INTO site (site_id, name) SELECT id, id FROM unnest(%s::text[]) AS ids (id)"
        " WHERE NOT EXISTS (SELECT FROM site WHERE site_id = id) ORDER BY id"
        " ON CONFLICT DO NOTHING RETURNING site_id",
        (sorted(set(site_ids)),),
    ).fetchall()
    return [row[0] for row in rows]


def list_sites(connection: Connection) -> list[Site]:
    """All sites, by id."""
    rows = connection.execute("SELECT site_id, name, subscriber_id FROM site ORDER BY site_id")
    return [Site(*row) for row in rows]


def get_site(connection: Connection, site_id: str) -> Site:
    """One site; UnknownSite names those there are."""
    row = connection.execute(
        "SELECT site_id, name, subscriber_id FROM site WHERE site_id = %s", (site_id,)
    ).fetchone()
    if row is None:
        raise UnknownSite(site_id, known=[site.site_id for site in list_sites(connection)])
    return Site(*row)


def list_subscribers(connection: Connection) -> list[Subscriber]:
    """All subscribers with their sites, by id."""
    return [_subscriber(row) for row in connection.execute(_SUBSCRIBERS, {"only": None})]


def get_subscriber(connection: Connection, subscriber_id: str) -> Subscriber:
    """One subscriber; UnknownSubscriber names those there are."""
    row = connection.execute(_SUBSCRIBERS, {"only": subscriber_id}).fetchone()
    if row is None:
        known = [one.subscriber_id for one in list_subscribers(connection)]
        raise UnknownSubscriber(subscriber_id, known=known)
    return _subscriber(row)


def set_subscriber_status(connection: Connection, subscriber_id: str, *, status: str) -> Subscriber:
    """Suspend a subscriber, or make it active again."""
    if status not in STATUSES:
        raise InvalidValue(f"unknown status {status!r}; known: {', '.join(STATUSES)}")
    connection.execute("UPDATE subscriber SET status = %s WHERE subscriber_id = %s", (status, subscriber_id))
    return get_subscriber(connection, subscriber_id)


def issue_key(connection: Connection, subscriber_id: str, *, kind: KeyKind) -> str:
    """Make a key and return it: this is the only time that it can be seen.

    A secret key is for servers; a public key for browsers, from the subscriber's allowed origins only.
    """
    if kind not in KEY_KINDS:
        raise InvalidValue(f"unknown kind of key {kind!r}; known: {', '.join(KEY_KINDS)}")
    get_subscriber(connection, subscriber_id)
    key = f"tp_{kind}_{secrets.token_urlsafe(32)}"
    connection.execute(
        "INSERT INTO api_key (key_hash, subscriber_id, kind, hint) VALUES (%s, %s, %s, %s)",
        (hash_key(key), subscriber_id, kind, key[-HINT_LENGTH:]),
    )
    return key


def rotate_key(
    connection: Connection, subscriber_id: str, *, kind: KeyKind, overlap: timedelta
) -> tuple[str, datetime]:
    """Make a new key and let the older ones of its kind end later; returns the key and when that is.

    Parameters
    ----------
    overlap
        How long the older keys still count; one that ends sooner already keeps its end.
    """
    if overlap < timedelta(0):
        raise InvalidValue(f"an overlap of {overlap} is negative; 0 ends the older keys at once")
    key = issue_key(connection, subscriber_id, kind=kind)
    row = connection.execute(_END_OLDER, (overlap, subscriber_id, kind, hash_key(key))).fetchone()
    if row is None:
        raise UnknownKey(key[:8] + "...")
    return key, row[0]


def hash_key(key: str) -> bytes:
    """What is stored of a key. Its 256 random bits need no salt and no slow hash."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def list_keys(connection: Connection, *, subscriber_id: str | None = None) -> list[KeyRecord]:
    """Keys of one subscriber or all, the revoked ones too, oldest first."""
    rows = connection.execute(
        "SELECT key_hash, subscriber_id, kind, hint, created_at, revoked_at, expires_at FROM api_key"
        " WHERE %(of)s::text IS NULL OR subscriber_id = %(of)s ORDER BY created_at, key_hash",
        {"of": subscriber_id},
    )
    return [KeyRecord(*row) for row in rows]


def revoke_key(connection: Connection, key: str, *, subscriber_id: str | None = None) -> KeyRecord:
    """End a key, named in full or by the start of its hash in hex; repeated, nothing happens.

    Raises
    ------
    UnknownKey
        When no key, or more than one, is meant.
    """
    wanted = hash_key(key).hex() if key.startswith("tp_") else key.lower()
    keys = [
        one
        for one in list_keys(connection, subscriber_id=subscriber_id)
        if one.key_hash.hex().startswith(wanted)
    ]
    if len(keys) != 1 or not wanted:
        raise UnknownKey(key[:8] + "...")
    connection.execute(
        "UPDATE api_key SET revoked_at = coalesce(revoked_at, now()) WHERE key_hash = %s", (keys[0].key_hash,)
    )
    return keys[0]


def parse_origin(origin: str) -> str:
    """An origin as browsers send it: scheme, host and perhaps port, in lower case, without a path."""
    if not re.fullmatch(r"https?://[a-zA-Z0-9.-]+(:\d{1,5})?|https?://\[[0-9a-fA-F:]+\](:\d{1,5})?", origin):
        raise InvalidValue(f"origin {origin!r} is not like https://shop.example or http://localhost:3000")
    return origin.lower()


_END_OLDER = """
WITH moment (ends) AS (SELECT now() + %s),
ended AS (
    UPDATE api_key SET expires_at = least(expires_at, ends) FROM moment
    WHERE subscriber_id = %s AND kind = %s AND key_hash <> %s AND revoked_at IS NULL
)
SELECT ends FROM moment
"""

_SUBSCRIBERS = """
SELECT subscriber_id, name, status, allowed_origins, legal_basis,
       ARRAY(SELECT site_id::text FROM site t WHERE t.subscriber_id = s.subscriber_id ORDER BY site_id),
       created_at, shares_activity, accepts_from
FROM subscriber s
WHERE %(only)s::text IS NULL OR subscriber_id = %(only)s
ORDER BY subscriber_id
"""


def _subscriber(row: tuple[Any, ...]) -> Subscriber:
    subscriber_id, name, status, origins, legal_basis, sites, created_at, shares, accepts = row
    return Subscriber(
        subscriber_id,
        name,
        status,
        tuple(origins),
        legal_basis,
        tuple(sites),
        created_at,
        shares_activity=shares,
        accepts_from=None if accepts is None else tuple(accepts),
    )
