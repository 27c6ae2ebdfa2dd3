"""The database of promotions: what is offered, what it covers, where, to whom and when it may be shown."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from storage.database import Connection
from storage.errors import InvalidValue, UnknownPromotion
from storage.fields import (
    identifier_field,
    is_missing,
    list_field,
    required_identifier,
    text_field,
    time_field,
    url_field,
)
from storage.items import require_sites
from storage.staging import copy_rows, stage

PromotionChange = Literal["created", "updated", "unchanged", "taken"]
STATUSES = ("active", "paused", "ended")
MOST_COVERED = 100_000


@dataclass(frozen=True, slots=True)
class Promotion:
    """An offer.

    Attributes
    ----------
    subscriber_id
        Whose it is; None: the network's.
    sites
        Where it may be shown.
    items, categories
        What it covers: (site_id, item_id) and (site_id, category) pairs, of any site.
    audience_id
        The list of consumers it is for; None: everyone.
    placements
        The places on a page it may stand in; None: any.
    starts_at, ends_at
        When it may be shown, the end not included; None: no bound.
    """

    promotion_id: str
    title: str
    subscriber_id: str | None = None
    body: str | None = None
    image_url: str | None = None
    landing_url: str | None = None
    code: str | None = None
    sites: tuple[str, ...] = ()
    items: tuple[tuple[str, str], ...] = ()
    categories: tuple[tuple[str, str], ...] = ()
    audience_id: str | None = None
    placements: tuple[str, ...] | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    status: str = "active"

    def digest(self) -> bytes:
        """Equal for promotions that say and cover the same."""
        return hashlib.sha256(json.dumps(asdict(self), default=str, sort_keys=True).encode()).digest()


def parse_promotion(raw: Mapping[str, Any]) -> Promotion:
    """Make a promotion of what came in by HTTP or file; raises InvalidValue with the field at fault."""
    title = text_field(raw, "title")
    if title is None:
        raise InvalidValue("title is missing")
    starts_at, ends_at = time_field(raw, "starts_at"), time_field(raw, "ends_at")
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise InvalidValue(f"ends_at {ends_at.isoformat()} is not after starts_at {starts_at.isoformat()}")
    status = raw.get("status") or "active"
    if status not in STATUSES:
        raise InvalidValue(f"unknown status {status!r:.80}; known: {', '.join(STATUSES)}")
    return Promotion(
        promotion_id=required_identifier(raw, "promotion_id"),
        title=title,
        subscriber_id=identifier_field(raw, "subscriber_id"),
        body=text_field(raw, "body"),
        image_url=url_field(raw, "image_url"),
        landing_url=url_field(raw, "landing_url"),
        code=identifier_field(raw, "code"),
        sites=_ids(raw, "sites"),
        items=_pairs(raw, "items", "item_id"),
        categories=_pairs(raw, "categories", "category"),
        audience_id=identifier_field(raw, "audience_id"),
        placements=None if is_missing(raw.get("placements")) else _ids(raw, "placements"),
        starts_at=starts_at,
        ends_at=ends_at,
        status=status,
    )


def upsert_promotions(connection: Connection, promotions: Sequence[Promotion]) -> list[PromotionChange]:
    """Enter promotions or replace them whole.

    Returns
    -------
    list
        Per promotion, in order, what happened. "taken" means that it belongs to another subscriber and
        was left alone.

    Raises
    ------
    UnknownSite
        When a site where one is shown or that it covers is not in the network; nothing is stored then.
    """
    require_sites(connection, {site_id for promotion in promotions for site_id in sites_of(promotion)})
    ids = sorted({promotion.promotion_id for promotion in promotions})
    known = {
        row[0]: (row[1], bytes(row[2]))
        for row in connection.execute(
            "SELECT promotion_id, subscriber_id, digest FROM promotion WHERE promotion_id = ANY(%s)"
            " ORDER BY promotion_id FOR UPDATE",
            (ids,),
        )
    }
    changes: list[PromotionChange] = []
    changed: dict[str, Promotion] = {}
    for promotion in promotions:
        owner, digest = known.get(promotion.promotion_id, (None, None))
        fresh = (promotion.subscriber_id, promotion.digest())
        if owner not in (None, promotion.subscriber_id):
            changes.append("taken")
        elif digest == fresh[1]:
            changes.append("unchanged")
        else:
            changes.append("updated" if promotion.promotion_id in known else "created")
            known[promotion.promotion_id] = fresh
            changed[promotion.promotion_id] = promotion
    if changed:
        _write(connection, list(changed.values()))
    return changes


def list_promotions(
    connection: Connection,
    *,
    site_id: str | None = None,
    subscriber_id: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> list[Promotion]:
    """A page of promotions by id, those after `after`; of one site or subscriber, or all."""
    rows = connection.execute(
        _SELECT + " WHERE (%(site)s::text IS NULL OR EXISTS (SELECT FROM promotion_site s"
        " WHERE s.site_id = %(site)s AND s.promotion_id = p.promotion_id))"
        " AND (%(owner)s::text IS NULL OR subscriber_id = %(owner)s) AND promotion_id > %(after)s"
        " ORDER BY promotion_id LIMIT %(limit)s",
        {"site": site_id, "owner": subscriber_id, "after": after or "", "limit": limit},
    )
    return [_promotion(row) for row in rows]


def get_promotion(connection: Connection, promotion_id: str) -> Promotion:
    """One promotion, or UnknownPromotion."""
    row = connection.execute(_SELECT + " WHERE promotion_id = %s", (promotion_id,)).fetchone()
    if row is None:
        raise UnknownPromotion(promotion_id)
    return _promotion(row)


def set_promotion_status(connection: Connection, promotion_id: str, *, status: str) -> Promotion:
    """Pause, end or resume a promotion."""
    if status not in STATUSES:
        raise InvalidValue(f"unknown status {status!r}; known: {', '.join(STATUSES)}")
    promotion = replace(get_promotion(connection, promotion_id), status=status)
    upsert_promotions(connection, [promotion])
    return promotion


def sites_of(promotion: Promotion) -> set[str]:
    """Every site that a promotion names."""
    covered = (*promotion.items, *promotion.categories)
    return {*promotion.sites, *(site_id for site_id, _ in covered)}


_COLUMNS = {
    "promotion_id": "text",
    "title": "text",
    "subscriber_id": "text",
    "body": "text",
    "image_url": "text",
    "landing_url": "text",
    "code": "text",
    "audience_id": "text",
    "placements": "text[]",
    "starts_at": "timestamptz",
    "ends_at": "timestamptz",
    "status": "text",
    "digest": "bytea",
}

_SELECT = """
SELECT promotion_id, title, subscriber_id, body, image_url, landing_url, code,
    ARRAY(SELECT site_id::text FROM promotion_site s WHERE s.promotion_id = p.promotion_id ORDER BY 1),
    ARRAY(SELECT ARRAY[site_id::text, item_id::text] FROM promotion_item i
          WHERE i.promotion_id = p.promotion_id ORDER BY site_id, item_id),
    ARRAY(SELECT ARRAY[site_id::text, category] FROM promotion_category c
          WHERE c.promotion_id = p.promotion_id ORDER BY site_id, category),
    audience_id, placements, starts_at, ends_at, status
FROM promotion p
"""

_READ_COLUMNS = (
    *("promotion_id", "title", "subscriber_id", "body", "image_url", "landing_url", "code"),
    *("sites", "items", "categories", "audience_id", "placements", "starts_at", "ends_at", "status"),
)

_UPSERT = f"""
INSERT INTO promotion ({", ".join(_COLUMNS)})
SELECT {", ".join(_COLUMNS)} FROM staged_promotion ORDER BY promotion_id
ON CONFLICT (promotion_id) DO UPDATE SET updated_at = now(),
    {", ".join(f"{column} = excluded.{column}" for column in list(_COLUMNS)[1:])}
"""  # noqa: S608 - built from the constants above


def _write(connection: Connection, promotions: Sequence[Promotion]) -> None:
    stage(connection, "staged_promotion", _COLUMNS)
    copy_rows(connection, "staged_promotion", _COLUMNS, map(_row, promotions))
    connection.execute(_UPSERT)
    ids = [promotion.promotion_id for promotion in promotions]
    for table, columns, rows in (
        (
            "promotion_site",
            ("promotion_id", "site_id"),
            [(p.promotion_id, s) for p in promotions for s in p.sites],
        ),
        ("promotion_item", ("promotion_id", "site_id", "item_id"), _covered(promotions, "items")),
        ("promotion_category", ("promotion_id", "site_id", "category"), _covered(promotions, "categories")),
    ):
        connection.execute(f"DELETE FROM {table} WHERE promotion_id = ANY(%s)", (ids,))  # noqa: S608 - above
        if rows:
            copy_rows(connection, table, columns, rows)


def _covered(promotions: Sequence[Promotion], which: str) -> list[tuple[str, ...]]:
    return [(p.promotion_id, *pair) for p in promotions for pair in getattr(p, which)]


def _row(promotion: Promotion) -> tuple[object, ...]:
    placements = None if promotion.placements is None else list(promotion.placements)
    values = {"placements": placements, "digest": promotion.digest()}
    return tuple(values[name] if name in values else getattr(promotion, name) for name in _COLUMNS)


def _promotion(row: tuple[Any, ...]) -> Promotion:
    values = dict(zip(_READ_COLUMNS, row, strict=True))
    for name in ("sites", "placements"):
        values[name] = None if values[name] is None else tuple(values[name])
    for name in ("items", "categories"):
        values[name] = tuple((site_id, covered) for site_id, covered in values[name])
    return Promotion(**values)


def _ids(raw: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(sorted({required_identifier({name: value}, name) for value in list_field(raw, name)}))


def _pairs(raw: Mapping[str, Any], name: str, second: str) -> tuple[tuple[str, str], ...]:
    values = list_field(raw, name)
    if len(values) > MOST_COVERED:
        raise InvalidValue(f"{name} has {len(values)} entries, at most {MOST_COVERED} are kept")
    if not all(isinstance(value, Mapping) for value in values):
        raise InvalidValue(f"{name} is not a list of objects with site_id and {second}")
    pairs = {(required_identifier(value, "site_id"), required_identifier(value, second)) for value in values}
    return tuple(sorted(pairs))
