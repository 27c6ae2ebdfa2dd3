"""Rows on their way into a table: copied into a temporary one first, then merged by a single statement."""

from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.csv
from psycopg import sql

from storage.database import Connection


def stage(connection: Connection, table: str, columns: Mapping[str, str], *, numbered: bool = True) -> None:
    """Make the empty temporary table `table`, gone with the transaction; it numbers its rows as they come.

    Parameters
    ----------
    numbered
        False: `columns` has a `row_number` of its own, or needs none.
    """
    name = sql.Identifier(table)
    fields: list[sql.Composable] = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(type_)) for column, type_ in columns.items()
    ]
    if numbered:
        fields.insert(0, sql.SQL("row_number bigint GENERATED ALWAYS AS IDENTITY"))
    connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(name))
    connection.execute(
        sql.SQL("CREATE TEMPORARY TABLE {} ({}) ON COMMIT DROP").format(name, sql.SQL(", ").join(fields))
    )


def copy_rows(
    connection: Connection, table: str, columns: Iterable[str], rows: Iterable[Sequence[object]]
) -> None:
    """Add rows to a table with COPY."""
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row(row)


def copy_table(connection: Connection, table: str, rows: pa.Table) -> None:
    """Add an Arrow table to a table with COPY; the columns go by name."""
    text = pa.BufferOutputStream()
    # Every text in quotes, and nothing without: as PostgreSQL tells an empty text from a null.
    options = pa.csv.WriteOptions(include_header=False, quoting_style="all_valid")
    pa.csv.write_csv(rows, text, options)
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.write(memoryview(text.getvalue()))
