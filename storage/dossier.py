"""What is kept of a consumer, as they see it: by site, what was shown and why, what they agreed to."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from storage.consent import Withdrawal, purposes_of, state_consent
from storage.consumers import resolve
from storage.database import Connection
from storage.events import NETWORK


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done on a site, or one answer to a promotion."""

    kind: str
    at: datetime | None
    title: str


@dataclass(frozen=True, slots=True)
class ShownPromotion:
    """A promotion that was shown, and the reasons that were told with it."""

    site: str
    title: str
    at: datetime | None
    strategy: str
    reasons: tuple[str, ...]


@dataclass(slots=True)
class SiteDossier:
    """One site's part."""

    site_id: str
    name: str
    purposes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    newest: list[Deed] = field(default_factory=list)

    @property
    def n_events(self) -> int:
        """How many events are kept."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Dossier:
    """All of it; sites by name, promotions newest first."""

    consumer_id: str
    n_identifiers: int
    sites: list[SiteDossier]
    shown: list[ShownPromotion]


DOING = {"page_view": "viewed", "product_review": "looked into", "purchase": "bought"}
"""What a person calls the kinds of activity."""


def dossier(connection: Connection, consumer_id: str, *, n_newest: int = 8, n_shown: int = 20) -> Dossier:
    """What is kept of a consumer; of somebody unknown it is empty."""
    owner = resolve(connection, NETWORK, consumer_id)
    sites: dict[str, SiteDossier] = {}

    def of(site_id: str, name: str) -> SiteDossier:
        return sites.setdefault(site_id, SiteDossier(site_id, name))

    for site_id, name, kind, n_events, same, cross in connection.execute(_COUNTS, {"consumer": owner}):
        one = of(site_id, name)
        one.counts[kind] = n_events
        one.purposes = sorted({*one.purposes, *purposes_of(same_site=same, cross_site=cross)}, reverse=True)
    for site_id, name, same, cross in connection.execute(_CONSENTS, {"consumer": owner}):
        # The last word counts, whatever events came with.
        of(site_id, name).purposes = purposes_of(same_site=same, cross_site=cross)
    for site_id, name, kind, at, title in connection.execute(
        _NEWEST, {"consumer": owner, "newest": n_newest}
    ):
        of(site_id, name).newest.append(Deed(kind, at, title))
    shown = [
        ShownPromotion(site, title, at, strategy, tuple(_reason(one) for one in reasons))
        for site, title, at, strategy, reasons in connection.execute(
            _SHOWN, {"consumer": owner, "shown": n_shown}
        )
    ]
    row = connection.execute("SELECT count(*) FROM identifier WHERE consumer_id = %s", (owner,)).fetchone()
    return Dossier(
        owner, 0 if row is None else row[0], sorted(sites.values(), key=lambda one: one.name), shown
    )


def agree(
    connection: Connection, consumer_id: str, *, site_id: str, purposes: Collection[str], now: datetime
) -> Withdrawal | None:
    """Keep what a consumer says about a site, for all the names that they are known under there.

    None when there is no such name.
    """
    owner = resolve(connection, NETWORK, consumer_id)
    names = connection.execute(_KNOWN_AS, {"consumer": owner, "site": site_id}).fetchall()
    done = [
        state_consent(connection, (namespace, identifier), site_id=site_id, purposes=purposes, now=now)
        for namespace, identifier in names
    ]
    if not done:
        return None
    return Withdrawal(sum(one.deleted for one in done), sum(one.limited for one in done))


def _reason(told: dict[str, Any]) -> str:
    doing = DOING.get(told.get("kind", ""), "did something")
    what = told.get("title") or told.get("item_id") or "something"
    return f"you {doing} {what} at {told.get('name') or told.get('site_id')}"


_MINE = "activity a JOIN identifier i USING (namespace, identifier) JOIN site s USING (site_id)"

_COUNTS = f"""
SELECT a.site_id::text, s.name, a.kind, count(*), bool_or(a.same_site), bool_or(a.cross_site)
FROM {_MINE} WHERE i.consumer_id = %(consumer)s GROUP BY 1, 2, 3 ORDER BY 1, 3
"""  # noqa: S608 - a constant

_CONSENTS = """
SELECT c.site_id::text, s.name, bool_and(c.same_site), bool_and(c.cross_site)
FROM consent c JOIN identifier i USING (namespace, identifier) JOIN site s USING (site_id)
WHERE i.consumer_id = %(consumer)s GROUP BY 1, 2
"""

_NEWEST = f"""
SELECT site_id, name, kind, at, title FROM (
    SELECT a.site_id::text, s.name, a.kind, coalesce(a.occurred_at, a.received_at) AS at,
           coalesce(t.title, a.item_id) AS title,
           row_number() OVER (
               PARTITION BY a.site_id ORDER BY coalesce(a.occurred_at, a.received_at) DESC
           ) AS place
    FROM {_MINE} LEFT JOIN item t ON t.site_id = a.site_id AND t.item_id = a.item_id
    WHERE i.consumer_id = %(consumer)s AND a.kind IN ('page_view', 'product_review', 'purchase')
) ranked WHERE place <= %(newest)s ORDER BY site_id, place
"""  # noqa: S608 - a constant

_SHOWN = f"""
SELECT s.name, coalesce(nullif(a.decision ->> 'title', ''), p.title, a.promotion_id),
       coalesce(a.occurred_at, a.received_at),
       coalesce(a.decision ->> 'strategy', ''),
       coalesce((
           SELECT jsonb_agg(r || jsonb_build_object('name', of.name, 'title', t.title) ORDER BY place)
           FROM jsonb_array_elements(a.decision -> 'reasons') WITH ORDINALITY AS told (r, place)
           LEFT JOIN site of ON of.site_id = r ->> 'site_id'
           LEFT JOIN item t ON t.site_id = r ->> 'site_id' AND t.item_id = r ->> 'item_id'
       ), '[]')
FROM {_MINE} LEFT JOIN promotion p USING (promotion_id)
WHERE i.consumer_id = %(consumer)s AND a.kind = 'promotion_view'
ORDER BY 3 DESC LIMIT %(shown)s
"""  # noqa: S608 - a constant

_KNOWN_AS = """
SELECT i.namespace::text, i.identifier::text FROM identifier i
WHERE i.consumer_id = %(consumer)s AND (
    i.namespace = 'site:' || %(site)s
    OR EXISTS (SELECT FROM activity a WHERE a.namespace = i.namespace AND a.identifier = i.identifier
               AND a.site_id = %(site)s)
    OR EXISTS (SELECT FROM consent c WHERE c.namespace = i.namespace AND c.identifier = i.identifier
               AND c.site_id = %(site)s)
) ORDER BY 1, 2
"""
