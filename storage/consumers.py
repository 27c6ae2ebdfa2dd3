"""Consumers: who is who, and their right to see and to erase what is kept of them."""

import re
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from storage.database import Connection
from storage.errors import UnknownConsumer
from storage.events import NETWORK, derived_consumer_id
from storage.fields import required_identifier


@dataclass(frozen=True, slots=True)
class Erasure:
    """How many rows were erased; all zero when nothing was kept."""

    consumer_id: str
    identifiers: int
    activity: int
    audiences: int
    quarantine: int


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
        activity = cursor.execute(
            "SELECT a.* FROM activity a JOIN identifier i USING (namespace, identifier)"
            " WHERE i.consumer_id = %s ORDER BY a.occurred_at NULLS FIRST, a.site_id, a.event_id",
            (owner,),
        ).fetchall()
    return {
        "consumer_id": owner,
        "identifiers": identifiers,
        "audiences": [row["audience_id"] for row in audiences],
        "activity": activity,
    }


def erase(connection: Connection, consumer_id: str) -> Erasure:
    """Delete everything kept of a consumer, whatever identifier it came under; repeated, nothing is left."""
    owner = resolve(connection, NETWORK, consumer_id)
    mine = "(namespace, identifier) IN (SELECT namespace, identifier FROM identifier WHERE consumer_id = %s)"
    names = {consumer_id, owner}
    names |= {
        row[0]
        for row in connection.execute("SELECT identifier FROM identifier WHERE consumer_id = %s", (owner,))
    }
    activity = connection.execute(f"DELETE FROM activity WHERE {mine}", (owner,)).rowcount  # noqa: S608 - above
    identifiers = connection.execute("DELETE FROM identifier WHERE consumer_id = %s", (owner,)).rowcount
    audiences = connection.execute(
        "DELETE FROM audience_member WHERE consumer_id = ANY(%s)", (sorted(names),)
    ).rowcount
    return Erasure(owner, identifiers, activity, audiences, _erase_quarantine(connection, names))


def _erase_quarantine(connection: Connection, names: set[str]) -> int:
    """Rows that mention one of these names as a whole word: rather one too many than one too few."""
    pattern = "|".join(re.sub(r"([^\w])", r"\\\1", name, flags=re.ASCII) for name in sorted(names))
    return connection.execute(
        "DELETE FROM quarantine WHERE payload ~ %(word)s OR reason ~ %(word)s",
        {"word": rf"(^|[^[:alnum:]_])({pattern})($|[^[:alnum:]_])"},
    ).rowcount
