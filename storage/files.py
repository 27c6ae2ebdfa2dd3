"""Reads the rows of Parquet, CSV and JSON Lines files, batch by batch, each with the place where it stood."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import attrgetter, itemgetter
from pathlib import Path
from typing import Any

import pyarrow as pa

from storage.errors import UnreadableFile

BATCH_ROWS = 50_000
FORMATS = ("parquet", "csv", "jsonl")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One row: its fields, or the reason why it has none.

    Attributes
    ----------
    number
        The line in a text file, the row in a Parquet file; from 1.
    fields
        By column; None for a row that cannot be read.
    reason, text
        Why not, and what stood there.
    """

    number: int
    fields: dict[str, Any] | None
    reason: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Some rows one after the other.

    Attributes
    ----------
    numbers
        Of the rows that can be read, as in `FileRow`.
    fields_at
        Gives the fields of those at some indices.
    columns
        The same rows as a table, for whoever looks at many at once; None when their types are mixed.
    unreadable
        The other rows.
    fraction
        How much of the file is read with these (0 to 1).
    """

    numbers: Sequence[int]
    fields_at: Callable[[Sequence[int]], list[dict[str, Any]]]
    columns: pa.RecordBatch | None
    unreadable: Sequence[FileRow]
    fraction: float

    def rows(self, only: Sequence[int] | None = None) -> list[FileRow]:
        """All rows, or those readable ones that `only` counts and the unreadable; in order."""
        indices = range(len(self.numbers)) if only is None else only
        fields = self.fields_at(indices)
        rows = [FileRow(self.numbers[index], values) for index, values in zip(indices, fields, strict=True)]
        return sorted([*rows, *self.unreadable], key=attrgetter("number")) if self.unreadable else rows

    @property
    def n_rows(self) -> int:
        """Rows in the batch, the unreadable ones too."""
        return len(self.numbers) + len(self.unreadable)


def check_files(files: Sequence[Path]) -> None:
    """Raise UnreadableFile for the first that is not there or of no known format, before anything is read."""
    for file in files:
        if not file.is_file():
            raise UnreadableFile(f"no such file: {file}")
        format_of(file)


def format_of(file: Path) -> str:
    """One of `FORMATS`, by the name; ``.gz`` may follow csv and jsonl."""
    suffixes = [suffix.lstrip(".").lower() for suffix in file.suffixes]
    if suffixes and suffixes[-1] == "gz":
        suffixes.pop()
    name = {"ndjson": "jsonl", "pq": "parquet"}.get(suffixes[-1], suffixes[-1]) if suffixes else ""
    if name not in FORMATS:
        raise UnreadableFile(f"{file} is of no known format; the name must end in .{', .'.join(FORMATS)}")
    return name


def read_batches(file: Path, *, columns: Sequence[str], required: Sequence[str]) -> Iterator[RowBatch]:
    """The rows of a file, in order; fields other than `columns` are left out.

    Raises
    ------
    UnreadableFile
        When the file is damaged, or lacks one of the columns `required`.
    """
    if format_of(file) == "parquet":
        yield from _read_parquet(file, columns, required)
        return
    size = max(file.stat().st_size, 1)
    try:
        with file.open("rb") as raw, closing(_as_text(file, raw)) as text:
            is_csv = format_of(file) == "csv"
            read = _read_csv(file, text, columns, required) if is_csv else _read_jsonl(text, columns)
            while lines := list(islice(read.lines, BATCH_ROWS)):
                yield _text_batch(read, lines, min(raw.tell() / size, 1.0))
    except (OSError, EOFError) as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error


def _read_parquet(file: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[RowBatch]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            _require(file, parquet.schema_arrow.names, required)
            wanted = [name for name in parquet.schema_arrow.names if name in columns]
            total, read = max(parquet.metadata.num_rows, 1), 0
            for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
                numbers = range(read + 1, read + 1 + len(batch))
                read += len(batch)
                yield RowBatch(numbers, partial(_parquet_fields, batch), batch, (), read / total)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error


def _parquet_fields(batch: pa.RecordBatch, indices: Sequence[int]) -> list[dict[str, Any]]:
    if not indices:
        return []
    rows = batch if len(indices) == len(batch) else batch.take(pa.array(indices, pa.int64()))
    values = [_values(rows.column(name)) for name in rows.schema.names]
    return [dict(zip(rows.schema.names, row, strict=True)) for row in zip(*values, strict=True)]


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except (ValueError, OverflowError):
        return [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> object:
    """One that Python cannot hold (not UTF-8, or a time after the year 9999) as something to be refused."""
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return scalar.cast(pa.binary()).as_py().decode("utf-8", "surrogateescape")
    except (ValueError, OverflowError):
        return f"{scalar.type} {scalar.value}"


@dataclass(frozen=True, slots=True)
class _Text:
    """The lines of a text file: (number, values) in the order of `names`, or rows that cannot be read.

    Values are None for what a row leaves out, if `is_sparse`.
    """

    names: Sequence[str]
    lines: Iterator[tuple[int, Sequence[Any]] | FileRow]
    is_sparse: bool = False

    def fields(self, values: Sequence[Any]) -> dict[str, Any]:
        named = zip(self.names, values, strict=True)
        return {name: value for name, value in named if not (self.is_sparse and value is None)}


def _text_batch(
    read: _Text, lines: Sequence[tuple[int, Sequence[Any]] | FileRow], fraction: float
) -> RowBatch:
    unreadable = [line for line in lines if isinstance(line, FileRow)]
    good = [line for line in lines if not isinstance(line, FileRow)]
    return RowBatch(
        [number for number, _ in good],
        lambda indices: [read.fields(good[index][1]) for index in indices],
        _as_columns(read.names, [values for _, values in good]),
        unreadable,
        fraction,
    )


def _as_columns(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> pa.RecordBatch | None:
    try:
        columns = [pa.array(values) for values in zip(*rows, strict=True)]
        return pa.record_batch(columns, names=list(names))
    except (pa.ArrowException, UnicodeError, OverflowError, ValueError):
        return None


def _as_text(file: Path, raw: io.BufferedReader) -> io.TextIOWrapper:
    stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
    # Bytes that are not UTF-8 become surrogates, which no field may hold: the row is refused, not the file.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_csv(file: Path, text: io.TextIOWrapper, columns: Sequence[str], required: Sequence[str]) -> _Text:
    reader = csv.reader(text, strict=True)
    csv.field_size_limit(64 * 1024 * 1024)  # what a promotion covers may be a long list
    header = next(reader, [])
    _require(file, header, required)
    wanted = {name: index for index, name in enumerate(header) if name in columns}
    return _Text(list(wanted), _csv_lines(reader, len(header), list(wanted.values())))


def _csv_lines(
    reader: Any, n_columns: int, wanted: Sequence[int]
) -> Iterator[tuple[int, Sequence[Any]] | FileRow]:
    pick = itemgetter(*wanted) if len(wanted) > 1 else lambda values: (values[wanted[0]],)
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield FileRow(line, None, f"not CSV: {error}")
            continue
        if len(values) == n_columns:
            yield line, pick(values)
        elif values:
            reason = f"{len(values)} fields under {n_columns} columns"
            yield FileRow(line, None, reason, ",".join(values))


def _read_jsonl(text: io.TextIOWrapper, columns: Sequence[str]) -> _Text:
    return _Text(columns, _jsonl_lines(text, columns), is_sparse=True)


def _jsonl_lines(
    text: io.TextIOWrapper, columns: Sequence[str]
) -> Iterator[tuple[int, Sequence[Any]] | FileRow]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield FileRow(number, None, f"not JSON: {error}", line.rstrip())
            continue
        if isinstance(value, dict):
            yield number, [value.get(name) for name in columns]
        else:
            yield FileRow(number, None, "not a JSON object", line.rstrip())


def _require(file: Path, names: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        have = ", ".join(names) or "none"
        raise UnreadableFile(f"{file} has no column {', '.join(missing)}; its columns: {have}")
