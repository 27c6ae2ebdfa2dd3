"""Takes files of activity in: by COPY into a staging table, then merged by one statement."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from storage.activity import EVENT_COLUMNS, event_row
from storage.database import Connection
from storage.errors import InvalidValue
from storage.events import BOTH_PURPOSES, ActivityEvent, Rejection, parse_event
from storage.intake import ImportReport
from storage.staging import analyze, copy_rows, stage
from storage.subscribers import add_network_sites

TO_BE_DERIVED = "-"


class ActivityIntake:
    """Events of one file."""

    columns = (
        *("event_id", "consumer_id", "namespace", "identifier", "site_id", "kind", "item_id", "promotion_id"),
        *("occurred_at", "consent", "rating", "quantity", "value", "currency"),
    )
    required = ("site_id", "kind")

    def __init__(self, connection: Connection, *, source: str, has_legal_basis: bool, now: datetime) -> None:
        self._source = source
        self._consent = BOTH_PURPOSES if has_legal_basis else None
        self._now = now
        self._equal_rows: Counter[bytes] = Counter()
        stage(connection, "staged_activity", EVENT_COLUMNS)

    def parse(self, fields: Mapping[str, Any]) -> ActivityEvent:
        """An event, with an id of its own."""
        event = parse_event(
            fields,
            source=self._source,
            default_consent=self._consent,
            now=self._now,
            event_id=TO_BE_DERIVED,
        )
        if isinstance(event, Rejection):
            raise InvalidValue(event.reason)
        if event.event_id == TO_BE_DERIVED:
            return replace(event, event_id=self._derive_event_id(event))
        return event

    def take(self, connection: Connection, rows: Sequence[ActivityEvent]) -> Mapping[int, str]:
        """Stage events."""
        copy_rows(connection, "staged_activity", EVENT_COLUMNS, map(event_row, rows))
        return {}

    def finish(self, connection: Connection, n_rows: int) -> ImportReport:
        """Merge what was staged."""
        analyze(connection, "staged_activity")
        sites = connection.execute("SELECT DISTINCT site_id FROM staged_activity")
        new_sites = add_network_sites(connection, [row[0] for row in sites])
        connection.execute(_MERGE_IDENTIFIERS)
        stored = connection.execute(_MERGE_ACTIVITY).rowcount
        return ImportReport(stored=stored, duplicate=n_rows - stored, new_sites=tuple(new_sites))

    def _derive_event_id(self, event: ActivityEvent) -> str:
        """From the source, the content and how many equal rows stood before it in the file.

        So the same rows again add nothing, in whatever format, and two truly equal rows both count.
        """
        time = None if event.occurred_at is None else event.occurred_at.isoformat()
        content = repr((*event_row(replace(event, occurred_at=None)), time))
        digest = hashlib.sha256(content.encode()).digest()
        occurrence = self._equal_rows[digest]
        self._equal_rows[digest] += 1
        return hashlib.sha256(digest + occurrence.to_bytes(8, "big")).hexdigest()


# The consumer id is what `storage.events.derived_consumer_id` gives.
_MERGE_IDENTIFIERS = r"""
INSERT INTO identifier (namespace, identifier, consumer_id)
SELECT DISTINCT namespace, identifier,
    CASE WHEN namespace = 'network' THEN identifier
    ELSE '~' || left(encode(sha256(convert_to(namespace, 'UTF8') || '\x00'::bytea
                                   || convert_to(identifier, 'UTF8')), 'hex'), 32) END
FROM staged_activity
ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""

_MERGE_ACTIVITY = f"""
INSERT INTO activity ({", ".join(EVENT_COLUMNS)})
SELECT {", ".join(EVENT_COLUMNS)} FROM (
    SELECT DISTINCT ON (namespace, identifier, site_id, event_id) * FROM staged_activity
    ORDER BY namespace, identifier, site_id, event_id, row_number
) AS fresh
ON CONFLICT DO NOTHING
"""  # noqa: S608 - built from constants
