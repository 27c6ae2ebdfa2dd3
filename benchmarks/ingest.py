"""Events in, by file and over HTTP: `python -m benchmarks.ingest [--rows N] [--sent N] [--json FILE]`.

Takes N events in by `storage.imports.import_activity`, and the same rows by a bare COPY into a table of the
same columns, keys and indexes on the same server. `import_vs_copy` is COPY's time divided by the import's.
Then sends events to the real service, in batches and one by one: `benchmarks.ingest_http` tells beside what.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from benchmarks.ingest_http import measure_http
from benchmarks.report import Figures, at_least_one, run
from storage.activity import EVENT_COLUMNS
from storage.database import Connection, Database
from storage.embedded import EmbeddedPostgres
from storage.imports import import_activity
from storage.schema import migrate

NOW = datetime(2026, 1, 1, tzinfo=UTC)
YEAR_S = 365 * 24 * 3600
WITH_IDS, WITHOUT_IDS, CSV = "parquet", "parquet, ids derived", "csv"
BARE, KEYED = "copy, no keys", "copy, same keys"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "ingest",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=_measure_all,
        table=_table,
    )
    return 0


def _measure_all(options: argparse.Namespace) -> Figures:
    over_http = measure_http(
        make_events(options.sent, random_state=7), n_single=options.single, rounds=options.rounds
    )
    from_files = measure(options.rows, repeats=options.repeats)
    return {
        "ratios": {**from_files["ratios"], **over_http["ratios"]},
        "rows": [*from_files["rows"], *over_http["rows"]],
    }


def measure(n_rows: int, *, repeats: int = 3, random_state: int = 42) -> Figures:
    """Take the same rows in each way, `repeats` times, the ways in turn."""
    events = make_events(n_rows, random_state=random_state)
    with tempfile.TemporaryDirectory() as name, EmbeddedPostgres(Path(name) / "postgres") as server:
        folder = Path(name)
        ways = _ways(folder, events)
        with Database(server.url) as database:
            migrate(database)
            seconds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(repeats):
                for way, run in ways.items():
                    _empty(database)
                    began = time.perf_counter()
                    run(database)
                    seconds[way].append(time.perf_counter() - began)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    rows = [
        {"what": way, "per_second": n_rows / median, "seconds": median, "rows": n_rows, "runs": seconds[way]}
        for way, median in medians.items()
    ]
    return {"ratios": _ratios(medians), "rows": rows}


def make_events(n_rows: int, *, random_state: int) -> pa.Table:
    """Events of about n/50 consumers on five sites over a year, in no order, each with an id."""
    random = np.random.default_rng(random_state)
    consumers = random.integers(0, max(n_rows // 50, 1), n_rows)
    times = np.datetime64("2025-01-01T00:00:00", "us") + random.integers(0, YEAR_S, n_rows).astype("m8[s]")
    kinds = random.choice(["page_view", "product_review", "purchase"], n_rows, p=[0.8, 0.15, 0.05])
    return pa.table(
        {
            "event_id": [f"e{number:012d}" for number in random.permutation(n_rows)],
            "consumer_id": [f"consumer-{number}" for number in consumers],
            "site_id": [f"site-{number}" for number in random.integers(0, 5, n_rows)],
            "kind": kinds.tolist(),
            "item_id": [f"item-{int(number)}" for number in random.pareto(1.0, n_rows) * 100],
            "occurred_at": pa.array(times, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC")),
        }
    )


def _ways(folder: Path, events: pa.Table) -> dict[str, Callable[[Database], object]]:
    pq.write_table(events, folder / "events.parquet")
    pq.write_table(events.drop_columns(["event_id"]), folder / "no-ids.parquet")
    pa.csv.write_csv(events, folder / "events.csv")
    pa.csv.write_csv(_as_stored(events), folder / "stored.csv", pa.csv.WriteOptions(include_header=False))
    return {
        BARE: lambda database: _copy(database, folder / "stored.csv", like="activity INCLUDING DEFAULTS"),
        KEYED: lambda database: _copy(database, folder / "stored.csv", like="activity INCLUDING ALL"),
        WITH_IDS: lambda database: _import(database, folder / "events.parquet"),
        WITHOUT_IDS: lambda database: _import(database, folder / "no-ids.parquet"),
        CSV: lambda database: _import(database, folder / "events.csv"),
    }


def _as_stored(events: pa.Table) -> pa.Table:
    """The rows as the table of activity holds them."""
    n_rows = len(events)
    constants: dict[str, Any] = {
        "namespace": "network",
        "source_id": "bench",
        "same_site": True,
        "cross_site": True,
    }
    given: dict[str, Any] = {name: pa.repeat(value, n_rows) for name, value in constants.items()}
    given |= {"identifier": events["consumer_id"]}
    empty = pa.nulls(n_rows, pa.string())
    names = events.column_names
    return pa.table(
        {
            name: given[name] if name in given else events[name] if name in names else empty
            for name in EVENT_COLUMNS
        }
    )


def _copy(database: Database, csv: Path, *, like: str) -> None:
    with database.connection() as connection:
        connection.execute(f"CREATE TABLE copied (LIKE {like})")
        statement = f"COPY copied ({', '.join(EVENT_COLUMNS)}) FROM STDIN (FORMAT csv)"
        with connection.cursor() as cursor, cursor.copy(statement) as copy, csv.open("rb") as file:
            while block := file.read(1 << 20):
                copy.write(block)


def _import(database: Database, file: Path) -> None:
    report = import_activity(database, [file], source="bench", legal_basis="none needed: made up", now=NOW)
    if report.stored != report.read:
        raise RuntimeError(f"{file.name}: stored {report.stored} of {report.read}")


def _empty(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("DROP TABLE IF EXISTS copied")
        connection.execute("TRUNCATE activity, identifier, quarantine")
        connection.commit()
        _checkpoint(connection)


def _checkpoint(connection: Connection) -> None:
    """So that nobody pays for the writes of the one before."""
    connection.autocommit = True
    connection.execute("CHECKPOINT")
    connection.autocommit = False


def _ratios(medians: dict[str, float]) -> dict[str, float]:
    return {
        "import_vs_copy": medians[KEYED] / medians[WITH_IDS],
        "import_vs_copy_without_keys": medians[BARE] / medians[WITH_IDS],
        "import_without_ids_vs_copy": medians[KEYED] / medians[WITHOUT_IDS],
        "import_csv_vs_copy": medians[KEYED] / medians[CSV],
    }


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=at_least_one, default=1_000_000, metavar="N", help="events to take in")
    parser.add_argument(
        "--repeats", type=at_least_one, default=3, metavar="N", help="runs of each; medians count"
    )
    parser.add_argument(
        "--sent", type=at_least_one, default=20_000, metavar="N", help="events a round over HTTP, in batches"
    )
    parser.add_argument(
        "--single", type=at_least_one, default=5_000, metavar="N", help="and of these one by one"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="over HTTP; default: 5")


def _table(figures: Figures) -> Iterator[str]:
    for row in figures["rows"]:
        yield f"{row['what']:<32} {row['per_second']:12,.0f} a second"


if __name__ == "__main__":
    sys.exit(main())
