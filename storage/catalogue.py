"""Everything serving keeps in memory to decide, read as of one moment."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from psycopg.pq import TransactionStatus

from storage.database import Connection
from storage.subscribers import KeyRecord, Site, Subscriber, list_keys, list_sites, list_subscribers


class PromotionRow(NamedTuple):
    """A promotion that is or will be live, without what it covers."""

    promotion_id: str
    subscriber_id: str | None
    title: str
    body: str | None
    image_url: str | None
    landing_url: str | None
    code: str | None
    audience_id: str | None
    placements: list[str] | None
    starts_at: datetime | None
    ends_at: datetime | None


class ItemRow(NamedTuple):
    """What is told of an item."""

    site_id: str
    item_id: str
    title: str | None
    category: str | None
    image_url: str | None
    url: str | None


@dataclass(frozen=True, slots=True)
class MemberRows:
    """Who takes part; of the keys those that were not revoked."""

    sites: list[Site]
    subscribers: list[Subscriber]
    keys: list[KeyRecord]


@dataclass(frozen=True, slots=True)
class CatalogueRows:
    """One consistent reading.

    Attributes
    ----------
    promotions
        Active ones that have not ended, by id.
    promotion_sites
        (promotion_id, site_id): where they may be shown.
    coverage
        (promotion_id, site_id, item_id), sorted: what they cover, the items of covered categories included.
    items
        All items that were described.
    attributes
        (site_id, item_id) → JSON text: of covered items, where there are any.
    """

    members: MemberRows
    promotions: list[PromotionRow]
    promotion_sites: list[tuple[str, str]]
    coverage: list[tuple[str, str, str]]
    items: list[ItemRow]
    attributes: dict[tuple[str, str], str] = field(default_factory=dict)


_LIVE = "p.status = 'active' AND (p.ends_at IS NULL OR p.ends_at > %(now)s)"

_PROMOTIONS = f"""
SELECT promotion_id, subscriber_id, title, body, image_url, landing_url, code, audience_id, placements,
       starts_at, ends_at
FROM promotion p WHERE {_LIVE} ORDER BY promotion_id
"""  # noqa: S608 - a constant

_SITES = f"""
SELECT s.promotion_id, s.site_id FROM promotion_site s JOIN promotion p USING (promotion_id)
WHERE {_LIVE} ORDER BY 1, 2
"""  # noqa: S608 - a constant

_COVERAGE = f"""
SELECT i.promotion_id, i.site_id, i.item_id FROM promotion_item i JOIN promotion p USING (promotion_id)
WHERE {_LIVE}
UNION
SELECT c.promotion_id, c.site_id, i.item_id
FROM promotion_category c JOIN promotion p USING (promotion_id) JOIN item i USING (site_id, category)
WHERE {_LIVE}
ORDER BY 1, 2, 3
"""  # noqa: S608 - a constant

_ITEMS = "SELECT site_id, item_id, title, category, image_url, url FROM item ORDER BY site_id, item_id"

# Of what may be shown only: there may be millions of items, and attributes are long.
_ATTRIBUTES = f"""
SELECT i.site_id, i.item_id, i.attributes::text FROM item i
WHERE i.attributes <> '{{}}' AND (
    EXISTS (SELECT 1 FROM promotion_item c JOIN promotion p USING (promotion_id)
            WHERE {_LIVE} AND (c.site_id, c.item_id) = (i.site_id, i.item_id))
    OR EXISTS (SELECT 1 FROM promotion_category c JOIN promotion p USING (promotion_id)
               WHERE {_LIVE} AND (c.site_id, c.category) = (i.site_id, i.category)))
"""  # noqa: S608 - a constant


Stamp = tuple[int, ...]

MEMBER_TABLES = ("subscriber", "site", "api_key")

_STAMPED = (
    *MEMBER_TABLES,
    "item",
    "promotion",
    "promotion_site",
    "promotion_item",
    "promotion_category",
)

# Which transaction wrote a row, summed: an insertion, a change or a deletion moves the sum or the count.
_STAMP = " UNION ALL ".join(
    f"SELECT count(*), coalesce(sum(xmin::text::bigint), 0)::bigint FROM {table}"  # noqa: S608 - constants
    for table in _STAMPED
)


def catalogue_stamp(connection: Connection) -> Stamp:
    """What differs after any change of what serving keeps in memory; a fraction of the work of reading it."""
    return tuple(number for row in connection.execute(_STAMP) for number in row)


def read_members(connection: Connection) -> MemberRows:
    """Read who takes part: a small fraction of the catalogue."""
    return MemberRows(
        sites=list_sites(connection),
        subscribers=list_subscribers(connection),
        keys=[key for key in list_keys(connection) if key.revoked_at is None],
    )


def read_catalogue(connection: Connection, *, now: datetime) -> CatalogueRows:
    """Read what may be shown at `now` or later, all of it as of one moment."""
    if connection.info.transaction_status == TransactionStatus.IDLE:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    return CatalogueRows(
        members=read_members(connection),
        promotions=[PromotionRow(*row) for row in connection.execute(_PROMOTIONS, {"now": now})],
        promotion_sites=[(row[0], row[1]) for row in connection.execute(_SITES, {"now": now})],
        coverage=[(row[0], row[1], row[2]) for row in connection.execute(_COVERAGE, {"now": now})],
        items=[ItemRow(*row) for row in connection.execute(_ITEMS)],
        attributes={(row[0], row[1]): row[2] for row in connection.execute(_ATTRIBUTES, {"now": now})},
    )
