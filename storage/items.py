"""Items: the pages, products and services of the sites, as far as somebody described them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from storage.database import Connection
from storage.errors import InvalidValue, UnknownItem, UnknownSite
from storage.fields import identifier_field, json_field, required_identifier, text_field, url_field
from storage.staging import copy_rows, stage

Change = Literal["created", "updated", "unchanged"]
LONGEST_ATTRIBUTES = 16_384

ITEM_COLUMNS = {
    "site_id": "text",
    "item_id": "text",
    "title": "text",
    "category": "text",
    "image_url": "text",
    "url": "text",
    "attributes": "jsonb",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One item; only its ids must be known."""

    site_id: str
    item_id: str
    title: str | None = None
    category: str | None = None
    image_url: str | None = None
    url: str | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)


def parse_item(raw: Mapping[str, Any]) -> Item:
    """Make an item of what came in by HTTP or file; raises InvalidValue with the field at fault."""
    attributes = json_field(raw, "attributes") or {}
    if not isinstance(attributes, Mapping):
        raise InvalidValue(f"attributes {attributes!r:.80} is not an object")
    size = len(json.dumps(attributes, default=str))
    if size > LONGEST_ATTRIBUTES:
        raise InvalidValue(f"attributes has {size} characters of JSON, at most {LONGEST_ATTRIBUTES} are kept")
    return Item(
        site_id=required_identifier(raw, "site_id"),
        item_id=required_identifier(raw, "item_id"),
        title=text_field(raw, "title"),
        category=identifier_field(raw, "category"),
        image_url=url_field(raw, "image_url"),
        url=url_field(raw, "url"),
        attributes=attributes,
    )


# Of two descriptions of one item in a batch the later one counts.
_UPSERT = """
INSERT INTO item AS old (site_id, item_id, title, category, image_url, url, attributes)
SELECT DISTINCT ON (site_id, item_id) site_id, item_id, title, category, image_url, url, attributes
FROM staged_item
ORDER BY site_id, item_id, row_number DESC
ON CONFLICT (site_id, item_id) DO UPDATE SET
    title = excluded.title, category = excluded.category, image_url = excluded.image_url,
    url = excluded.url, attributes = excluded.attributes, updated_at = now()
WHERE (old.title, old.category, old.image_url, old.url, old.attributes) IS DISTINCT FROM
    (excluded.title, excluded.category, excluded.image_url, excluded.url, excluded.attributes)
RETURNING site_id, item_id, xmax = 0 AS created
"""


def upsert_items(connection: Connection, items: Sequence[Item]) -> list[Change]:
    """Enter items or replace what was said of them.

    Returns
    -------
    list
        Per item, in order, what happened; one that a later item of the batch replaces counts as unchanged.

    Raises
    ------
    UnknownSite
        When an item's site is not in the network; nothing is stored then.
    """
    require_sites(connection, {item.site_id for item in items})
    stage(connection, "staged_item", ITEM_COLUMNS)
    copy_rows(connection, "staged_item", ITEM_COLUMNS, map(_row, items))
    happened = {(row[0], row[1]): row[2] for row in connection.execute(_UPSERT)}
    changes: list[Change] = []
    for item in reversed(items):
        created = happened.pop((item.site_id, item.item_id), None)
        changes.append("unchanged" if created is None else "created" if created else "updated")
    return changes[::-1]


def list_items(
    connection: Connection, *, site_id: str, after: str | None = None, limit: int = 100
) -> list[Item]:
    """A page of a site's items by id, those after `after`."""
    rows = connection.execute(
        "SELECT site_id, item_id, title, category, image_url, url, attributes FROM item"
        " WHERE site_id = %s AND item_id > %s ORDER BY item_id LIMIT %s",
        (site_id, after or "", limit),
    )
    return [Item(*row) for row in rows]


def get_item(connection: Connection, site_id: str, item_id: str) -> Item:
    """One item, or UnknownItem."""
    row = connection.execute(
        "SELECT site_id, item_id, title, category, image_url, url, attributes FROM item"
        " WHERE site_id = %s AND item_id = %s",
        (site_id, item_id),
    ).fetchone()
    if row is None:
        raise UnknownItem(f"{site_id}/{item_id}")
    return Item(*row)


def require_sites(connection: Connection, site_ids: Iterable[str]) -> None:
    """Raise UnknownSite for the first of these that is not in the network."""
    wanted = sorted(set(site_ids))
    known = {row[0] for row in connection.execute("SELECT site_id FROM site")}
    for site_id in wanted:
        if site_id not in known:
            raise UnknownSite(site_id, known=known)


def _row(item: Item) -> tuple[object, ...]:
    attributes = json.dumps(item.attributes, default=str)
    return (item.site_id, item.item_id, item.title, item.category, item.image_url, item.url, attributes)
