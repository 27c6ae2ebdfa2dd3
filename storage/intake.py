"""How any file is taken in: batch by batch, bad rows to quarantine, each file wholly or not at all."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import pyarrow as pa
from psycopg.errors import DeadlockDetected

from storage.activity import quarantine
from storage.database import Connection, Database
from storage.errors import InvalidValue
from storage.events import NO_CONSENT, Rejection
from storage.files import FileRow, check_files, read_batches

LONGEST_PAYLOAD = 1_000_000
ATTEMPTS = 5
Row = TypeVar("Row")

#: Told after each batch: the file, how much of it is read (0 to 1), and its rows so far.
Progress = Callable[[Path, float, int], object]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the rows: ``read = stored + duplicate + quarantined``, always.

    Stored are rows that were new or changed something, duplicate those that said nothing new.
    `new_sites` were not in the network before.
    """

    stored: int = 0
    duplicate: int = 0
    quarantined: int = 0
    new_sites: tuple[str, ...] = ()

    @property
    def read(self) -> int:
        """Rows in the files."""
        return self.stored + self.duplicate + self.quarantined

    def __add__(self, other: "ImportReport") -> "ImportReport":
        return ImportReport(
            self.stored + other.stored,
            self.duplicate + other.duplicate,
            self.quarantined + other.quarantined,
            tuple(sorted({*self.new_sites, *other.new_sites})),
        )


class Intake(Protocol[Row]):
    """What one kind of row needs on its way in; a new one is made for each file."""

    @property
    def name(self) -> str:
        """What its rows are: activity, items, promotions or audiences."""

    @property
    def columns(self) -> Sequence[str]:
        """Fields it knows; others are left out."""

    @property
    def required(self) -> Sequence[str]:
        """Columns without which a file is refused."""

    def parse(self, fields: Mapping[str, Any], number: int, /) -> Row:
        """A checked row; raises InvalidValue with the reason when it is to be quarantined."""

    def take(self, connection: Connection, rows: Sequence[Row], /) -> Mapping[int, str]:
        """Take rows in; returns the reasons of those that are turned away after all, by index."""

    def finish(self, connection: Connection, n_rows: int, /) -> ImportReport:
        """End the file; of the `n_rows` that were not turned away, say what became of each."""


@runtime_checkable
class ColumnIntake(Protocol):
    """An intake that can take many rows at once."""

    def take_columns(
        self, connection: Connection, batch: pa.RecordBatch, numbers: Sequence[int], /
    ) -> list[int]:
        """Take the rows in that are plain; returns the indices of those to be looked at one by one."""


def import_files(
    database: Database,
    files: Sequence[Path],
    *,
    source: str,
    intake: Callable[[Connection], Intake[Row]],
    progress: Progress | None = None,
) -> ImportReport:
    """Take files in, one transaction each: what is interrupted leaves nothing of its file behind."""
    check_files(files)
    report = ImportReport()
    for file in files:

        def work(connection: Connection, file: Path = file) -> ImportReport:
            return _import_file(connection, file, intake(connection), source=source, progress=progress)

        report += in_transaction(database, work)
    return report


def in_transaction(database: Database, work: Callable[[Connection], ImportReport]) -> ImportReport:
    """Do work in one transaction; done again from the start when the server broke a deadlock at its cost."""
    for _ in range(ATTEMPTS - 1):
        with suppress(DeadlockDetected), database.connection() as connection:
            return work(connection)
    with database.connection() as connection:
        return work(connection)


def take_rows(
    connection: Connection, intake: Intake[Any], rows: Sequence[FileRow]
) -> list[tuple[FileRow, str]]:
    """Take in what is good; returns the rows that are not, with the reasons."""
    accepted, parsed, rejected = [], [], []
    for row in rows:
        try:
            parsed.append(_parse(intake, row))
            accepted.append(row)
        except InvalidValue as error:
            rejected.append((row, str(error)))
    late = intake.take(connection, parsed)
    return rejected + [(accepted[index], reason) for index, reason in late.items()]


def _import_file(
    connection: Connection, file: Path, intake: Intake[Any], *, source: str, progress: Progress | None
) -> ImportReport:
    n_read = n_rejected = 0
    for batch in read_batches(file, columns=intake.columns, required=intake.required):
        odd = None
        if batch.columns is not None and isinstance(intake, ColumnIntake):
            odd = intake.take_columns(connection, batch.columns, batch.numbers)
        rows = batch.rows(odd)
        rejected = take_rows(connection, intake, rows) if rows else []
        _quarantine_rows(connection, file, rejected, source=source, intake=intake.name)
        n_read, n_rejected = n_read + batch.n_rows, n_rejected + len(rejected)
        if progress is not None:
            progress(file, batch.fraction, n_read)
    return intake.finish(connection, n_read - n_rejected) + ImportReport(quarantined=n_rejected)


def _parse(intake: Intake[Any], row: FileRow) -> Any:
    if row.fields is None:
        raise InvalidValue(row.reason)
    return intake.parse(row.fields, row.number)


def _quarantine_rows(
    connection: Connection, file: Path, rejected: Sequence[tuple[FileRow, str]], *, source: str, intake: str
) -> None:
    rejections, keys = [], []
    for row, reason in rejected:
        text = row.text if row.fields is None else json.dumps(row.fields, default=_as_json)
        location = f"{file.name}:{row.number}"
        # Of events without consent nothing but the reason may be kept.
        payload = None if reason == NO_CONSENT else _storable(text[:LONGEST_PAYLOAD])
        rejections.append(Rejection(_storable(reason), source, location, payload))
        keys.append(hashlib.sha256(f"{source}\0{location}\0{text}".encode("utf-8", "replace")).digest())
    quarantine(connection, rejections, row_keys=keys, intake=intake)


def _as_json(value: object) -> object:
    """Times as text, which reads back the same; anything else such that it is refused again."""
    if isinstance(value, date):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else {type(value).__name__: str(value)}


def _storable(text: str) -> str:
    """Without what PostgreSQL cannot keep in a text: NUL, and bytes that were not UTF-8."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()
