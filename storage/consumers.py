"""Consumers: who is who, and their right to see and to erase what is kept of them."""

import json
import re
from collections.abc import Collection
from typing import Any

from psycopg.rows import dict_row

from storage.database import Connection
from storage.erasures import Erasure, record_erasure
from storage.errors import UnknownConsumer
from storage.events import NETWORK, derived_consumer_id
from storage.fields import required_identifier


def resolve(connection: Connection, namespace: str, identifier: str) -> str:
    """The consumer whom an identifier belongs to, known or not."""
    row = connection.execute(
        "SELECT consumer_id FROM identifier WHERE namespace = %s AND identifier = %s", (namespace, identifier)
    ).fetchone()
    return derived_consumer_id(namespace, identifier) if row is None else str(row[0])


def link_identifier(connection: Connection, namespace: str, identifier: str, *, consumer_id: str) -> str:
    """Say that an identifier belongs to a consumer, and return that consumer's id.

    Events stay where they are, under the identifier: they now count for the other consumer.
    """
    required_identifier({"namespace": namespace}, "namespace")
    required_identifier({"identifier": identifier}, "identifier")
    required_identifier({"consumer_id": consumer_id}, "consumer_id")
    owner = resolve(connection, NETWORK, consumer_id)
    connection.execute(
        "INSERT INTO identifier (namespace, identifier, consumer_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (namespace, identifier) DO UPDATE SET consumer_id = excluded.consumer_id",
        (namespace, identifier, owner),
    )
    return owner


def export(connection: Connection, consumer_id: str) -> dict[str, Any]:
    """Everything kept of a consumer; raises UnknownConsumer when that is nothing."""
    owner = resolve(connection, NETWORK, consumer_id)
    with connection.cursor(row_factory=dict_row) as cursor:
        identifiers = cursor.execute(
            "SELECT namespace, identifier, created_at FROM identifier WHERE consumer_id = %s ORDER BY 1, 2",
            (owner,),
        ).fetchall()
        audiences = cursor.execute(
            "SELECT audience_id FROM audience_member WHERE consumer_id = %s ORDER BY 1", (owner,)
        ).fetchall()
        if not identifiers and not audiences:
            raise UnknownConsumer(consumer_id)
        consents = cursor.execute(
            "SELECT c.* FROM consent c JOIN identifier i USING (namespace, identifier)"
            " WHERE i.consumer_id = %s ORDER BY c.site_id, c.stated_at",
            (owner,),
        ).fetchall()
        activity = cursor.execute(
            "SELECT a.* FROM activity a JOIN identifier i USING (namespace, identifier)"
            " WHERE i.consumer_id = %s ORDER BY a.occurred_at NULLS FIRST, a.site_id, a.event_id",
            (owner,),
        ).fetchall()
    return {
        "consumer_id": owner,
        "identifiers": identifiers,
        "audiences": [row["audience_id"] for row in audiences],
        "consents": consents,
        "activity": activity,
    }


def erase(
    connection: Connection,
    consumer: str | tuple[str, str],
    *,
    asked_by: str = "the operator",
    sites: Collection[str] | None = None,
    source: str | None = None,
) -> Erasure:
    """Delete what is kept of a consumer, whatever identifier it came under, and leave a record of it.

    Repeated, nothing is left to delete, and no further record is made. The bytes leave the disk a little
    later: see `storage.residue`.

    Parameters
    ----------
    consumer
        A consumer id, or (namespace, identifier).
    asked_by
        The way the wish came; it must not tell who the consumer is.
    sites
        Only what was done on these and the visitor ids that nothing is left under; when that was all there
        was, the rest, too. Default: everything.
    source
        Only what is in quarantine from there. Default: from anywhere.
    """
    asked = (NETWORK, consumer) if isinstance(consumer, str) else consumer
    owner = resolve(connection, *asked)
    # Locked: whoever joins this consumer with another meanwhile waits, and then finds nobody.
    known = connection.execute(
        "SELECT namespace, identifier FROM identifier WHERE consumer_id = %s ORDER BY 1, 2 FOR UPDATE",
        (owner,),
    ).fetchall()
    names = sorted({asked, *((namespace, identifier) for namespace, identifier in known)})
    ids = sorted({owner, *(derived_consumer_id(*name) for name in names)})
    told = {
        "owner": owner,
        "ids": ids,
        "spaces": [namespace for namespace, _ in names],
        "names": [identifier for _, identifier in names],
        "sites": None if sites is None else list(sites),
        "own_spaces": [f"site:{site_id}" for site_id in sites or ()],
        "source": source,
        **_words([*ids, *(identifier for _, identifier in names)]),
    }
    rows = {table: connection.execute(query, told).rowcount for table, query in _ERASE.items()}
    if sites is not None:
        rows["identifier"] = connection.execute(_ERASE_VISITOR_IDS, told).rowcount
    if sites is None or connection.execute(_IS_ANYTHING_LEFT, told).fetchone() is None:
        for table, query in _ERASE_THE_REST.items():
            rows[table] = rows.get(table, 0) + connection.execute(query, told).rowcount
    else:
        connection.execute(_FORGET_VISITOR_IDS, told)
    return record_erasure(connection, owner, rows, asked_by=asked_by)


def _words(names: Collection[str]) -> dict[str, Any]:
    """How names may stand in a text, as they are or as JSON: `words`, and a pattern for any of them whole.

    Rather one row too many than one too few: a word may also stand for something else.
    """
    as_json = [
        json.dumps(name, ensure_ascii=ascii_only)[1:-1] for name in names for ascii_only in (True, False)
    ]
    words = sorted({*names, *as_json})
    pattern = "|".join(re.sub(r"([^\w])", r"\\\1", word, flags=re.ASCII) for word in words)
    return {"words": words, "pattern": rf"(^|[^[:alnum:]_])({pattern})($|[^[:alnum:]_])"}


_MINE = "(namespace, identifier) IN (SELECT * FROM unnest(%(spaces)s::text[], %(names)s::text[]))"
_THERE = "(%(sites)s::text[] IS NULL OR site_id = ANY(%(sites)s))"
# A search for words is many times faster than one for a pattern, and finds nothing in most rows.
_ERASE = {
    "activity": f"DELETE FROM activity WHERE {_MINE} AND {_THERE}",  # noqa: S608 - constants
    "consent": f"DELETE FROM consent WHERE {_MINE} AND {_THERE}",  # noqa: S608 - constants
    "quarantine": """
DELETE FROM quarantine
WHERE (%(source)s::text IS NULL OR source_id = %(source)s)
  AND EXISTS (SELECT FROM unnest(%(words)s::text[]) AS word
              WHERE strpos(concat_ws(' ', location, reason, payload), word) > 0)
  AND concat_ws(' ', location, reason, payload) ~ %(pattern)s
""",
}
_ERASE_VISITOR_IDS = """
DELETE FROM identifier i WHERE consumer_id = %(owner)s AND namespace = ANY(%(own_spaces)s)
AND NOT EXISTS (SELECT FROM activity a WHERE (a.namespace, a.identifier) = (i.namespace, i.identifier))
AND NOT EXISTS (SELECT FROM consent c WHERE (c.namespace, c.identifier) = (i.namespace, i.identifier))
"""
_IS_ANYTHING_LEFT = f"""
SELECT FROM identifier WHERE consumer_id = %(owner)s AND namespace LIKE 'site:%%'
UNION ALL SELECT FROM activity WHERE {_MINE}
UNION ALL SELECT FROM consent WHERE {_MINE}
LIMIT 1
"""  # noqa: S608 - constants
_ERASE_THE_REST = {
    "identifier": "DELETE FROM identifier WHERE consumer_id = %(owner)s",
    "audience_member": "DELETE FROM audience_member WHERE consumer_id = ANY(%(ids)s)",
    "merge": """
DELETE FROM merge WHERE from_consumer = ANY(%(ids)s) OR into_consumer = ANY(%(ids)s)
OR EXISTS (SELECT FROM jsonb_array_elements(moved->'identifiers') AS pair
           JOIN unnest(%(spaces)s::text[], %(names)s::text[]) AS mine (namespace, identifier)
           ON pair = jsonb_build_array(mine.namespace, mine.identifier))
""",
}
_FORGET_VISITOR_IDS = """
UPDATE merge m SET moved = jsonb_set(moved, '{identifiers}', (
    SELECT coalesce(jsonb_agg(pair), '[]') FROM jsonb_array_elements(m.moved->'identifiers') AS pair
    WHERE pair->>0 <> ALL(%(own_spaces)s) OR EXISTS (
        SELECT FROM identifier i WHERE i.namespace = pair->>0 AND i.identifier = pair->>1)
)) WHERE into_consumer = ANY(%(ids)s) OR from_consumer = ANY(%(ids)s)
"""
