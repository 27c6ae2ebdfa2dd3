"""Events that carry their number, so that one can say afterwards which of them are stored, and how often."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.database import Database

SITES = tuple(f"site-{number}" for number in range(5))
FORMATS = ("parquet", "csv", "jsonl")
Numbers = NDArray[np.int64]

_EPOCH = np.datetime64("2024-01-01T00:00:00", "s")
_CONSUMERS = 5_000
_KIND, _RUBBISH = "page_view", "stare"


@dataclass(frozen=True, slots=True)
class Count:
    """What is stored beside what should be.

    Attributes
    ----------
    lost, doubled
        Events that are missing, and those that are there once too often.
    """

    stored: int
    lost: int
    doubled: int

    @property
    def exact(self) -> bool:
        """Whether what should be there is, once, and nothing else."""
        return self.lost == self.doubled == 0


def with_replays(random: np.random.Generator, first: int, n_rows: int, *, share: float = 0.3) -> Numbers:
    """Numbers from `first` on in no order; `share` of the rows are replays of others."""
    distinct = np.arange(first, first + max(round(n_rows * (1 - share)), 1))
    again = random.choice(distinct, n_rows - len(distinct))
    return random.permutation(np.concatenate([distinct, again]))


def columns_of(numbers: Numbers, *, with_ids: bool = True) -> dict[str, list[str]]:
    """The fields of these events."""
    times = np.datetime_as_string(_EPOCH + numbers.astype("m8[s]"), unit="s")
    fields = {
        "consumer_id": [f"consumer-{number * 7919 % _CONSUMERS}" for number in numbers.tolist()],
        "site_id": [SITES[number % len(SITES)] for number in numbers.tolist()],
        "kind": [_KIND] * len(numbers),
        "item_id": [f"item-{number * 31 % 1009}" for number in numbers.tolist()],
        "occurred_at": [f"{time}Z" for time in times.tolist()],
    }
    return fields | ({"event_id": event_ids(numbers)} if with_ids else {})


def event_ids(numbers: Numbers) -> list[str]:
    """The ids of these events."""
    return [f"e{number}" for number in numbers.tolist()]


def as_requests(numbers: Numbers) -> list[dict[str, str]]:
    """The same as a batch for HTTP."""
    fields = columns_of(numbers)
    return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]


def write_file(
    path: Path, numbers: Numbers, *, with_ids: bool = True, rubbish: Sequence[int] = ()
) -> list[str]:
    """Write events to a file of the format that its name says.

    Parameters
    ----------
    rubbish
        Indices of rows that are spoilt.

    Returns
    -------
    list
        Where the spoilt rows stand, as quarantine tells it.
    """
    fields = columns_of(numbers, with_ids=with_ids)
    for row in rubbish:
        fields["kind"][row] = _RUBBISH
    table = pa.table(fields)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        pa.csv.write_csv(table, path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()), encoding="utf-8")
    first = 2 if path.suffix == ".csv" else 1
    return [f"{path.name}:{row + first}" for row in rubbish]


def compare(database: Database, expected: Numbers) -> Count:
    """Count what is stored.

    Parameters
    ----------
    expected
        How often each number should be there.

    Raises
    ------
    RuntimeError
        When an event says something else than was sent.
    """
    stored = np.zeros(len(expected), dtype=np.int64)
    for numbers in _stored(database):
        stored += np.bincount(numbers, minlength=len(expected))
    return Count(
        stored=int(stored.sum()),
        lost=int(np.maximum(expected - stored, 0).sum()),
        doubled=int(np.maximum(stored - expected, 0).sum()),
    )


def _stored(database: Database) -> Iterator[Numbers]:
    names = ("identifier", "site_id", "kind", "item_id")
    query = f"SELECT occurred_at, {', '.join(names)} FROM activity"  # noqa: S608 - built from constants
    epoch = int(_EPOCH.astype(np.int64))
    with database.connection() as connection, connection.cursor(name="stored") as cursor:
        cursor.itersize = 50_000
        cursor.execute(query)
        while rows := cursor.fetchmany(cursor.itersize):
            times, *fields = zip(*rows, strict=True)
            numbers = np.array([int(time.timestamp()) - epoch for time in times])
            _check(numbers, dict(zip(names, fields, strict=True)))
            yield numbers


def _check(numbers: Numbers, stored: dict[str, Any]) -> None:
    sent = columns_of(numbers)
    for name, values in stored.items():
        wanted = sent["consumer_id" if name == "identifier" else name]
        for number, value, want in zip(numbers.tolist(), values, wanted, strict=True):
            if value != want:
                raise RuntimeError(f"event {number} was sent with {name} {want!r} and stored with {value!r}")
