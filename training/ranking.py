"""Rank all items of a site for many consumers, a block of consumers at a time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.interactions import Interactions
from features.weights import KINDS
from models.blend import FittedBlend, standing
from models.errors import EmptyHistory
from models.factors import FittedFactors
from models.item_item import FittedItemItem, raised
from models.popularity import FittedPopularity
from models.recommender import FittedRecommender
from training.metrics import top_ranked

BLOCK_BYTES = 32 << 20

Score = Callable[[NDArray[np.int64], slice], NDArray[np.float32]]
"""Rows of consumers and a site's slice of the items → float32[n_rows, n_items of the site].

A row of NaN says that there is nothing to tailor by.
"""


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """Which consumers are asked about on one site.

    Attributes
    ----------
    site : slice
        Columns of the site's items; empty for a site that nothing was learned about.
    rows : int64[n]
        Rows of the consumers; -1 for one that nothing was learned about.
    """

    site: slice
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False, slots=True)
class RankedBlock:
    """The tops of some of a query's consumers.

    Attributes
    ----------
    start : int
        Place in the query's rows of the first of them.
    top : int64[n_rows, depth]
        Columns of the items, best first; -1 where there are no more candidates.
    """

    start: int
    top: NDArray[np.int64]


def rank(
    score: Score,
    query: Query,
    *,
    prior: NDArray[np.float32],
    masked: sparse.csr_matrix | None,
    depth: int,
) -> Iterator[RankedBlock]:
    """Rank all items of the query's site for each of its consumers.

    Parameters
    ----------
    prior : float32[n_items]
        Scores for those that have no history.
    masked : csr[n_consumers, n_items], optional
        A consumer's cells here are no candidates.
    """
    n_items = query.site.stop - query.site.start
    n_rows = max(1, BLOCK_BYTES // (4 * max(n_items, 1)))
    for start in range(0, len(query.rows), n_rows):
        rows = query.rows[start : start + n_rows]
        if n_items == 0:
            yield RankedBlock(start, np.full((len(rows), depth), -1, dtype=np.int64))
            continue
        scores = np.tile(prior[query.site], (len(rows), 1))
        known = np.flatnonzero(rows >= 0)
        with threadpool_limits(limits=1, user_api="blas"):
            tailored = score(rows[known], query.site)
        usable = ~np.isnan(tailored[:, 0]) if len(known) else np.zeros(0, dtype=bool)
        scores[known[usable]] = tailored[usable]
        if masked is not None and len(known):
            mine = masked[rows[known]][:, query.site].tocoo()
            scores[known[mine.row], mine.col] = -np.inf
        top = _top_of_rows(scores, depth)
        yield RankedBlock(start, np.where(top < 0, top, top + query.site.start))


def score_model(model: FittedRecommender, interactions: Interactions) -> Score:
    """How a model scores, from each consumer's row as serving would see it."""
    if isinstance(model, FittedBlend):
        return _score_blend(model, interactions)
    if isinstance(model, FittedItemItem):
        return _score_item_item(model, interactions)
    if isinstance(model, FittedFactors):
        return _score_fold_ins(model, interactions)
    if isinstance(model, FittedPopularity):
        return lambda rows, site: np.tile(model.prior[site], (len(rows), 1))
    raise TypeError(f"no way to score many consumers at once with {model!r}")


def score_factors(consumers: NDArray[np.float32], items: NDArray[np.float32]) -> Score:
    """How factors score that were learned for consumers and items: their products."""
    return lambda rows, site: np.asarray(consumers[rows] @ items[site].T, dtype=np.float32)


def _score_fold_ins(model: FittedFactors, interactions: Interactions) -> Score:
    def score(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        consumers = np.full((len(rows), model.item_factors.shape[1]), np.nan, dtype=np.float32)
        for place, row in enumerate(rows):
            try:
                consumers[place] = model.read(interactions.row(int(row))).vector
            except EmptyHistory:
                continue
        return np.asarray(consumers @ model.item_factors[site].T, dtype=np.float32)

    return score


def _score_item_item(model: FittedItemItem, interactions: Interactions) -> Score:
    weighed = replace(interactions, weights=model.weights)
    evidence = weighed.confidence()
    runs = list(pairwise(evidence.indptr))
    scale = np.array(
        [model.scale(evidence.data[start:end]) if end > start else np.nan for start, end in runs]
    )
    evidence.data = raised(evidence.data, model.made_with.power)
    weights = zip(KINDS, model.weights.by_kind, model.own, strict=True)
    own = sum(
        interactions.by_kind[kind] @ sparse.diags_array(weight * mine) for kind, weight, mine in weights
    )
    own = sparse.csr_matrix(own, dtype=np.float32)
    by_site: dict[tuple[int, int], sparse.csr_matrix] = {}

    def score(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        if (site.start, site.stop) not in by_site:
            by_site.clear()
            whole = site == slice(0, len(model.items))
            by_site[site.start, site.stop] = model.matrix if whole else model.matrix[:, site]
        spoken_for = (evidence[rows] @ by_site[site.start, site.stop]).toarray() + own[rows][
            :, site
        ].toarray()
        return np.asarray(scale[rows, np.newaxis] * spoken_for, dtype=np.float32)

    return score


def _score_blend(model: FittedBlend, interactions: Interactions) -> Score:
    members = [score_model(member, interactions) for member in model.members]
    known = replace(interactions, weights=model.weights).confidence()
    usable = np.diff(known.indptr) > 0
    counts = standing(interactions.history_lengths, model.strength)

    def score(rows: NDArray[np.int64], site: slice) -> NDArray[np.float32]:
        total = counts[rows, np.newaxis] * model.prior[site]
        for share, member in zip(model.shares, members, strict=True):
            total += np.float32(share) * np.nan_to_num(member(rows, site), nan=0.0)
        total[~usable[rows]] = np.nan
        return np.asarray(total, dtype=np.float32)

    return score


def _top_of_rows(scores: NDArray[np.float32], depth: int) -> NDArray[np.int64]:
    """Places of the greatest of each row, int64[n_rows, depth]; equal scores keep their order."""
    n_top = min(depth, scores.shape[1])
    top = np.full((len(scores), depth), -1, dtype=np.int64)
    places = np.argpartition(-scores, n_top - 1, axis=1)[:, :n_top]
    values = np.take_along_axis(scores, places, axis=1)
    order = np.lexsort((places, -values), axis=1)
    places, values = np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)
    # A partition takes any of those that tie for the last place.
    tied = (scores >= values[:, -1:]).sum(axis=1) > n_top
    for row in np.flatnonzero(tied):
        places[row] = top_ranked(scores[row], n_top)
        values[row] = scores[row, places[row]]
    top[:, :n_top] = np.where(np.isneginf(values), -1, places)
    return top


def group_rows(keys: NDArray[np.int64]) -> list[slice]:
    """Slices of equal neighbours."""
    if len(keys) == 0:
        return []
    edges = np.flatnonzero(np.diff(keys)) + 1
    return [slice(int(start), int(end)) for start, end in pairwise([0, *edges, len(keys)])]
