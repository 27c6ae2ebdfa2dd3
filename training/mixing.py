"""How much each model counts in a blend: the weights that rank a validation cut best."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.interactions import Interactions
from training.metrics import Rankings
from training.questions import Questions, hits_of
from training.ranking import Score

logger = logging.getLogger(__name__)

CANDIDATES: Final = 100
"""As many of each model's best are looked at for a question: what is in nobody's cannot come to the top."""

LEAST_GAIN: Final = 0.003
"""A model joins a blend that it makes better by this share; less may be chance, and every model costs."""

_STEPS: Final = np.geomspace(0.02, 20, 16)
_FINE: Final = np.array([0.6, 0.77, 1.0, 1.3, 1.7])

Measure = Callable[[Rankings], NDArray[np.float64]]


@dataclass(frozen=True, eq=False, slots=True)
class ScoreTable:
    """What each model says of the candidates of each question.

    Attributes
    ----------
    scores : float32[n_models, n_questions, n_candidates]
        -inf where a place holds no candidate.
    hits : bool[n_questions, n_candidates]
        Whether a candidate is relevant.
    n_relevant : int64[n_questions]
    """

    scores: NDArray[np.float32]
    hits: NDArray[np.bool_]
    n_relevant: NDArray[np.int64]

    def __repr__(self) -> str:
        return "ScoreTable({} models, {} questions, {} candidates)".format(*self.scores.shape)

    def value(self, weights: NDArray[np.float64], measure: Measure, *, depth: int) -> float:
        """The measure's mean when the scores are summed by these weights, float64[n_models]."""
        used = np.flatnonzero(weights)
        total = np.tensordot(weights[used].astype(np.float32), self.scores[used], axes=1)
        n_top = min(depth, total.shape[1])
        top = np.argpartition(-total, n_top - 1, axis=1)[:, :n_top]
        order = np.argsort(-np.take_along_axis(total, top, axis=1), axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        hits = np.zeros((len(top), depth), dtype=bool)
        hits[:, :n_top] = np.take_along_axis(self.hits, top, axis=1)
        return float(measure(Rankings(np.zeros(hits.shape, dtype=np.int64), hits, self.n_relevant)).mean())


def tabulate(
    scores: Sequence[Score],
    questions: Questions,
    interactions: Interactions,
    *,
    masked: sparse.csr_matrix | None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ScoreTable:
    """Ask every model for its best candidates, and every other model what it says of these.

    A question about a consumer without a history, or whose history says nothing to a model, scores 0 there.
    """
    n_candidates = CANDIDATES * len(scores)
    shape = (len(scores), len(questions), n_candidates)
    table = ScoreTable(
        np.full(shape, -np.inf, dtype=np.float32), np.zeros(shape[1:], dtype=bool), questions.n_relevant
    )
    # So many rows at a time that their scores of all items fit into a hundred megabytes.
    n_rows = max(1, 25_000_000 // max(1, len(interactions.items) * len(scores)))
    done = 0
    for site_id, mine in questions.by_site():
        site = interactions.items.site_slice(site_id)
        if site.start == site.stop:
            continue
        for start in range(mine.start, mine.stop, n_rows):
            here = slice(start, min(start + n_rows, mine.stop))
            _fill(
                table,
                here,
                _block(scores, questions.rows[here], site, masked),
                questions.relevant[here, site],
            )
            done += here.stop - here.start
            progress(done, len(questions))
    return table


@dataclass(frozen=True, eq=False, slots=True)
class Rules:
    """Which models may be together.

    Attributes
    ----------
    groups : int[n_models]
        At most one model of each group.
    costs : float64[n_models]
        What each adds to a decision.
    limit : float
        What all of them may cost together. If that is too little for any, the cheapest that costs is alone.
    """

    groups: NDArray[np.int64]
    costs: NDArray[np.float64]
    limit: float

    @classmethod
    def none(cls, n_models: int) -> "Rules":
        """All of them may."""
        return cls(np.arange(n_models), np.zeros(n_models), np.inf)

    def may_join(self, weights: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which models may join those that have a weight, bool[n_models]."""
        chosen = weights > 0
        affordable = self.costs[chosen].sum() + self.costs <= self.limit
        costly = self.costs > 0
        if not chosen.any() and costly.any():
            # What costs nothing only joins.
            affordable &= costly
            if not affordable.any():
                affordable = self.costs == self.costs[costly].min()
        return np.asarray(affordable & ~np.isin(self.groups, self.groups[chosen]))


def mix(
    table: ScoreTable, measure: Measure, *, depth: int, rules: Rules | None = None
) -> tuple[NDArray[np.float64], float]:
    """Weights ≥ 0 that rank best, float64[n_models], and the measure's mean with them.

    The best model alone counts 1; then whichever helps most joins, as long as one helps. Scores are compared
    by their spread over candidates, so that the search is blind to their scale.
    """
    n_models = len(table.scores)
    rules = rules or Rules.none(n_models)
    spread = np.array([_spread(scores) for scores in table.scores])
    alone = {
        one: table.value(np.eye(n_models)[one], measure, depth=depth)
        for one in np.flatnonzero(rules.may_join(np.zeros(n_models))).tolist()
    }
    first = max(alone, key=lambda one: alone[one])
    weights, best = np.eye(n_models)[first], alone[first]
    search = partial(_search, table, measure=measure, depth=depth)
    while True:
        left = np.flatnonzero(rules.may_join(weights) & (spread > 0)).tolist()
        tries = [(*search(weights, one, grid=spread[first] / spread[one] * _STEPS), one) for one in left]
        value, weight, one = max(tries, default=(0.0, 0.0, -1))
        if value <= best * (1 + LEAST_GAIN):
            return weights, best
        weights[one], best = weight, value
        for other in np.flatnonzero(weights).tolist():
            if other != first:
                best, weights[other] = search(weights, other, grid=weights[other] * _FINE)
        logger.info("blend: %s → %.4f", np.array2string(weights, precision=4), best)


def _search(
    table: ScoreTable,
    weights: NDArray[np.float64],
    one: int,
    *,
    grid: NDArray[np.float64],
    measure: Measure,
    depth: int,
) -> tuple[float, float]:
    """The best value of one weight on a grid: (measure's mean, weight)."""
    tried = []
    for weight in grid:
        changed = weights.copy()
        changed[one] = weight
        tried.append((table.value(changed, measure, depth=depth), float(weight)))
    return max(tried)


def _block(
    scores: Sequence[Score], rows: NDArray[np.int64], site: slice, masked: sparse.csr_matrix | None
) -> NDArray[np.float32]:
    """Scores of all items of the site, float32[n_models, n_rows, n_items]; -inf what is no candidate."""
    known = np.flatnonzero(rows >= 0)
    block = np.zeros((len(scores), len(rows), site.stop - site.start), dtype=np.float32)
    for place, score in enumerate(scores):
        block[place, known] = np.nan_to_num(score(rows[known], site), nan=0.0)
    if masked is not None and len(known):
        mine = masked[rows[known]][:, site].tocoo()
        block[:, known[mine.row], mine.col] = -np.inf
    return block


def _fill(table: ScoreTable, here: slice, block: NDArray[np.float32], relevant: sparse.csr_matrix) -> None:
    n_best = min(CANDIDATES, block.shape[2])
    best = np.argpartition(-block, n_best - 1, axis=2)[:, :, :n_best]
    places = np.sort(np.concatenate(best, axis=1), axis=1)
    again = np.zeros(places.shape, dtype=bool)
    again[:, 1:] = places[:, 1:] == places[:, :-1]
    rows = np.arange(len(places))[:, np.newaxis]
    found = block[:, rows, places]
    found[:, again] = -np.inf
    width = places.shape[1]
    table.scores[:, here, :width] = found
    table.hits[here, :width] = hits_of(relevant, places) & np.isfinite(found[0])


def _spread(scores: NDArray[np.float32]) -> float:
    """Mean over the questions of the standard deviation over the candidates."""
    known = np.isfinite(scores)
    count = np.maximum(known.sum(axis=1), 1)
    values = np.where(known, scores, 0).astype(np.float64)
    mean = values.sum(axis=1) / count
    variance = (values**2).sum(axis=1) / count - mean**2
    return float(np.sqrt(np.maximum(variance, 0)).mean())
