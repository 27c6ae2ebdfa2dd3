"""Writes events and quarantine. Storing an event a second time has no effect, and says so."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from storage.database import Connection
from storage.errors import UnknownQuarantineRow
from storage.events import ActivityEvent, Rejection, derived_consumer_id

Outcome = Literal["stored", "duplicate"]

EVENT_COLUMNS = {
    "namespace": "text",
    "identifier": "text",
    "site_id": "text",
    "event_id": "text",
    "kind": "text",
    "source_id": "text",
    "same_site": "boolean",
    "cross_site": "boolean",
    "item_id": "text",
    "promotion_id": "text",
    "occurred_at": "timestamptz",
    "rating": "double precision",
    "quantity": "double precision",
    "value": "double precision",
    "currency": "text",
    "decision": "jsonb",
}

# Both inserts go in key order: two batches with the same events then queue up instead of deadlocking.
# The events travel as one JSON text, which psycopg and the server handle several times faster than arrays.
_APPEND = f"""
WITH known AS (
    INSERT INTO identifier (namespace, identifier, consumer_id)
    SELECT * FROM json_to_recordset(%s::json) AS fresh (namespace text, identifier text, consumer_id text)
    ORDER BY 1, 2
    ON CONFLICT DO NOTHING
)
INSERT INTO activity ({", ".join(EVENT_COLUMNS)})
SELECT * FROM json_to_recordset(%s::json)
    AS fresh ({", ".join(f"{column} {type_}" for column, type_ in EVENT_COLUMNS.items())})
ORDER BY namespace, identifier, site_id, event_id
ON CONFLICT DO NOTHING
RETURNING namespace, identifier, site_id, event_id
"""  # noqa: S608 - built from the constants above


def append_events(connection: Connection, events: Sequence[ActivityEvent]) -> list[Outcome]:
    """Store events in one round trip; durable once the caller's transaction is committed.

    Returns
    -------
    list
        Per event, in order, "stored" or "duplicate". Of equal events in one batch the first is stored.
    """
    if not events:
        return []
    identities = {(event.namespace, event.identifier) for event in events}
    owners = [
        {"namespace": namespace, "identifier": name, "consumer_id": derived_consumer_id(namespace, name)}
        for namespace, name in identities
    ]
    parameters = (msgspec.json.encode(owners).decode(), msgspec.json.encode(events).decode())
    fresh = {tuple(row) for row in connection.execute(_APPEND, parameters)}
    outcomes: list[Outcome] = []
    for event in events:
        outcomes.append("stored" if event.key in fresh else "duplicate")
        fresh.discard(event.key)
    return outcomes


def event_row(event: ActivityEvent) -> tuple[object, ...]:
    """The values of `EVENT_COLUMNS`."""
    return (
        event.namespace,
        event.identifier,
        event.site_id,
        event.event_id,
        event.kind,
        event.source_id,
        event.same_site,
        event.cross_site,
        event.item_id,
        event.promotion_id,
        event.occurred_at,
        event.rating,
        event.quantity,
        event.value,
        event.currency,
        None if event.decision is None else json.dumps(event.decision),
    )


def quarantine(
    connection: Connection,
    rejections: Sequence[Rejection],
    *,
    row_keys: Sequence[bytes | None] = (),
    intake: str = "activity",
) -> None:
    """Keep what was turned away, with the reason; a row of a file that was kept before is not kept again.

    Parameters
    ----------
    row_keys
        For rows of files: a digest of where each stood. Only these can be replayed.
    intake
        What they would have been: activity, items, promotions or audiences.
    """
    if not rejections:
        return
    keys = list(row_keys) or [None] * len(rejections)
    connection.execute(
        "INSERT INTO quarantine (row_key, source_id, location, reason, payload, intake)"
        " SELECT *, %s FROM unnest(%s::bytea[], %s::text[], %s::text[], %s::text[], %s::text[])"
        " ON CONFLICT DO NOTHING",
        (
            intake,
            keys,
            [rejection.source_id for rejection in rejections],
            [rejection.location for rejection in rejections],
            [rejection.reason for rejection in rejections],
            [rejection.payload for rejection in rejections],
        ),
    )


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """What was turned away: when, from whom, where it stood, why, and what it said."""

    quarantine_id: int
    received_at: datetime
    source_id: str
    location: str | None
    reason: str
    payload: str | None
    intake: str = "activity"

    def columns(self) -> dict[str, Any]:
        """What a table tells of it: not what it said, which may be long."""
        told = asdict(self)
        del told["payload"], told["intake"]
        return told


_COLUMNS = "quarantine_id, received_at, source_id, location, reason, payload, intake"


def list_quarantine(
    connection: Connection, *, source: str | None = None, before: int | None = None, limit: int = 50
) -> list[QuarantinedRow]:
    """What was turned away, newest first; of one source or all, those with an id below `before`."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM quarantine"  # noqa: S608 - a constant
        " WHERE (%(source)s::text IS NULL OR source_id = %(source)s)"
        " AND (%(before)s::bigint IS NULL OR quarantine_id < %(before)s)"
        " ORDER BY quarantine_id DESC LIMIT %(limit)s",
        {"source": source, "before": before, "limit": limit},
    )
    return [QuarantinedRow(*row) for row in rows]


def get_quarantined(connection: Connection, quarantine_id: int) -> QuarantinedRow:
    """One row, or UnknownQuarantineRow."""
    row = connection.execute(
        f"SELECT {_COLUMNS} FROM quarantine WHERE quarantine_id = %s",  # noqa: S608 - a constant
        (quarantine_id,),
    ).fetchone()
    if row is None:
        raise UnknownQuarantineRow(str(quarantine_id))
    return QuarantinedRow(*row)
