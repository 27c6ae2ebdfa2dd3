"""Reads the rows of Parquet, CSV and JSON Lines files, batch by batch, each with the place where it stood."""

import csv
import gzip
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from storage.errors import UnreadableFile

BATCH_ROWS = 10_000
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
    """Some rows in a row, and how much of the file is read with them (0 to 1)."""

    rows: Sequence[FileRow]
    fraction: float


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
            rows = _read_csv(file, text, columns, required) if is_csv else _read_jsonl(text, columns)
            while batch := list(islice(rows, BATCH_ROWS)):
                yield RowBatch(batch, min(raw.tell() / size, 1.0))
    except (OSError, EOFError) as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error


def _read_parquet(file: Path, columns: Sequence[str], required: Sequence[str]) -> Iterator[RowBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as parquet:
            _require(file, parquet.schema_arrow.names, required)
            wanted = [name for name in parquet.schema_arrow.names if name in columns]
            total, number = max(parquet.metadata.num_rows, 1), 0
            for batch in parquet.iter_batches(BATCH_ROWS, columns=wanted):
                rows = [FileRow(number + i, row) for i, row in enumerate(batch.to_pylist(), start=1)]
                number += len(rows)
                yield RowBatch(rows, number / total)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"{file} cannot be read: {error}") from error


def _as_text(file: Path, raw: io.BufferedReader) -> io.TextIOWrapper:
    stream = gzip.GzipFile(fileobj=raw) if file.suffix == ".gz" else raw
    # Bytes that are not UTF-8 become surrogates, which no field may hold: the row is refused, not the file.
    return io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="")


def _read_csv(
    file: Path, text: io.TextIOWrapper, columns: Sequence[str], required: Sequence[str]
) -> Iterator[FileRow]:
    reader = csv.reader(text, strict=True)
    csv.field_size_limit(64 * 1024 * 1024)  # what a promotion covers may be a long list
    header = next(reader, [])
    _require(file, header, required)
    wanted = [(index, name) for index, name in enumerate(header) if name in columns]
    while True:
        line = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield FileRow(line, None, f"not CSV: {error}")
            continue
        if len(values) == len(header):
            yield FileRow(line, {name: values[index] for index, name in wanted})
        elif values:
            reason = f"{len(values)} fields under {len(header)} columns"
            yield FileRow(line, None, reason, ",".join(values))


def _read_jsonl(text: io.TextIOWrapper, columns: Sequence[str]) -> Iterator[FileRow]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield FileRow(number, None, f"not JSON: {error}", line.rstrip())
            continue
        if isinstance(value, dict):
            yield FileRow(number, {name: value[name] for name in columns if name in value})
        else:
            yield FileRow(number, None, "not a JSON object", line.rstrip())


def _require(file: Path, names: Sequence[str], required: Sequence[str]) -> None:
    missing = [name for name in required if name not in names]
    if missing:
        have = ", ".join(names) or "none"
        raise UnreadableFile(f"{file} has no column {', '.join(missing)}; its columns: {have}")
