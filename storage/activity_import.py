"""Takes files of activity in: by COPY into a staging table, then merged by one statement."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import pyarrow as pa

from storage.activity import EVENT_COLUMNS, event_row
from storage.activity_columns import TO_BE_DERIVED, read_columns
from storage.database import Connection
from storage.errors import InvalidValue
from storage.events import BOTH_PURPOSES, ActivityEvent, Rejection, parse_event
from storage.intake import ImportReport
from storage.staging import copy_rows, copy_table, stage
from storage.subscribers import add_network_sites

SORT_MEMORY = "128MB"
STAGED_COLUMNS = {**EVENT_COLUMNS, "content_digest": "bytea", "row_number": "bigint"}


@dataclass(frozen=True, slots=True)
class StagedEvent:
    """An event, and the digest of its content if its id is to be derived from that."""

    event: ActivityEvent
    content_digest: bytes | None
    row_number: int


class ActivityIntake:
    """Events of one file."""

    name = "activity"
    columns = (
        *("event_id", "consumer_id", "namespace", "identifier", "site_id", "kind", "item_id", "promotion_id"),
        *("occurred_at", "consent", "rating", "quantity", "value", "currency"),
    )
    required = ("site_id", "kind")

    def __init__(self, connection: Connection, *, source: str, has_legal_basis: bool, now: datetime) -> None:
        self._source = source
        self._consent = BOTH_PURPOSES if has_legal_basis else None
        self._now = now
        self._derives = False
        # Sorting a large file in memory; the temporary table is dropped with the transaction anyway.
        connection.execute(f"SET LOCAL work_mem = '{SORT_MEMORY}'")
        stage(connection, "staged_activity", STAGED_COLUMNS, numbered=False)

    def take_columns(
        self, connection: Connection, batch: pa.RecordBatch, numbers: Sequence[int]
    ) -> list[int]:
        """Stage the rows that are plain; returns the indices of the others."""
        plain = read_columns(
            batch,
            numbers=numbers,
            source=self._source,
            default_consent=self._consent,
            now=self._now,
        )
        if plain is None:
            return list(range(len(batch)))
        self._derives = self._derives or "content_digest" in plain.table.column_names
        copy_table(connection, "staged_activity", plain.table)
        return plain.odd

    def parse(self, fields: Mapping[str, Any], number: int) -> StagedEvent:
        """An event; one without an id of its own gets it when the whole file is staged."""
        event = parse_event(
            fields,
            source=self._source,
            default_consent=self._consent,
            now=self._now,
            event_id=TO_BE_DERIVED,
        )
        if isinstance(event, Rejection):
            raise InvalidValue(event.reason)
        return StagedEvent(event, content_digest(event) if event.event_id == TO_BE_DERIVED else None, number)

    def take(self, connection: Connection, rows: Sequence[StagedEvent]) -> Mapping[int, str]:
        """Stage events."""
        self._derives = self._derives or any(row.content_digest is not None for row in rows)
        values = ((*event_row(row.event), row.content_digest, row.row_number) for row in rows)
        copy_rows(connection, "staged_activity", STAGED_COLUMNS, values)
        return {}

    def finish(self, connection: Connection, n_rows: int) -> ImportReport:
        """Merge what was staged."""
        sites = connection.execute("SELECT DISTINCT site_id FROM staged_activity")
        new_sites = add_network_sites(connection, [row[0] for row in sites])
        # Activity before identifiers, both in key order, like `append_events`: whoever writes the same
        # events at the same time waits in line instead of deadlocking.
        event_id = _DERIVED_ID if self._derives else "event_id"
        stored = connection.execute(_merge_activity(event_id)).rowcount
        connection.execute(_MERGE_IDENTIFIERS)
        return ImportReport(stored=stored, duplicate=n_rows - stored, new_sites=tuple(new_sites))


def content_digest(event: ActivityEvent) -> bytes:
    """Of the source and the content: what an event id is derived from, whatever format the row came in."""
    time = None if event.occurred_at is None else event.occurred_at.isoformat()
    content = repr((*event_row(replace(event, occurred_at=None)), time))
    return hashlib.sha256(content.encode()).digest()


# The consumer id is what `storage.events.derived_consumer_id` gives.
_MERGE_IDENTIFIERS = r"""
INSERT INTO identifier (namespace, identifier, consumer_id)
SELECT namespace, identifier,
    CASE WHEN namespace = 'network' THEN identifier
    ELSE '~' || left(encode(sha256(convert_to(namespace, 'UTF8') || '\x00'::bytea
                                   || convert_to(identifier, 'UTF8')), 'hex'), 32) END
FROM (SELECT DISTINCT namespace COLLATE "C" AS namespace, identifier COLLATE "C" AS identifier
      FROM staged_activity) AS fresh
ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""

# A derived id tells equal rows of a file apart by how many stood before: so the same rows again add nothing,
# in whatever format, and two truly equal rows both count. PostgreSQL counts: our memory must not grow
# with the file.
_DERIVED_ID = """
CASE WHEN content_digest IS NULL THEN event_id ELSE encode(sha256(content_digest || int8send(
    row_number() OVER (PARTITION BY content_digest ORDER BY row_number) - 1)), 'hex') END AS event_id
"""


def _merge_activity(event_id: str) -> str:
    """Of equal keys in one file the first row counts."""
    fields = ", ".join(event_id if name == "event_id" else name for name in EVENT_COLUMNS)
    return f"""
    INSERT INTO activity ({", ".join(EVENT_COLUMNS)})
    SELECT {", ".join(EVENT_COLUMNS)} FROM (SELECT {fields}, row_number FROM staged_activity) AS fresh
    ORDER BY namespace COLLATE "C", identifier COLLATE "C", site_id COLLATE "C", event_id COLLATE "C",
             row_number
    ON CONFLICT DO NOTHING
    """  # noqa: S608 - built from constants
