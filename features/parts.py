"""Activity in parts, one for each UTC day on which it was received: only what changed is exported again.

A part is compared by what is in it: the database hashes every row as it would be exported now, the consumer
it belongs to included. New and late events, erasures, withdrawn sources, changed consent and linked
identifiers all change the parts they touch, and nothing has to remember that they happened. So the table is
read whole each time, in the database, and only changed days leave it.
"""

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.export import TABLES, copy_to, read_csv
from storage.database import Connection

#: A part's key when nothing is stored: an empty file that tells the columns.
EMPTY = "none"

_MASK = (1 << 64) - 1

_ACTIVITY = next(table for table in TABLES if table.name == "activity")
_COLUMNS = ("part", *_ACTIVITY.columns)

_ROWS = """
SELECT (a.received_at AT TIME ZONE 'UTC')::date::text AS part,
       i.consumer_id, a.namespace, a.identifier, a.site_id, a.event_id, a.kind, a.item_id, a.promotion_id,
       a.source_id, (extract(epoch FROM a.occurred_at) * 1000000)::bigint AS occurred_at
FROM usable_activity a JOIN identifier i USING (namespace, identifier)
WHERE a.cross_site AND (a.occurred_at <= %(until)s::timestamptz) IS NOT FALSE
"""

_PARTS = f"""
SELECT part, count(*), bit_xor(hashtextextended(row_text, 0)), bit_xor(hashtextextended(row_text, 1)),
       min(occurred_at), max(occurred_at)
FROM (SELECT part, occurred_at, ROW(r.*)::text AS row_text FROM ({_ROWS}) r) told
GROUP BY part ORDER BY part
"""  # noqa: S608 - our own text

_CHANGED = f"""
SELECT * FROM ({_ROWS}) r WHERE part = ANY(%(parts)s)
ORDER BY part, consumer_id, occurred_at DESC NULLS LAST, site_id, event_id, namespace, identifier
"""  # noqa: S608 - our own text


@dataclass(frozen=True, slots=True)
class Part:
    """A day's activity: how many rows, what they hash to, first and last time (microseconds, or None)."""

    key: str
    rows: int
    fingerprint: str
    first: int | None
    last: int | None


def list_parts(connection: Connection, *, until: datetime | None) -> list[Part]:
    """Every part as it is now; one empty part when there is no activity."""
    told = connection.execute(_PARTS, {"until": until}).fetchall()
    parts = [
        Part(key, rows, f"{one & _MASK:016x}{two & _MASK:016x}", first, last)
        for key, rows, one, two, first, last in told
    ]
    return parts or [Part(EMPTY, 0, "", None, None)]


def export_parts(
    connection: Connection, directory: Path, keys: Collection[str], *, until: datetime | None
) -> None:
    """Write `directory`/<key>.parquet for each key, by one reading of the table."""
    csv = directory / ".activity.csv"
    copy_to(csv, connection, _CHANGED, {"until": until, "parts": sorted(keys)})
    _split(csv, directory)
    csv.unlink()
    if EMPTY in keys:
        pq.write_table(_ACTIVITY.schema.empty_table(), directory / f"{EMPTY}.parquet", compression="zstd")


def _split(csv: Path, directory: Path) -> None:
    open_key = None
    with ExitStack() as stack:
        for key, rows in _runs(csv):
            if key != open_key:
                stack.close()
                path = directory / f"{key}.parquet"
                writer = stack.enter_context(pq.ParquetWriter(path, _ACTIVITY.schema, compression="zstd"))
                open_key = key
            writer.write_batch(rows)


def _runs(csv: Path) -> Iterator[tuple[str, pa.RecordBatch]]:
    batch: Any
    for batch in read_csv(csv, _COLUMNS, times=_ACTIVITY.times):
        start = 0
        for counted in batch["part"].value_counts().to_pylist():
            run = batch.slice(start, counted["counts"])
            yield counted["values"], _ACTIVITY.shape(run)
            start += counted["counts"]
