"""What a daily retraining costs: `python -m benchmarks.retrain [--folder FOLDER] [--json FILE]`.

The newest 5 % of the activity are new (of a folder without times, any 5 %). A recipe is fitted on all of it,
cold and warm: from the factors of a model that was fitted on the rest. Both are asked about what was held out
before. Each round has its own seed: where factors begin by chance, so does up to 2 % of the NDCG of a fit.
Beside them what `--model auto` takes to search and fit, against training the champion's recipe again.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from benchmarks.report import Figures, at_least_one, run
from examples.complete_journey.tables import read_complete_journey
from features.interactions import Interactions, build_interactions
from features.weights import InteractionWeights
from models.als import Als
from models.ials import Ials
from models.recommender import FittedRecommender, Recommender
from models.warm import fit_warm
from training.auto import choose
from training.benchmark import read_activity_of
from training.benchmark_folder import open_folder
from training.ranking import score_model
from training.search import Limits, measure
from training.validation import Validation, validation_of

SHARE_NEW: Final = 0.05
DATA: Final = Path(__file__).resolve().parent.parent / "examples" / "complete_journey"
Recipe = Callable[[int], Recommender]
"""Given a seed."""

RECIPES: Final[dict[str, Recipe]] = {
    "als 64": lambda seed: Als(random_state=seed),
    "als 128": lambda seed: Als(factors=128, random_state=seed),
    "ials 128": lambda seed: Ials(random_state=seed),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One recipe, or `auto`, fitted in one way.

    Attributes
    ----------
    seconds : float
        The median of the rounds.
    ndcg : float
        NDCG@10 on what was held out, the mean of the rounds.
    """

    recipe: str
    way: str
    seconds: float
    ndcg: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table, and write the figures when asked to."""
    run(
        "retrain",
        arguments,
        about=__doc__,
        options=_add_options,
        measure=lambda options: measure_all(
            _activity(options.folder), rounds=options.rounds, budget_s=options.budget
        ),
        table=_table,
    )
    return 0


def measure_all(activity: pa.Table, *, rounds: int, budget_s: float, random_state: int = 0) -> Figures:
    """The figures of all recipes and of `auto`."""
    weights = InteractionWeights()
    validation = validation_of(activity, weights, random_state=random_state)
    earlier = _without_the_newest(validation, activity, weights, random_state)
    rows: list[Row] = []
    for name, recipe in RECIPES.items():
        rows += _fit_both(name, recipe, validation, earlier, rounds=rounds)
    started = time.perf_counter()
    chosen = choose(validation, limits=Limits(budget_s), random_state=random_state).blend
    searched = time.perf_counter() - started
    cold, warm = _fit_both("auto", lambda _seed: chosen, validation, earlier, rounds=rounds)
    rows += [replace(cold, way="search and fit", seconds=searched + cold.seconds), warm]
    return {"ratios": _ratios(rows), "rows": [asdict(row) for row in rows]}


def _fit_both(
    name: str, recipe: Recipe, validation: Validation, earlier: Interactions, *, rounds: int
) -> tuple[Row, Row]:
    """Cold and warm in turn."""
    interactions = validation.interactions
    seconds: dict[str, list[float]] = {"cold": [], "warm": []}
    ndcg: dict[str, list[float]] = {"cold": [], "warm": []}
    for seed in range(rounds):
        recommender = recipe(seed)
        before = recommender.fit(earlier)
        ways: dict[str, Callable[[], FittedRecommender]] = {
            "cold": partial(recommender.fit, interactions),
            "warm": partial(fit_warm, recommender, interactions, before),
        }
        for way, fit in ways.items():
            started = time.perf_counter()
            model = fit()
            seconds[way].append(time.perf_counter() - started)
            ndcg[way].append(measure(score_model(model, interactions), validation))
    cold, warm = (
        Row(name, way, statistics.median(seconds[way]), statistics.fmean(ndcg[way])) for way in seconds
    )
    return cold, warm


def _without_the_newest(
    validation: Validation, activity: pa.Table, weights: InteractionWeights, random_state: int
) -> Interactions:
    as_of = validation.interactions.as_of
    times = activity["occurred_at"].to_pandas() if "occurred_at" in activity.column_names else None
    if as_of is None or times is None:
        return _without_some(validation.interactions, random_state)
    before: NDArray[np.bool_] = (times < as_of).to_numpy()
    newest = times[before].quantile(1 - SHARE_NEW)
    return build_interactions(activity.filter(pa.array((times < newest).to_numpy())), weights, as_of=as_of)


def _without_some(interactions: Interactions, random_state: int) -> Interactions:
    """Any cells left out: those that are held out must not come back."""
    random = np.random.default_rng(random_state)
    by_kind = {}
    for kind, matrix in interactions.by_kind.items():
        thinned = matrix.copy()
        thinned.data = np.where(random.random(matrix.nnz) >= SHARE_NEW, matrix.data, 0).astype(np.float32)
        thinned.eliminate_zeros()
        by_kind[kind] = thinned
    return replace(interactions, by_kind=by_kind)


def _ratios(rows: list[Row]) -> dict[str, float]:
    by = {(row.recipe, row.way): row for row in rows}
    ratios = {}
    for name in RECIPES:
        cold, warm = by[name, "cold"], by[name, "warm"]
        key = name.replace(" ", "")
        ratios[f"{key}_warm_vs_cold"] = warm.seconds / cold.seconds
        ratios[f"{key}_ndcg_warm_vs_cold"] = warm.ndcg / cold.ndcg
    cold, warm = by["auto", "search and fit"], by["auto", "warm"]
    ratios["auto_warm_vs_cold"] = warm.seconds / cold.seconds
    # The default factor model stands for what is fitted by iterations.
    ratios["warm_vs_cold"] = ratios["als64_warm_vs_cold"]
    return ratios


def _activity(folder: Path | None) -> pa.Table:
    if folder is None:
        return read_complete_journey(DATA).activity
    return read_activity_of(open_folder(folder))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="a benchmark folder instead of the bundled data")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="rounds, each with a seed of its own")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds that auto may search")


def _table(figures: Figures) -> Iterator[str]:
    yield f"{'recipe':<10} {'way':<15} {'seconds':>8} {'NDCG@10':>8}"
    for row in figures["rows"]:
        yield f"{row['recipe']:<10} {row['way']:<15} {row['seconds']:>8.2f} {row['ndcg']:>8.4f}"


if __name__ == "__main__":
    sys.exit(main())
