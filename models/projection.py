"""From item scores to promotion scores, through the items that a promotion covers.

A promotion is scorable the moment it is created, as long as one item that it covers is known.
"""

from collections.abc import Iterable, Sequence
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.history import HistoryVector
from features.history_block import HistoryBlock
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.blend import BlendReading, FittedBlend
from models.errors import InvalidModel
from models.pooling import Pooling, TopSums
from models.recommender import FittedRecommender, Reading, Searches
from models.shortlist import shortlist_length
from models.unseen import FittedWithUnseen, UnseenReading

EVERY_PROMOTION = slice(None)


class PooledScores(msgspec.Struct, frozen=True, eq=False):
    """Scores of promotions.

    Attributes
    ----------
    score : float32[n]
        0 where the promotion covers nothing known: look at `known`, never at the score alone.
    known : bool[n]
        Whether the promotion covers a known item.
    places : intp[n] or slice
        Which promotions, ascending.
    item_scores : float32[m] or None
        What was pooled: the scores of the items within `Projection.within`. None where each promotion
        covers one item and only a few were scored.
    own : OwnActivity or None
        What the consumer's own activity with these items adds; None where it adds nothing.
    projection : Projection
        What pooled it.
    """

    score: NDArray[np.float32]
    known: NDArray[np.bool_]
    places: NDArray[np.intp] | slice
    item_scores: NDArray[np.float32] | None
    own: "OwnActivity | None"
    projection: "Projection"

    def place(self, at: int) -> int:
        """Which promotion the score at a place belongs to."""
        return at if isinstance(self.places, slice) else int(self.places[at])

    def featured_item(self, promotion_index: int) -> int | None:
        """The covered item that appeals most, or None when none is known."""
        covered = self.projection.covered(promotion_index)
        if len(covered) == 0:
            return None
        if len(covered) == 1 or self.item_scores is None:
            return int(covered[0])
        appeal = self.item_scores[covered - self.projection.within.start]
        if self.own is not None:
            own, mine = self.own.of(covered)
            appeal[mine] += self.own.worth[own]
        return int(covered[appeal.argmax()])


class OwnActivity(msgspec.Struct, frozen=True, eq=False):
    """What the consumer did with items that promotions cover.

    Attributes
    ----------
    item_index : int32[n]
        The items, ascending.
    worth : float32[n]
        What it adds to a promotion that covers the item: `Pooling.overlap` · confidence.
    """

    item_index: NDArray[np.int32]
    worth: NDArray[np.float32]

    def of(self, covered: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Places here of those `covered` (ascending, too) that are here, intp[m], and which are, bool[n]."""
        # Few are looked for among few: np.intersect1d takes several times as long.
        places = self.item_index.searchsorted(covered)
        mine = self.item_index.take(places, mode="clip") == covered
        return places[mine], mine

    def given(self, covered: NDArray[np.int32], history: HistoryVector) -> NDArray[np.float32] | None:
        """What each entry of the history adds to a promotion, float32[n]; None if nothing does."""
        own, _ = self.of(covered)
        if len(own) == 0:
            return None
        given = np.zeros(len(history), dtype=np.float32)
        given[history.item_index.searchsorted(self.item_index.take(own))] = self.worth.take(own)
        return given


class OwnBlock(msgspec.Struct, frozen=True, eq=False):
    """`OwnActivity` of several consumers, one after the other.

    Attributes
    ----------
    indptr : int64[n_rows + 1]
        Where each consumer's begin.
    item_index : int32[n]
    worth : float32[n]
    """

    indptr: NDArray[np.int64]
    item_index: NDArray[np.int32]
    worth: NDArray[np.float32]

    def __getitem__(self, row: int) -> OwnActivity | None:
        cells = slice(*self.indptr[row : row + 2].tolist())
        if cells.start == cells.stop:
            return None
        return OwnActivity(self.item_index[cells], self.worth[cells])


OWN_ACTIVITY = "own activity"
TEXT = "text"


class Signal(msgspec.Struct, frozen=True, eq=False):
    """One reason for a promotion's score.

    Attributes
    ----------
    name : str
        Kind of the model, `own activity` with what is covered, `popularity`, or `text`: what the model says
        of known items that are like a new one.
    weights : InteractionWeights
        How the kinds of activity count in it.
    given : float32[n]
        What each entry of the history gave by way of it.
    base : float
        What no entry gave.
    """

    name: str
    weights: InteractionWeights
    given: NDArray[np.float32]
    base: float

    @property
    def total(self) -> float:
        """All that it gave."""
        return float(np.add.reduce(self.given)) + self.base


class Projection:
    """The items that each promotion covers, ready to pool over.

    Parameters
    ----------
    coverage : csr [n_promotions, n_items]
        Which items each promotion covers; the values do not count.
    pooling : Pooling
        How to pool.
    model : FittedRecommender, optional
        Whose best promotions are to be found without scoring all: see `shortlist`.

    Attributes
    ----------
    within : slice
        From the first to the last column that any promotion covers: the items of a site lie side by side,
        and no other needs a score.
    """

    def __init__(
        self, coverage: sparse.csr_matrix, pooling: Pooling, *, model: FittedRecommender | None = None
    ) -> None:
        coverage = sparse.csr_matrix(coverage, dtype=np.float32, copy=True)
        coverage.sum_duplicates()
        coverage.eliminate_zeros()
        self.pooling = pooling
        self.n_promotions = coverage.shape[0]
        coverage.sort_indices()
        # Places in numpy's own index type: taking by any other type converts it at every decision.
        self._indptr = coverage.indptr.astype(np.intp)
        first, end = (coverage.indices.min(), coverage.indices.max() + 1) if coverage.nnz else (0, 0)
        self.within = slice(int(first), int(end))
        self._n_within = self.within.stop - self.within.start
        self._bounds = np.array([first, end], dtype=np.int32)
        # Counted from the first column within.
        self._covered: NDArray[np.int32] = coverage.indices.astype(np.int32)
        self._indices = coverage.indices.astype(np.intp) - self.within.start
        self._sizes = np.diff(self._indptr)
        self.known: NDArray[np.bool_] = self._sizes > 0
        self._one_each = bool((self._sizes == 1).all())
        # One promotion an item, in the items' order: what an item scores its promotion does.
        self._in_order = self._one_each and np.array_equal(self._indices, np.arange(self._n_within))
        # reduceat gives an empty segment its next neighbour's first value: leave empty ones out.
        self._starts = self._indptr[:-1][self.known]
        self._by_item = sparse.csc_matrix(coverage[:, self.within])
        # The weight of the item of a promotion that covers no other.
        self._alone = np.array([1 / pooling.top if pooling.kind == "top_mean" else 1], dtype=np.float32)
        self._searches: Searches = ()
        if model is not None and self._one_each:
            covered = np.unique(self._indices) + self.within.start
            searches = model.search_among(covered.astype(np.int32))
            self._searches = searches if any(searches) else ()
        self._top = TopSums(self._indptr, self._indices, n_columns=self._n_within, top=pooling.top)

    @classmethod
    def from_pairs(
        cls, covered: Sequence[Iterable[tuple[str, str]]], items: ItemIds, *, pooling: Pooling
    ) -> Self:
        """Make it from each promotion's (site id, item id) pairs; items unknown to the model drop out."""
        rows = [
            sorted({index for pair in pairs if (index := items.index(*pair)) is not None})
            for pairs in covered
        ]
        indptr = np.cumsum([0, *map(len, rows)])
        indices = np.array([index for row in rows for index in row], dtype=np.int32)
        ones = np.ones(len(indices), dtype=np.float32)
        return cls(sparse.csr_matrix((ones, indices, indptr), shape=(len(rows), len(items))), pooling)

    def __repr__(self) -> str:
        return f"Projection({self.n_promotions} promotions, {len(self._indices)} cells, {self.pooling})"

    def covers(self, coverage: sparse.csr_matrix) -> bool:
        """Whether it was made of the very same coverage."""
        return (
            coverage.shape[0] == self.n_promotions
            and np.array_equal(coverage.indptr, self._indptr)
            and np.array_equal(coverage.indices, self._covered)
        )

    def covered(self, promotion_index: int) -> NDArray[np.int32]:
        """Known items that a promotion covers, int32[n], ascending; not to be written to."""
        return self._covered[self._indptr[promotion_index] : self._indptr[promotion_index + 1]]

    @property
    def searches(self) -> bool:
        """Whether there are shortlists."""
        return bool(self._searches)

    @property
    def one_item_each(self) -> NDArray[np.int32] | None:
        """The known item of each promotion, int32[n_promotions]; None if some have none or several."""
        return self._covered if self._one_each else None

    def pool(
        self,
        item_scores: NDArray[np.float32],
        *,
        history: HistoryVector | None = None,
        weights: InteractionWeights | None = None,
    ) -> PooledScores:
        """Score every promotion.

        Parameters
        ----------
        item_scores : float32[n]
            From a model's `score`, or its `prior`, of the items `within`.
        history, weights : optional
            The consumer's own activity, for the overlap; both or neither.
        """
        if item_scores.shape != (self._n_within,):
            raise InvalidModel(f"item scores are {list(item_scores.shape)}; expected [{self._n_within}]")
        score, own = self._pool(item_scores), None
        if history is not None and weights is not None:
            own = self._own(history, weights)
        if own is not None:
            columns = own.item_index - self.within.start
            if self._in_order:
                score[columns] += own.worth
            else:
                places, counts = self._promotions_of(columns)
                np.add.at(score, places, own.worth.repeat(counts))
        return PooledScores(score, self.known, EVERY_PROMOTION, item_scores, own, projection=self)

    def own_block(self, histories: HistoryBlock, weights: InteractionWeights) -> OwnBlock | None:
        """What the own activity of several consumers adds; None where it never adds anything."""
        if self.pooling.overlap == 0:
            return None
        first, end = self._bounds
        here = histories.cells((histories.item_index >= first) & (histories.item_index < end))
        worth = np.float32(self.pooling.overlap) * here.confidence(weights)
        return OwnBlock(here.indptr, here.item_index, worth)

    def pool_block(
        self, item_scores: NDArray[np.float32], own: OwnBlock | None, *, rows: slice
    ) -> NDArray[np.float32]:
        """`pool(...).score` of several consumers, float32[n_rows, n_items] → float32[n_rows, n_promotions].

        Parameters
        ----------
        item_scores : float32[n_rows, n]
            Of the items `within`; changed where each promotion covers one item.
        own : OwnBlock or None
            What `own_block` gave, for the consumers of the whole block.
        rows : slice
            Which of these the scores are of.
        """
        scores = self._pool_rows(item_scores)
        if own is not None:
            first, end = own.indptr[[rows.start, rows.stop]].tolist()
            row = np.repeat(np.arange(len(scores)), np.diff(own.indptr[rows.start : rows.stop + 1]))
            columns, worth = own.item_index[first:end] - self.within.start, own.worth[first:end]
            if self._in_order:
                scores[row, columns] += worth
            else:
                places, counts = self._promotions_of(columns)
                np.add.at(scores, (row.repeat(counts), places), worth.repeat(counts))
        return scores

    def _pool_rows(self, item_scores: NDArray[np.float32]) -> NDArray[np.float32]:
        if not self._one_each:
            return np.stack([self._pool(row) for row in item_scores])
        scores = item_scores if self._in_order else item_scores.take(self._indices, axis=1)
        if self.pooling.kind == "top_mean":
            scores /= np.float32(self.pooling.top)
        return scores

    def shortlist(self, reading: Reading, weights: InteractionWeights, *, n: int) -> PooledScores | None:
        """Score only the promotions that are probably among the best n; None where all can be scored as fast.

        Those of items that the consumer did something with are always among them.
        """
        if not self._searches:
            return None
        own = self._own(reading.history, weights)
        also = np.empty(0, dtype=np.int32) if own is None else own.item_index
        found = reading.shortlist(self._searches, shortlist_length(self._n_within, n), also=also)
        if found is None:
            return None
        items, scores = found
        scores = scores * self._alone
        if own is not None:
            scores[items.searchsorted(own.item_index)] += own.worth
        places = items - np.intp(self.within.start)
        if not self._in_order:
            places, counts = self._promotions_of(places)
            order = places.argsort()
            places, scores = places[order], scores.repeat(counts)[order]
        return PooledScores(scores, np.ones(len(places), dtype=np.bool_), places, None, own, projection=self)

    def _promotions_of(self, columns: NDArray[np.int32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """The promotions that cover each of some items, one after the other, and how many each has."""
        if len(columns) == 0:
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        starts = self._by_item.indptr.take(columns)
        counts = self._by_item.indptr.take(columns + 1) - starts
        ends = counts.cumsum()
        cells = np.arange(ends[-1]) + (starts - ends + counts).repeat(counts)
        return self._by_item.indices.take(cells).astype(np.intp), counts

    def _own(self, history: HistoryVector, weights: InteractionWeights) -> OwnActivity | None:
        first, end = history.item_index.searchsorted(self._bounds).tolist()
        if first == end or self.pooling.overlap == 0:
            return None
        worth = np.float32(self.pooling.overlap) * history.confidence(weights)[first:end]
        return OwnActivity(history.item_index[first:end], worth)

    def _pool(self, item_scores: NDArray[np.float32]) -> NDArray[np.float32]:
        match self.pooling.kind:
            case "sum":
                return self._reduce(np.add, item_scores)
            case "sum_over_sqrt":
                root = np.sqrt(np.maximum(self._sizes, 1)).astype(np.float32)
                return np.asarray(self._reduce(np.add, item_scores) / root, dtype=np.float32)
            case "max":
                return self._reduce(np.maximum, item_scores)
            case "top_mean" if self._one_each:
                return np.asarray(self._in_promotions(item_scores) / np.float32(self.pooling.top))
            case "top_mean":
                return self._top.sums(item_scores) / np.float32(self.pooling.top)

    def _reduce(self, how: np.ufunc, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._one_each:
            return self._in_promotions(values).copy()
        result = np.zeros(self.n_promotions, dtype=np.float32)
        if len(self._starts):
            result[self.known] = how.reduceat(values.take(self._indices), self._starts)
        return result

    def _in_promotions(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The value of the one item that each promotion covers; not to be written to."""
        return values if self._in_order else values.take(self._indices)

    def item_weights(
        self, promotion_index: int, item_scores: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        """Weight of each covered item, float32[n]: Σ weight · score is the pooled score without overlap."""
        return self._weights_of(self.covered(promotion_index), item_scores)

    def _weights_of(
        self, covered: NDArray[np.int32], item_scores: NDArray[np.float32] | None
    ) -> NDArray[np.float32]:
        if len(covered) <= 1 or item_scores is None:
            return self._alone.repeat(len(covered))
        scores = item_scores[covered - self.within.start]
        weights = np.zeros(len(covered), dtype=np.float32)
        match self.pooling.kind:
            case "sum":
                weights[:] = 1
            case "sum_over_sqrt":
                weights[:] = 1 / np.sqrt(len(covered))
            case "max":
                weights[np.argmax(scores)] = 1
            case "top_mean" if len(covered) <= self.pooling.top:
                weights[:] = 1 / self.pooling.top
            case "top_mean":
                weights[np.argsort(-scores, kind="stable")[: self.pooling.top]] = 1 / self.pooling.top
        return weights

    def signals(
        self,
        model: FittedRecommender,
        reading: Reading,
        *,
        promotion_index: int,
        pooled: PooledScores,
    ) -> list["Signal"]:
        """What each signal gave to a promotion's pooled score, by entry of the history; they sum to it.

        The model's members, if it has several; where they gave anything, the consumer's own activity with
        what is covered; and popularity, if the model knows of any, which is due to no entry.
        """
        covered = self.covered(promotion_index)
        weights = self._weights_of(covered, pooled.item_scores)
        signals = members_explained(model, reading, covered, weights)
        own = None if pooled.own is None else pooled.own.given(covered, reading.history)
        if own is not None:
            signals.append(Signal(OWN_ACTIVITY, model.weights, own, 0.0))
        if model.has_prior:
            nothing = np.zeros(len(reading.history), dtype=np.float32)
            base = float(weights.dot(reading.base(covered)))
            signals.append(Signal("popularity", model.weights, nothing, base))
        return signals


def members_explained(
    model: FittedRecommender,
    reading: Reading,
    item_index: NDArray[np.int32],
    item_weight: NDArray[np.float32],
) -> list[Signal]:
    """What each model of a blend gave by entry of the history, or the one model there is."""
    if isinstance(model, FittedWithUnseen) and isinstance(reading, UnseenReading):
        known, stand_in = model.split(item_index, item_weight)
        named = [(TEXT, stand_in)] if len(stand_in[0]) else []
        if len(known[0]) or not named:
            named.insert(0, ("", known))
        return [
            Signal(name or one.name, one.weights, reading.spread(one.given), one.base)
            for name, part in named
            for one in members_explained(model.model, reading.reading, *part)
        ]
    if isinstance(model, FittedBlend) and isinstance(reading, BlendReading):
        parts = reading.explain_members(item_index, item_weight)
        return [
            Signal(member.kind, member.weights, part, 0.0)
            for member, part in zip(model.members, parts, strict=True)
        ]
    return [Signal(model.kind, model.weights, reading.explain(item_index, item_weight), 0.0)]
