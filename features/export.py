"""One database query → one Parquet file, by COPY and in batches: memory does not grow with the table."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """A table of the snapshot: its query, its columns, and those that are times (in microseconds)."""

    name: str
    query: str
    columns: tuple[str, ...]
    times: tuple[str, ...] = ()


TABLES = (
    ExportedTable(
        "activity",
        """
        SELECT i.consumer_id, a.namespace, a.identifier, a.site_id, a.event_id, a.kind, a.item_id,
               a.promotion_id, (extract(epoch FROM a.occurred_at) * 1000000)::bigint
        FROM usable_activity a JOIN identifier i USING (namespace, identifier)
        WHERE a.cross_site AND (a.occurred_at <= %(until)s::timestamptz) IS NOT FALSE
        ORDER BY i.consumer_id, a.occurred_at DESC NULLS LAST, a.site_id, a.event_id,
                 a.namespace, a.identifier
        """,
        (
            "consumer_id", "namespace", "identifier", "site_id", "event_id", "kind", "item_id",
            "promotion_id", "occurred_at",
        ),
        times=("occurred_at",),
    ),
    ExportedTable(
        "items",
        "SELECT site_id, item_id, title, category, attributes FROM item ORDER BY site_id, item_id",
        ("site_id", "item_id", "title", "category", "attributes"),
    ),
    ExportedTable(
        "promotions",
        """
        SELECT promotion_id, subscriber_id, title, body, audience_id, status,
               (extract(epoch FROM starts_at) * 1000000)::bigint,
               (extract(epoch FROM ends_at) * 1000000)::bigint
        FROM promotion ORDER BY promotion_id
        """,
        ("promotion_id", "subscriber_id", "title", "body", "audience_id", "status", "starts_at", "ends_at"),
        times=("starts_at", "ends_at"),
    ),
    ExportedTable(
        "coverage",
        """
        SELECT promotion_id, site_id, item_id FROM promotion_item
        UNION
        SELECT promotion_id, site_id, item_id FROM promotion_category JOIN item USING (site_id, category)
        ORDER BY promotion_id, site_id, item_id
        """,
        ("promotion_id", "site_id", "item_id"),
    ),
    ExportedTable(
        "promotion_sites",
        "SELECT promotion_id, site_id FROM promotion_site ORDER BY promotion_id, site_id",
        ("promotion_id", "site_id"),
    ),
    ExportedTable(
        "audience",
        "SELECT audience_id, consumer_id FROM audience_member ORDER BY audience_id, consumer_id",
        ("audience_id", "consumer_id"),
    ),
)  # fmt: skip


def export_table(
    connection: Connection, table: ExportedTable, directory: Path, *, until: datetime | None
) -> int:
    """Write `directory`/<name>.parquet and return its number of rows; `until` leaves later activity out."""
    csv = directory / f"{table.name}.csv"
    parameters = {"until": until} if "%(until)s" in table.query else None
    statement = f"COPY ({table.query}) TO STDOUT (FORMAT csv)"
    with connection.cursor() as cursor, csv.open("wb") as file, cursor.copy(statement, parameters) as copy:
        for block in copy:
            file.write(block)
    rows = _to_parquet(csv, table, directory / f"{table.name}.parquet")
    csv.unlink()
    return rows


def _to_parquet(csv: Path, table: ExportedTable, path: Path) -> int:
    time = pa.timestamp("us", tz="UTC")
    schema = pa.schema([(name, time if name in table.times else pa.string()) for name in table.columns])
    rows = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for batch in _read_csv(csv, table):
            columns = [
                batch[name].cast(time) if name in table.times else batch[name] for name in table.columns
            ]
            writer.write_batch(pa.record_batch(columns, schema=schema))
            rows += batch.num_rows
    return rows


def _read_csv(csv: Path, table: ExportedTable) -> "pa.csv.CSVStreamingReader | list[pa.RecordBatch]":
    if csv.stat().st_size == 0:
        return []
    return pa.csv.open_csv(
        csv,
        read_options=pa.csv.ReadOptions(column_names=list(table.columns), block_size=8 << 20),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.int64() if name in table.times else pa.string() for name in table.columns},
            # PostgreSQL writes null as nothing and empty text as "".
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
