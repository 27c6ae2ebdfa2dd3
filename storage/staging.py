"""Rows on their way into a table: copied into a temporary one first, then merged by a single statement."""

from collections.abc import Iterable, Mapping, Sequence

from psycopg import sql

from storage.database import Connection


def stage(connection: Connection, table: str, columns: Mapping[str, str]) -> None:
    """Make the empty temporary table `table`, gone with the transaction; it numbers its rows as they come."""
    name = sql.Identifier(table)
    fields = [
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(type_)) for column, type_ in columns.items()
    ]
    connection.execute(sql.SQL("DROP TABLE IF EXISTS pg_temp.{}").format(name))
    connection.execute(
        sql.SQL(
            "CREATE TEMPORARY TABLE {} (row_number bigint GENERATED ALWAYS AS IDENTITY, {}) ON COMMIT DROP"
        ).format(name, sql.SQL(", ").join(fields))
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


def analyze(connection: Connection, table: str) -> None:
    """Let the planner know how much was staged: it takes an unknown table for a small one."""
    connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
