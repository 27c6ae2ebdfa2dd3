"""One database query → one Parquet file, by COPY and in batches: memory does not grow with the table."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from storage.database import Connection


@dataclass(frozen=True, slots=True)
class ExportedTable:
    """A table of the snapshot: its query (activity is read in parts), columns, and those that are times."""

    name: str
    query: str
    columns: tuple[str, ...]
    times: tuple[str, ...] = ()

    @property
    def schema(self) -> pa.Schema:
        """Times in microseconds of UTC, all else text."""
        time = pa.timestamp("us", tz="UTC")
        return pa.schema([(name, time if name in self.times else pa.string()) for name in self.columns])

    def shape(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The table's columns of what was read from CSV."""
        columns = [batch[field.name].cast(field.type) for field in self.schema]
        return pa.record_batch(columns, schema=self.schema)


TABLES = (
    ExportedTable(
        "activity",
        "",
        (
            "consumer_id", "namespace", "identifier", "site_id", "event_id", "kind", "item_id",
            "promotion_id", "source_id", "occurred_at",
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


def export_table(connection: Connection, table: ExportedTable, directory: Path) -> int:
    """Write `directory`/<name>.parquet and return its number of rows."""
    csv = directory / f"{table.name}.csv"
    copy_to(csv, connection, table.query)
    rows = 0
    with pq.ParquetWriter(directory / f"{table.name}.parquet", table.schema, compression="zstd") as writer:
        for batch in read_csv(csv, table.columns, times=table.times):
            writer.write_batch(table.shape(batch))
            rows += batch.num_rows
    csv.unlink()
    return rows


def copy_to(
    csv: Path, connection: Connection, query: str, parameters: Mapping[str, Any] | None = None
) -> None:
    """Write what a query answers as CSV."""
    statement = f"COPY ({query}) TO STDOUT (FORMAT csv)"
    with connection.cursor() as cursor, csv.open("wb") as file, cursor.copy(statement, parameters) as copy:
        for block in copy:
            file.write(block)


def read_csv(
    csv: Path, columns: Sequence[str], *, times: Collection[str]
) -> "pa.csv.CSVStreamingReader | list[pa.RecordBatch]":
    """What `copy_to` wrote, in batches; times are still numbers."""
    if csv.stat().st_size == 0:
        return []
    return pa.csv.open_csv(
        csv,
        read_options=pa.csv.ReadOptions(column_names=list(columns), block_size=8 << 20),
        parse_options=pa.csv.ParseOptions(newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types={name: pa.int64() if name in times else pa.string() for name in columns},
            # PostgreSQL writes null as nothing and empty text as "".
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
