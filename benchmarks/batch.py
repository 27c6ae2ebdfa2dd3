"""Deciding for everybody: `python -m benchmarks.batch [--consumers N] [--rounds N] [--json FILE]`.

`tailor recommend --all` (histories from PostgreSQL, fold-in, 10,000 promotions with their rules, the file)
beside `implicit.recommend` with the same factors, consumers and candidates, one best each: folding them in
from a matrix that is there already, and with factors that are there already. Neither of the two reads or
writes anything. They take turns; medians of the rounds.
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
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.decision import make_als
from benchmarks.report import Figures, at_least_one, run
from benchmarks.stage import SITE, Stage, furnish, promote
from features.history_block import history_block
from models.als import FittedAls
from serving.batch import recommend_all
from storage.everyone import read_everyone

OURS = "tailor recommend --all"
FOLDING, GIVEN = "implicit.recommend, folding in", "implicit.recommend, consumers' factors given"
_N_EVENTS = 50


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "batch",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure(options.consumers, options.promotions, rounds=options.rounds),
        table=_table,
    )
    return 0


def measure(n_consumers: int, n_promotions: int, *, rounds: int) -> Figures:
    """Consumers a second, each way."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        stage = furnish(
            home, n_promotions=n_promotions, n_sites=2, n_consumers=n_consumers, n_events=_N_EVENTS
        )
        model = make_als(stage.items, 64)
        promote(stage, model, version="1")
        rows = _histories(stage, model)
        ways: dict[str, Callable[[], object]] = {
            OURS: lambda: _ours(stage),
            FOLDING: _theirs(model, rows, n_promotions=n_promotions, folding=True),
            GIVEN: _theirs(model, rows, n_promotions=n_promotions, folding=False),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                started = time.perf_counter()
                way()
                seconds[name].append(time.perf_counter() - started)
    rates = {name: n_consumers / statistics.median(took) for name, took in seconds.items()}
    return {
        "ratios": {
            "batch_vs_implicit": rates[OURS] / rates[FOLDING],
            "batch_vs_implicit_given": rates[OURS] / rates[GIVEN],
        },
        "consumers": n_consumers,
        "promotions": n_promotions,
        "rows": [{"way": name, "per_second": rate} for name, rate in rates.items()],
    }


def _ours(stage: Stage) -> object:
    with stage.database() as database:
        return recommend_all(
            database,
            site_id=SITE,
            out=stage.home / "promotions.parquet",
            bundles=stage.home / "bundles",
            now=datetime.now(UTC),
        )


def _theirs(
    model: FittedAls, rows: sparse.csr_matrix, *, n_promotions: int, folding: bool
) -> Callable[[], object]:
    solver: Any = AlternatingLeastSquares(factors=64, regularization=model.made_with.regularization)
    solver.item_factors = model.item_factors
    solver.user_factors = np.zeros((rows.shape[0], 64), dtype=np.float32)
    users, candidates = np.arange(rows.shape[0]), np.arange(n_promotions)

    def recommend() -> object:
        # implicit warns that other threads of BLAS slow it down.
        with threadpool_limits(1, user_api="blas"):
            return solver.recommend(
                users,
                rows,
                N=1,
                filter_already_liked_items=False,
                items=candidates,
                recalculate_user=folding,
            )

    return recommend


def _histories(stage: Stage, model: FittedAls) -> sparse.csr_matrix:
    """The same histories as implicit takes them, csr[n_consumers, n_items]."""
    now, data, indices, sizes = datetime.now(UTC), [], [], [np.zeros(1, dtype=np.int64)]
    with stage.database() as database, database.connection() as connection:
        for block in read_everyone(connection, site_id=SITE, limit=_N_EVENTS, at_once=1000):
            histories = history_block(block.events, stage.items, model.weights, now=now)
            data.append(1 + model.made_with.alpha * histories.confidence(model.weights))
            indices.append(histories.item_index)
            sizes.append(histories.sizes)
    ends = np.concatenate(sizes).cumsum()
    cells = (np.concatenate(data).astype(np.float32), np.concatenate(indices), ends.astype(np.int32))
    return sparse.csr_matrix(cells, shape=(len(ends) - 1, len(stage.items)))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--consumers", type=at_least_one, default=20_000, metavar="N", help="default: 20,000")
    parser.add_argument(
        "--promotions", type=at_least_one, default=10_000, metavar="N", help="on the site; default: 10,000"
    )
    parser.add_argument("--rounds", type=at_least_one, default=5, metavar="N", help="default: 5")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'way':<48} {'consumers/s':>12}"
    for row in figures["rows"]:
        yield f"{row['way']:<48} {row['per_second']:>12,.0f}"


if __name__ == "__main__":
    sys.exit(main())
