"""Takes quarantined rows of files in after all, as far as they are good by now.

Times come, limits move, code learns new words. A row that is good now is stored exactly once and leaves
quarantine. Events that came over HTTP are for their sender to send again: what they may say
depends on the key they came with, which is not kept.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from storage.database import Connection, Database
from storage.files import BATCH_ROWS, FileRow
from storage.imports import intake_of
from storage.intake import ImportReport, Intake, in_transaction, take_rows

#: Told after each batch: how many rows were tried so far, of how many.
ReplayProgress = Callable[[int, int], object]


def replay_quarantine(
    database: Database,
    *,
    source: str | None = None,
    now: datetime | None = None,
    progress: ReplayProgress | None = None,
) -> ImportReport:
    """Try the rows of one source or of all again; in the report, `quarantined` are those that stay.

    Rows without an event id are told apart by how many equal ones of their file stand before them in
    quarantine. Where equal rows of the file were good from the start, importing it again completes the count.
    """
    moment = now or datetime.now(UTC)
    with database.connection() as connection:
        groups = connection.execute(_GROUPS, {"source": source}).fetchall()
    total, tried = sum(group[-1] for group in groups), 0
    report = ImportReport()
    for intake_name, source_id, file, _ in groups:

        def tell(n_rows: int, before: int = tried) -> None:
            if progress is not None:
                progress(before + n_rows, total)

        def work(
            connection: Connection, group: tuple[str, str, str] = (intake_name, source_id, file)
        ) -> ImportReport:
            return _replay_file(connection, *group, now=moment, tell=tell)

        done = in_transaction(database, work)
        report, tried = report + done, tried + done.read
    return report


def _replay_file(
    connection: Connection,
    intake_name: str,
    source: str,
    file: str,
    *,
    now: datetime,
    tell: Callable[[int], object],
) -> ImportReport:
    intake = intake_of(intake_name, connection, source=source, now=now)
    last = n_read = n_good = 0
    while rows := _lock_rows(connection, (intake_name, source, file), after=last):
        by_number = {quarantine_id: _as_file_row(quarantine_id, payload) for quarantine_id, payload in rows}
        last, n_read = rows[-1][0], n_read + len(rows)
        bad = _settle(connection, intake, by_number)
        n_good += len(rows) - bad
        tell(n_read)
    return intake.finish(connection, n_good) + ImportReport(quarantined=n_read - n_good)


def _settle(connection: Connection, intake: Intake[Any], rows: dict[int, FileRow]) -> int:
    """Take in what is good and let it go; returns how many stay."""
    rejected = take_rows(connection, intake, list(rows.values()))
    bad = {row.number for row, _ in rejected}
    connection.execute("DELETE FROM quarantine WHERE quarantine_id = ANY(%s)", ([*(rows.keys() - bad)],))
    return len(bad)


def _lock_rows(connection: Connection, group: Sequence[str], *, after: int) -> list[tuple[int, str]]:
    return connection.execute(_ROWS, (*group, after, BATCH_ROWS)).fetchall()


def _as_file_row(number: int, payload: str) -> FileRow:
    try:
        fields = json.loads(payload)
    except (ValueError, RecursionError):
        fields = None
    readable = isinstance(fields, dict)
    return FileRow(number, fields if readable else None, "its fields could not be read")


# Without its content (no consent, or a line that was no row at all) nothing can be tried again.
_REPLAYABLE = "row_key IS NOT NULL AND payload IS NOT NULL"
_FILE = "regexp_replace(location, ':[0-9]+$', '')"

_GROUPS = f"""
SELECT intake, source_id, {_FILE}, count(*) FROM quarantine
WHERE {_REPLAYABLE} AND (%(source)s::text IS NULL OR source_id = %(source)s)
GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""  # noqa: S608 - built from constants

_ROWS = f"""
SELECT quarantine_id, payload FROM quarantine
WHERE intake = %s AND source_id = %s AND {_FILE} = %s AND {_REPLAYABLE} AND quarantine_id > %s
ORDER BY quarantine_id LIMIT %s FOR UPDATE
"""  # noqa: S608 - built from constants
