"""Records of erasures: when, by what way the wish came, and how much went; never who it was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class Erasure:
    """Somebody was erased.

    Attributes
    ----------
    rows_deleted
        By table.
    cleaned_at
        Since when the bytes are gone from the files too; None: not yet.
    erasure_id, at
        None when there was nothing to erase: that is not recorded.
    consumer_id
        Told once, to whoever erases; it is not in the record.
    """

    asked_by: str
    rows_deleted: Mapping[str, int]
    erasure_id: int | None = None
    at: datetime | None = None
    cleaned_at: datetime | None = None
    consumer_id: str | None = field(default=None, compare=False)


def record_erasure(
    connection: Connection, consumer_id: str, rows_deleted: Mapping[str, int], *, asked_by: str
) -> Erasure:
    """Note that somebody was erased, in the transaction that did it; nothing erased, nothing noted."""
    if not any(rows_deleted.values()):
        return Erasure(asked_by, dict(rows_deleted), consumer_id=consumer_id)
    row = connection.execute(
        "INSERT INTO erasure (asked_by, rows_deleted) VALUES (%s, %s) RETURNING erasure_id, at",
        (asked_by, json.dumps(rows_deleted)),
    ).fetchone()
    if row is None:
        raise AssertionError(rows_deleted)
    return Erasure(asked_by, dict(rows_deleted), row[0], row[1], consumer_id=consumer_id)


def list_erasures(connection: Connection, *, limit: int = 50) -> list[Erasure]:
    """What was recorded, newest first."""
    rows = connection.execute(
        "SELECT asked_by, rows_deleted, erasure_id, at, cleaned_at FROM erasure"
        " ORDER BY erasure_id DESC LIMIT %s",
        (limit,),
    )
    return [Erasure(*row) for row in rows]


def newest_erasure(connection: Connection) -> datetime | None:
    """When the newest began."""
    row = connection.execute("SELECT max(at) FROM erasure").fetchone()
    return None if row is None else row[0]


def uncleaned_erasures(connection: Connection) -> list[int]:
    """Those whose bytes may still be in files, oldest first."""
    rows = connection.execute("SELECT erasure_id FROM erasure WHERE cleaned_at IS NULL ORDER BY 1")
    return [row[0] for row in rows]


def mark_cleaned(connection: Connection, erasure_ids: list[int]) -> None:
    """Note that the bytes of these are gone."""
    connection.execute(
        "UPDATE erasure SET cleaned_at = clock_timestamp() WHERE erasure_id = ANY(%s)", (erasure_ids,)
    )
