"""How good a ranking is, query by query, and how sure one can be of the mean.

Relevance is yes or no. A query is one consumer at one place and time, and every candidate is ranked: never a
sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from training.errors import InvalidProtocol


@dataclass(frozen=True, eq=False, slots=True)
class Rankings:
    """The tops of many rankings.

    Attributes
    ----------
    ranked : int64[n_queries, depth]
        The candidates ranked, best first; -1 where there were fewer than `depth`.
    hits : bool[n_queries, depth]
        Whether each of them is relevant.
    n_relevant : int64[n_queries]
        Relevant things of each query, those that no ranking could find included.
    percentile : float32[n_queries, depth], optional
        How popular each of them is among the candidates: 1 for the most popular one, 1 / n for the last of n;
        NaN where there were fewer than `depth`.
    """

    ranked: NDArray[np.int64]
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]
    percentile: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        if self.ranked.shape != self.hits.shape or self.hits.ndim != 2:
            raise InvalidProtocol(
                f"ranked is {self.ranked.shape}, hits {self.hits.shape}; give both as [n, depth]"
            )
        if self.percentile is not None and self.percentile.shape != self.hits.shape:
            raise InvalidProtocol(f"ranked is {self.ranked.shape}, percentile {self.percentile.shape}")
        if self.n_relevant.shape != self.hits.shape[:1]:
            raise InvalidProtocol(
                f"{len(self.hits)} rankings but {self.n_relevant.shape} counts of what is relevant"
            )
        if (self.n_relevant < 1).any():
            raise InvalidProtocol("a query without anything relevant says nothing; leave it out")

    def __len__(self) -> int:
        return len(self.hits)

    def __repr__(self) -> str:
        return f"Rankings({len(self)} queries, {self.hits.shape[1]} deep)"

    def select(self, which: NDArray[Any]) -> "Rankings":
        """Some of the queries, by mask or places."""
        percentile = None if self.percentile is None else self.percentile[which]
        return Rankings(self.ranked[which], self.hits[which], self.n_relevant[which], percentile)


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over queries and the interval that holds it with 95 %."""

    mean: float
    low: float
    high: float


def top_ranked(scores: NDArray[np.floating[Any]], depth: int) -> NDArray[np.int64]:
    """Places of the `depth` greatest scores, best first; equal scores keep their order.

    Parameters
    ----------
    scores : float[n]

    Returns
    -------
    int64[depth]
        -1 beyond the n-th.
    """
    top = np.full(depth, -1, dtype=np.int64)
    n_top = min(depth, len(scores))
    if n_top == 0:
        return top
    places = np.arange(len(scores))
    if n_top < len(scores):
        # All that tie with the last one in, so that the stable sort below decides between them.
        # Of negatives: numpy is ten times slower to find the greatest where most are equal and least.
        places = np.flatnonzero(scores >= -np.partition(-scores, n_top - 1)[n_top - 1])
    top[:n_top] = places[np.argsort(-scores[places], kind="stable")[:n_top]]
    return top


def recall(rankings: Rankings, k: int) -> NDArray[np.float64]:
    """Share of what is relevant that is among the first k, float64[n_queries]."""
    return np.asarray(_first(rankings, k).sum(axis=1) / rankings.n_relevant)


def ndcg(rankings: Rankings, k: int) -> NDArray[np.float64]:
    """Normalised discounted cumulative gain, float64[n_queries].

    Σ hitᵢ / log₂(i + 1) over the first k, divided by the same of the best order there is (Järvelin and
    Kekäläinen 2002).
    """
    discount = 1.0 / np.log2(np.arange(2, k + 2))
    best = np.cumsum(discount)[np.minimum(rankings.n_relevant, k) - 1]
    return np.asarray(_first(rankings, k) @ discount / best)


def reciprocal_rank(rankings: Rankings, k: int) -> NDArray[np.float64]:
    """1 / place of the first relevant one, 0 when it is not among the first k, float64[n_queries]."""
    hits = _first(rankings, k)
    return np.asarray(np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0), dtype=np.float64)


def hit_rate(rankings: Rankings, k: int) -> NDArray[np.float64]:
    """1 where something relevant is among the first k, float64[n_queries]."""
    return np.asarray(_first(rankings, k).any(axis=1), dtype=np.float64)


def coverage(rankings: Rankings, k: int, *, n_candidates: int) -> float:
    """Share of all candidates that are among the first k of any query."""
    if n_candidates < 1:
        raise InvalidProtocol(f"n_candidates={n_candidates}; give 1 or more")
    _first(rankings, k)
    shown = np.unique(rankings.ranked[:, :k])
    return float((shown >= 0).sum() / n_candidates)


def popularity_percentile(popularity: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Rank of each candidate by popularity, as a share: 1 for the most popular, float32[n].

    Equal ones share the mean of their ranks.
    """
    return np.asarray(rankdata(popularity) / max(len(popularity), 1), dtype=np.float32)


def popularity_bias(rankings: Rankings, k: int) -> float | None:
    """Mean popularity percentile of what is among the first k; None when it is not known, or nothing is."""
    _first(rankings, k)
    if rankings.percentile is None:
        return None
    shown = rankings.percentile[:, :k]
    known = ~np.isnan(shown)
    return float(shown[known].mean(dtype=np.float64)) if known.any() else None


def bootstrap_intervals(
    values: NDArray[np.float64],
    *,
    groups: Sequence[Any] | NDArray[Any] | None = None,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[Interval]:
    """Mean and 95 % percentile interval of each column, by resampling (Efron 1979).

    Parameters
    ----------
    values : float64[n_queries, n_metrics]
        All columns are resampled together, so that differences between them can be columns too.
    groups : [n_queries], optional
        Whose query it is. Whole consumers are drawn then: queries of one consumer are not independent.
    """
    if len(values) == 0:
        raise InvalidProtocol("no values: nothing was evaluated")
    group = (
        np.arange(len(values)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    )
    counts = np.bincount(group).astype(np.float64)
    sums = np.stack([np.bincount(group, weights=column) for column in values.T], axis=1)
    generator = np.random.default_rng(random_state)
    even = np.full(len(sums), 1 / len(sums))
    means = np.empty((n_resamples, sums.shape[1]))
    for place in range(n_resamples):
        drawn = generator.multinomial(len(sums), even)
        means[place] = (drawn @ sums) / (drawn @ counts)
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return [Interval(*map(float, triple)) for triple in zip(values.mean(axis=0), low, high, strict=True)]


def _first(rankings: Rankings, k: int) -> NDArray[np.bool_]:
    if not 1 <= k <= rankings.hits.shape[1]:
        raise InvalidProtocol(f"k={k}; the rankings are {rankings.hits.shape[1]} deep")
    return rankings.hits[:, :k]
