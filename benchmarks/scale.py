"""How the cost of a decision grows: `python -m benchmarks.scale [--folder F] [--plot FILE] [--json FILE]`.

One thing grows at a time: promotions (all on one site, or over 100), items of the network, the length of a
history, consumers in the database, workers. The factors are trained: on a benchmark folder, or on made-up
activity; what is larger than that is built from copies that differ a little. The core of a decision is
measured in this process, in processor time; a consumer is read as serving reads; workers answer over HTTP
with the load beside them. Of several passes the least disturbed counts: what else a machine does only adds.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.report import Figures, at_least_one, run
from benchmarks.scale_core import FEW, MANY_SITES, ONE_SITE, histories, items, promotions
from benchmarks.scale_network import WORKERS, consumers, workers
from benchmarks.scale_plots import draw_scale
from benchmarks.trained import train

_MANY = 1_000_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, write the figures and the plot when asked to."""
    run(
        "scale",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=_measure,
        table=_table,
    )
    return 0


def _measure(options: argparse.Namespace) -> Figures:
    trained = train(options.folder, n_factors=64)
    sizes, turns = _up_to(options.promotions), options.histories
    # Serving gives each worker one BLAS thread, too.
    with threadpool_limits(limits=1, user_api="blas"):
        rows = [*promotions(trained, sizes, turns=turns), *items(trained, sizes, turns=turns)]
        rows += histories(trained, turns=turns)
    rows += consumers(_up_to(options.consumers), turns=turns)
    rows += workers(rounds=options.rounds)
    if options.plot is not None:
        draw_scale(rows, options.plot)
    return {"ratios": _ratios(rows, most=max(sizes)), "factors": trained.about, "rows": rows}


def _ratios(rows: Sequence[dict[str, Any]], *, most: int) -> dict[str, float]:
    by_place = {(row["axis"], row["n"]): row for row in rows}
    one, spread = by_place[ONE_SITE, most], by_place[MANY_SITES, most]
    return {
        "one_site_vs_few": one["us"] / by_place[ONE_SITE, FEW]["us"],
        "spread_vs_few": spread["us"] / by_place[ONE_SITE, FEW]["us"],
        "one_site_p99_ms": one["p99_us"] / 1000,
        "one_site_recall": one["recall"],
        "two_workers_vs_one": by_place[WORKERS, 2]["per_second"] / by_place[WORKERS, 1]["per_second"],
    }


def _up_to(most: int) -> list[int]:
    """10,000, and ten times as many again and again."""
    sizes = [FEW]
    while sizes[-1] * 10 <= most:
        sizes.append(sizes[-1] * 10)
    return sizes


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder", type=Path, metavar="FOLDER", help="a benchmark folder to train on; default: made up"
    )
    parser.add_argument(
        "--promotions", type=at_least_one, default=_MANY, metavar="N", help="at most; default: a million"
    )
    parser.add_argument(
        "--consumers", type=at_least_one, default=_MANY, metavar="N", help="at most; default: a million"
    )
    parser.add_argument(
        "--histories", type=at_least_one, default=300, metavar="N", help="consumers a size; default: 300"
    )
    parser.add_argument(
        "--rounds", type=at_least_one, default=3, metavar="N", help="of the workers; default: 3"
    )
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw it there (PNG or SVG)")


def _table(figures: Figures) -> Iterator[str]:
    yield f"factors: {figures['factors']}"
    yield f"{'what grows':<28} {'n':>10} {'us':>8} {'p99 us':>8} {'/s':>9} {'recall':>7} {'laid out, s':>12}"
    for row in figures["rows"]:
        shown = [f"{row['axis']:<28} {row['n']:>10,}"]
        for name, width, digits in (
            ("us", 8, 0),
            ("p99_us", 8, 0),
            ("per_second", 9, 0),
            ("recall", 7, 2),
            ("laid_out_s", 12, 1),
        ):
            shown.append(f"{row[name]:>{width},.{digits}f}" if name in row else " " * width)
        yield " ".join(shown).rstrip()


if __name__ == "__main__":
    sys.exit(main())
