"""How fast activity becomes matrices: `python -m benchmarks.features [--events N] [--json FILE]`.

Synthetic events in a Parquet file, in no order, become one CSR matrix a kind by `build_interactions`; beside
it a bare DuckDB group-by with the same decay brings the same columns, consumer, site, item, kind and sum, to
Arrow, without a cap and without making matrices of them. Each measurement is in a fresh process, and the two
take turns.
"""

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.report import Figures, at_least_one, run

AS_OF = datetime(2026, 1, 1, 12, tzinfo=UTC)
HALF_LIFE_DAYS = 30.0
OURS, DUCKDB = "build_interactions", "duckdb group-by"

_N_SITES = 24
_EVENTS_PER_CONSUMER = 20
_EVENTS_PER_ITEM = 40
_KINDS = ("page_view", "product_review", "purchase")
_SHARES = (0.7, 0.2, 0.1)
_BATCH = 1_000_000
_SECONDS_OF_A_YEAR = 365 * 86_400

_GROUP_BY = """
SELECT consumer_id, site_id, item_id, kind,
       sum(pow(2, -greatest($day - epoch_us(occurred_at) // 86400000000, 0) / $half_life)) AS worth
FROM read_parquet($path)
WHERE kind IN ('page_view', 'product_review', 'purchase') AND item_id IS NOT NULL
GROUP BY consumer_id, site_id, item_id, kind
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "features",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(options.events, rounds=options.rounds),
        table=_table,
    )
    return 0


def measure(n_events: int, *, rounds: int = 5) -> Figures:
    """Both ways in turn, `rounds` times; medians of seconds, the greatest peak of memory."""
    told: dict[str, list[dict[str, float]]] = {OURS: [], DUCKDB: []}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "activity.parquet"
        _in_fresh_process(write_events, path, n_events)
        for _ in range(rounds):
            told[DUCKDB].append(_in_fresh_process(group_by, path))
            told[OURS].append(_in_fresh_process(build, path))
    rows = [{"way": way, "n_events": n_events, "rounds": rounds, **_middle(of)} for way, of in told.items()]
    ours, duckdb = rows
    return {
        "ratios": {"features_vs_duckdb": ours["seconds"] / duckdb["seconds"]},
        "peak_bytes": ours["peak_bytes"],
        "rows": rows,
    }


def write_events(path: Path, n_events: int, random_state: int = 0) -> None:
    """Write events of a year: a few consumers and items have many, most have few, in no order."""
    random = np.random.default_rng(random_state)
    n_consumers = max(n_events // _EVENTS_PER_CONSUMER, 1)
    n_items = max(n_events // _EVENTS_PER_ITEM, 1)
    consumers = np.array([f"consumer-{number:08x}" for number in random.permutation(n_consumers)])
    items = np.array([f"item-{number:07d}" for number in range(n_items)])
    sites = np.array([f"site-{number:02d}" for number in range(_N_SITES)])
    midnight = int(AS_OF.timestamp())
    writer: pq.ParquetWriter | None = None
    try:
        for start in range(0, n_events, _BATCH):
            n = min(_BATCH, n_events - start)
            item = _skewed(random, n, n_items)
            ages = random.integers(0, _SECONDS_OF_A_YEAR, n)
            times = pa.array((midnight - ages) * 1_000_000, pa.timestamp("us", tz="UTC"))
            kinds = random.choice(len(_KINDS), n, p=_SHARES)
            batch = pa.table(
                {
                    "consumer_id": consumers[_skewed(random, n, n_consumers)],
                    "site_id": sites[item % _N_SITES],
                    "item_id": items[item],
                    "kind": np.array(_KINDS)[kinds],
                    "occurred_at": times,
                }
            )
            writer = writer or pq.ParquetWriter(path, batch.schema, compression="zstd")
            writer.write_table(batch)
    finally:
        if writer is not None:
            writer.close()


def build(path: Path) -> dict[str, float]:
    """Our way, in this process."""
    import features.cells  # noqa: F401 - what it imports is no part of the work
    from features.interactions import build_interactions
    from features.weights import InteractionWeights
    from training.memory import PeakMemory

    with PeakMemory() as memory:
        started = time.perf_counter()
        made = build_interactions(path, InteractionWeights(half_life_days=HALF_LIFE_DAYS), as_of=AS_OF)
        seconds = time.perf_counter() - started
    n_cells = sum(matrix.nnz for matrix in made.by_kind.values())
    return {"seconds": seconds, "peak_bytes": memory.bytes, "n_cells": n_cells}


def group_by(path: Path) -> dict[str, float]:
    """DuckDB alone, in this process."""
    import duckdb

    from training.memory import PeakMemory

    day = (AS_OF.date() - date(1970, 1, 1)).days
    with duckdb.connect() as connection, PeakMemory() as memory:
        connection.execute("SET enable_progress_bar = false")
        started = time.perf_counter()
        values = {"day": day, "half_life": HALF_LIFE_DAYS, "path": str(path)}
        cells = connection.execute(_GROUP_BY, values).to_arrow_table()
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_bytes": memory.bytes, "n_cells": cells.num_rows}


def _skewed(random: np.random.Generator, n: int, n_ids: int) -> NDArray[np.int64]:
    return (random.random(n) ** 3 * n_ids).astype(np.int64)


def _in_fresh_process(work: Any, *arguments: Any) -> Any:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def _middle(of: list[dict[str, float]]) -> dict[str, Any]:
    return {
        "seconds": statistics.median(one["seconds"] for one in of),
        "fastest_seconds": min(one["seconds"] for one in of),
        "peak_bytes": int(max(one["peak_bytes"] for one in of)),
        "n_cells": int(of[0]["n_cells"]),
    }


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--events", type=at_least_one, default=10_000_000, metavar="N", help="default: 10 million"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="default: 5")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'way':<20} {'events':>12} {'cells':>12} {'seconds':>8} {'peak MB':>8}"
    for row in figures["rows"]:
        yield (
            f"{row['way']:<20} {row['n_events']:>12,} {row['n_cells']:>12,} {row['seconds']:>8.2f} "
            f"{row['peak_bytes'] / 1e6:>8.0f}"
        )


if __name__ == "__main__":
    sys.exit(main())
