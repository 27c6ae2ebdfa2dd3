"""What the linear item-item models share once fitted: the items that each item of a history speaks for.

score_j = c · (Σᵢ rᵢ^power · Wᵢⱼ + Σₖ ownₖⱼ · wₖ · hₖⱼ) over the items i of the history.

r is their confidence, hₖⱼ what the history holds of kind k on j itself, wₖ that kind's weight, and c a factor
for the whole history. W has no diagonal and is sparse: the strongest weights of each row are kept, so that a
decision costs what the history is long.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# What scipy multiplies its sparse matrices with; there is no public way to some rows without a copy of them.
from scipy.sparse import _sparsetools as sparsetools

from features.history import HistoryVector
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from models.parameters import read_parameters
from models.recommender import (
    ALL_ITEMS,
    Columns,
    Searches,
    in_its_places,
    require_array,
    require_rows,
    usable_history,
)


@dataclass(frozen=True, eq=False)
class FittedItemItem:
    """Scores items by what the history's items say of them.

    Attributes
    ----------
    matrix : csr float32[n_items, n_items]
        W: a row for each item of a history, a column for each item scored.
    own : float32[n_kinds, n_items]
        What activity with an item says of that item itself.
    made_with : dataclass
        The parameters it was fitted with; has `power`.
    """

    kind: ClassVar[str]
    has_prior: ClassVar[bool] = False
    made_by: ClassVar[type]
    items: ItemIds
    weights: InteractionWeights
    matrix: sparse.csr_matrix
    own: NDArray[np.float32]
    made_with: Any

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.items!r}, {self.matrix.nnz} weights)"

    def scale(self, confidence: NDArray[np.float32]) -> float:  # noqa: ARG002 - for those that scale
        """The factor c, from the confidences > 0 of a history, float32[n]."""
        return 1.0

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """Zeros, float32[n_items]: without a history nothing speaks for an item."""
        return np.zeros(len(self.items), dtype=np.float32)

    @cached_property
    def speaks_of_itself(self) -> bool:
        """Whether `own` says anything."""
        return bool(self.own.any())

    def read(self, history: HistoryVector) -> "ItemItemReading":
        """Take a history in: the items that count, c · r^power of each, and what it says of itself."""
        places, index, confidence = usable_history(history, self.weights, n_items=len(self.items))
        scale = np.float32(self.scale(confidence))
        x = scale * raised(confidence, self.made_with.power)
        own = None
        if self.speaks_of_itself:
            parts = history.weighed(self.weights).by_kind
            parts = parts if len(places) == len(history) else parts[:, places]
            own = scale * np.add.reduce(self.own.take(index, axis=1) * parts, axis=0).astype(np.float32)
        return ItemItemReading(self, history, places, index, x, own)

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:  # noqa: ARG002 - the contract's
        """None: what a history's rows do not name is not looked at anyway."""
        return (None,)

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        return self.read(history).score(within)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the unfitted model."""
        return asdict(self.made_with)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`own`, and the matrix row by row: `row_ends` int64[n_items], `columns` int32[n], `values`."""
        return {
            "own": self.own,
            "row_ends": self.matrix.indptr[1:].astype(np.int64),
            "columns": self.matrix.indices.astype(np.int32, copy=False),
            "values": self.matrix.data,
        }

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,
        *,
        arrays: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Any],
    ) -> Self:
        """Make it from what `arrays` and `parameters` gave."""
        made_with = read_parameters(cls.made_by, parameters)
        n_items = len(items)
        own = require_array(arrays, "own", shape=(len(KINDS), n_items))
        matrix = require_rows(arrays, shape=(n_items, n_items))
        model = cls(items, weights, matrix, own, made_with)
        # Looked at before anybody is served.
        _ = model.speaks_of_itself
        return model


class ItemItemReading(msgspec.Struct, frozen=True, eq=False):
    """What one history says.

    Attributes
    ----------
    model : FittedItemItem
        Whose items are scored.
    history : HistoryVector
        What was read.
    places : intp[n]
        The entries with a confidence above 0.
    index : int32[n]
        Their items, ascending.
    x : float32[n]
        What they count for other items.
    own : float32[n] or None
        What each says of itself, if the model knows of such a thing.
    """

    model: "FittedItemItem"
    history: HistoryVector
    places: NDArray[np.intp]
    index: NDArray[np.int32]
    x: NDArray[np.float32]
    own: NDArray[np.float32] | None

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """Zeros, as `prior`."""
        return self.model.prior[within]

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        start, stop, _ = within.indices(len(self.model.items))
        scores = _sum_of_rows(self.model.matrix, self.index, self.x, start=start, stop=stop)
        if self.own is not None:
            mine = slice(*self.index.searchsorted([start, stop]))
            scores[self.index[mine] - start] += self.own[mine]
        return scores

    def shortlist(self, searches: Searches, n: int, *, also: NDArray[np.int32]) -> None:  # noqa: ARG002 - the contract's
        """None: it costs what scoring costs."""
        return

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What every entry of the history gave, float32[n]."""
        items = np.atleast_1d(item_index)
        weight = np.ones(len(items), dtype=np.float32) if item_weight is None else item_weight
        given = self.x * _rows_times(self.model.matrix, self.index, items, weight)
        if self.own is not None:
            for item, its_weight in zip(items, weight, strict=True):
                given += np.where(self.index == item, its_weight * self.own, np.float32(0))
        return in_its_places(given, self.places, len(self.history))


def _some_rows(matrix: sparse.csr_matrix, index: NDArray[np.int32]) -> NDArray[Any]:
    """Bounds of some rows (ascending) for `sparsetools`, from the last to the first: [start, end, ...].

    So every other row is one between an end and an earlier start: it ends before it begins, and is empty.
    That takes rows out of a matrix without copying them; scipy's own way copies them first.
    """
    ends = np.empty((len(index), 2), dtype=matrix.indptr.dtype)
    ends[:, 0] = matrix.indptr.take(index[::-1])
    ends[:, 1] = matrix.indptr.take(index[::-1] + 1)
    return ends.ravel()


def _sum_of_rows(
    matrix: sparse.csr_matrix,
    index: NDArray[np.int32],
    factor: NDArray[np.float32],
    *,
    start: int,
    stop: int,
) -> NDArray[np.float32]:
    """Σᵢ factorᵢ · matrix[indexᵢ, start:stop], float32[stop - start]."""
    bounds = _some_rows(matrix, index)
    factors = np.zeros(len(bounds), dtype=np.float32)
    factors[::2] = factor[::-1]
    sums = np.empty(matrix.shape[1], dtype=np.float32)
    # What comes to lie beside is never looked at.
    sums[start:stop] = 0
    sparsetools.csc_matvec(
        matrix.shape[1], len(bounds) - 1, bounds, matrix.indices, matrix.data, factors, sums
    )
    return sums[start:stop]


def _rows_times(
    matrix: sparse.csr_matrix,
    index: NDArray[np.int32],
    columns: NDArray[np.int32],
    weight: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Σⱼ weightⱼ · matrix[indexᵢ, columnsⱼ] for each i, float32[n]."""
    if len(columns) == 1:
        found = np.empty(len(index), dtype=np.float32)
        rows = index.astype(matrix.indices.dtype, copy=False)
        column = np.full(len(index), columns[0], dtype=matrix.indices.dtype)
        sparsetools.csr_sample_values(
            *matrix.shape, matrix.indptr, matrix.indices, matrix.data, len(index), rows, column, found
        )
        return np.asarray(found * weight[0])
    bounds = _some_rows(matrix, index)
    weights = np.zeros(matrix.shape[1], dtype=np.float32)
    weights[columns] = weight
    sums = np.zeros(len(bounds) - 1, dtype=np.float32)
    sparsetools.csr_matvec(
        len(bounds) - 1, matrix.shape[1], bounds, matrix.indices, matrix.data, weights, sums
    )
    return sums[::2][::-1]


def raised(confidence: NDArray[Any], power: float) -> NDArray[np.float32]:
    """x = r^power of confidences r > 0, as float32; power 0 is yes or no."""
    if power == 1:
        return np.asarray(confidence, dtype=np.float32)
    return np.asarray(confidence.astype(np.float64) ** power, dtype=np.float32)


def strongest(rows: NDArray[np.float32], n_kept: int) -> sparse.csr_matrix:
    """Keep the `n_kept` greatest of each row by size, float32[n, m] → csr float32[n, m], indices sorted."""
    n_kept = min(n_kept, rows.shape[1])
    columns = np.argpartition(-np.abs(rows), n_kept - 1, axis=1)[:, :n_kept]
    columns.sort(axis=1)
    values = np.take_along_axis(rows, columns, axis=1)
    indptr = np.arange(0, rows.shape[0] * n_kept + 1, n_kept)
    kept = sparse.csr_matrix((values.ravel(), columns.ravel().astype(np.int32), indptr), shape=rows.shape)
    kept.eliminate_zeros()
    return kept
