"""Which promotions people took up: `python -m benchmarks.redemptions [--json FILE] [--data FOLDER]`.

Complete Journey, 2017: every (household, day) with a redemption from 2017-10-01 on is a query, the coupons
whose campaign was live that day are the candidates, and only what happened before 2017-10-01 is learned from.
What is measured is a bundle, written and read back, scored the way serving scores.
"""

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Figures, run
from examples.complete_journey.tables import CompleteJourney, read_complete_journey
from features.interactions import Interactions, build_interactions
from models.bundle import Bundle, read_bundle
from models.pooling import Pooling
from training.fitting import DEFAULT_POOLING, fit, write_model
from training.redemptions import (
    REDEMPTIONS,
    PromotionRecords,
    PromotionScorer,
    rank_promotions,
    redemption_queries,
)
from training.results import Result, find, summarise
from training.split import split_by_time

CUT = datetime(2017, 10, 1, tzinfo=UTC)
DATA = Path(__file__).resolve().parent.parent / "examples" / "complete_journey"
SERVED = "als, as served"
POPULARITY = "popularity, summed"

_POOLINGS = {
    POPULARITY: ("popularity", Pooling(kind="sum", overlap=0.0)),
    "popularity, as the champion pools": ("popularity", None),
    "als, sum / sqrt(n)": ("als", Pooling(kind="sum_over_sqrt", overlap=0.0)),
    "als, max": ("als", Pooling(kind="max", overlap=0.0)),
    "als, as served without overlap": ("als", None),
    SERVED: ("als", DEFAULT_POOLING["als"]),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "redemptions",
        arguments,
        about=__doc__,
        options=lambda parser: parser.add_argument(
            "--data", type=Path, default=DATA, metavar="FOLDER", help="the Complete Journey tables"
        ),
        measure=lambda options: measure(options.data),
        table=_table,
        digits=3,
    )
    return 0


def measure(folder: Path, *, random_state: int = 42) -> Figures:
    """Train on what was known before the cut and rank the coupons of every query after it."""
    journey = read_complete_journey(folder)
    records = records_of(journey)
    train = split_by_time(journey.activity, CUT).train
    started = time.perf_counter()
    interactions = build_interactions(train, as_of=CUT)
    bundles = _bundles(interactions, random_state=random_state)
    seconds = time.perf_counter() - started
    results: list[Result] = []
    for sent_only in (False, True):
        results += _rank(bundles, interactions, records, sent_only=sent_only)
    return {
        "ratios": _ratios(results),
        "rows": [asdict(result) for result in results],
        "train_seconds": seconds,
    }


def records_of(journey: CompleteJourney) -> PromotionRecords:
    """The data set's promotions and redemptions, as the evaluation wants them."""
    columns = ["promotion_id", "code", "audience_id", "starts_at", "ends_at"]
    return PromotionRecords(
        promotions=journey.promotions.select(columns).to_pandas(),
        coverage=journey.coverage().to_pandas(),
        audience=journey.audiences.to_pandas(),
        conversions=journey.outcomes.to_pandas(),
    )


def _bundles(interactions: Interactions, *, random_state: int) -> dict[str, Bundle]:
    bundles = {}
    with tempfile.TemporaryDirectory() as directory:
        for kind in ("popularity", "als"):
            place = Path(directory) / kind
            write_model(place, fit(kind, interactions, random_state=random_state), interactions=interactions)
            bundles[kind] = read_bundle(place)
    return bundles


def _rank(
    bundles: dict[str, Bundle], interactions: Interactions, records: PromotionRecords, *, sent_only: bool
) -> list[Result]:
    covered = records.covered()
    served = bundles["als"].pooling
    scorers = {
        name: PromotionScorer(
            bundles[kind].model,
            popularity=bundles[kind].popularity,
            pooling=pooling or Pooling(kind=served.kind, top=served.top, overlap=0.0),
            covered=covered,
        )
        for name, (kind, pooling) in _POOLINGS.items()
    }
    queries = redemption_queries(records, since=CUT, sent_only=sent_only)
    return summarise(
        rank_promotions(scorers, queries, interactions),
        [query.consumer_id for query in queries],
        protocol=f"{REDEMPTIONS}_sent" if sent_only else REDEMPTIONS,
        n_candidates=len(records.promotions),
    )


def _ratios(results: list[Result]) -> dict[str, float]:
    ndcg = {name: _mean(results, name, "ndcg") for name in _POOLINGS}
    return {
        "ndcg10_served": ndcg[SERVED],
        "recall10_served": _mean(results, SERVED, "recall"),
        "ndcg10_als_vs_popularity": ndcg[SERVED] / ndcg[POPULARITY],
        "ndcg10_als_vs_best_popularity": ndcg[SERVED]
        / max(value for name, value in ndcg.items() if name.startswith("popularity")),
        "ndcg10_als_alone_vs_popularity": ndcg["als, as served without overlap"] / ndcg[POPULARITY],
    }


def _mean(results: list[Result], model: str, metric: str) -> float:
    result = find(results, protocol=REDEMPTIONS, model=model, metric=metric)
    if result is None:
        raise LookupError(f"{metric} of {model} was not measured")
    return result.mean


def _table(figures: Figures) -> Iterator[str]:
    rows = [row for row in figures["rows"] if row["metric"] in ("ndcg", "recall") and row["k"] == 10]
    yield f"{'candidates':<17} {'model':<34} {'metric':<10} {'mean':>6}  95 % interval  queries"
    for row in sorted(rows, key=lambda row: (row["protocol"], row["metric"], -row["mean"])):
        candidates = "sent to household" if row["protocol"].endswith("sent") else "all live"
        yield (
            f"{candidates:<17} {row['model']:<34} {row['metric'] + '@10':<10} {row['mean']:>6.3f}  "
            f"{row['low']:.3f} to {row['high']:.3f}  {row['n_queries']:>7}"
        )


if __name__ == "__main__":
    sys.exit(main())
