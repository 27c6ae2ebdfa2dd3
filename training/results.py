"""Figures of an evaluation: one metric of one model, with its interval, for all queries or for some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import (
    Interval,
    Rankings,
    bootstrap_intervals,
    coverage,
    hit_rate,
    ndcg,
    popularity_bias,
    recall,
    reciprocal_rank,
)

MAIN_K = 10
RECALL_AT = (1, 2, 5, 10, 20)
DEPTH = max(RECALL_AT)
EVERYTHING = "all"
NEW, KNOWN = "new", "known"
POPULARITY = "popularity"
EVALUATION_FOLDER = "evaluation"
RESULTS_FILE = "results.json"

_AT_MAIN_K = {"ndcg": ndcg, "recall": recall, "mrr": reciprocal_rank, "hit_rate": hit_rate}


@dataclass(frozen=True, slots=True)
class Result:
    """One figure.

    Attributes
    ----------
    protocol : str
        What was asked: `redemptions`, `redemptions_sent`, `time`, `leave_one_out`, `second_site`, `new_items`
        and `new_items_without_text` (see `training.new_items`).
    model : str
        Kind of the model, or `popularity` beside it.
    site_id, segment : str
        Whose queries: of one site, of consumers `hot`, `warm` or `cold` there; `all`. For promotions, which
        are not of one site, it is what is known of the consumer on all sites; `new` or `known` where
        only such items count as found.
    metric, k
        `ndcg`, `recall`, `mrr`, `hit_rate`, `coverage`, `popularity_bias`, and how many places count.
    mean, low, high : float
        Mean over the queries and its 95 % interval. Coverage (the share of all candidates that anybody is
        shown) and popularity bias (mean popularity percentile of what is shown: 1 is the most popular
        candidate, .5 what chance would show) are one number each, without an interval.
    """

    protocol: str
    model: str
    site_id: str
    segment: str
    metric: str
    k: int
    mean: float
    low: float | None
    high: float | None
    n_queries: int


def summarise(
    rankings: Mapping[str, Rankings],
    consumers: Sequence[str] | NDArray[np.str_],
    *,
    protocol: str,
    n_candidates: int,
    site_id: str = EVERYTHING,
    segment: str = EVERYTHING,
) -> list[Result]:
    """Every figure of some queries, for each model.

    Parameters
    ----------
    rankings : mapping of model to Rankings
        Of the same queries.
    consumers : [n_queries]
        Whose query it is.
    n_candidates : int
        All that could be ranked, for coverage.
    """
    names: list[tuple[str, str, int]] = []
    columns: list[NDArray[np.float64]] = []
    for model, mine in rankings.items():
        names += [(model, metric, MAIN_K) for metric in _AT_MAIN_K]
        columns += [measure(mine, MAIN_K) for measure in _AT_MAIN_K.values()]
        names += [(model, "recall", k) for k in RECALL_AT if k != MAIN_K]
        columns += [recall(mine, k) for k in RECALL_AT if k != MAIN_K]
    intervals = bootstrap_intervals(np.stack(columns, axis=1), groups=consumers)
    n_queries = len(consumers)

    def result(model: str, metric: str, k: int, mean: float, spread: Interval | None) -> Result:
        low, high = (None, None) if spread is None else (spread.low, spread.high)
        return Result(protocol, model, site_id, segment, metric, k, mean, low, high, n_queries)

    results = [
        result(*name, interval.mean, interval) for name, interval in zip(names, intervals, strict=True)
    ]
    for model, mine in rankings.items():
        share = coverage(mine, MAIN_K, n_candidates=n_candidates)
        results.append(result(model, "coverage", MAIN_K, share, None))
        if (bias := popularity_bias(mine, MAIN_K)) is not None:
            results.append(result(model, "popularity_bias", MAIN_K, bias, None))
    return results


def find(
    results: Sequence[Result],
    *,
    protocol: str,
    model: str,
    metric: str = "ndcg",
    k: int = MAIN_K,
    site_id: str = EVERYTHING,
    segment: str = EVERYTHING,
) -> Result | None:
    """The one figure asked for, or None when it was not measured."""
    wanted = (protocol, model, site_id, segment, metric, k)
    for result in results:
        if (result.protocol, result.model, result.site_id, result.segment, result.metric, result.k) == wanted:
            return result
    return None
