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

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.history import HistoryVector
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from models.parameters import read_parameters
from models.recommender import ALL_ITEMS, Searches, require_array, require_rows, usable_history


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

    def read(self, history: HistoryVector) -> "ItemItemReading":
        """Take a history in: the items that count, c · r^power of each, and what it says of itself."""
        places, confidence = usable_history(history, self.weights, n_items=len(self.items))
        index, confidence = history.item_index[places], confidence[places]
        scale = np.float32(self.scale(confidence))
        by_kind = self.weights.by_kind.astype(np.float32)[:, np.newaxis] * history.by_kind[:, places]
        own = scale * (self.own[:, index] * by_kind).sum(axis=0)
        x = scale * raised(confidence, self.made_with.power)
        return ItemItemReading(self, history, places, index, x, own)

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:  # noqa: ARG002 - the contract's
        """None: what a history's rows do not name is not looked at anyway."""
        return (None,)

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        return self.read(history).score(within)

    def rows(self, within: slice = ALL_ITEMS) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Columns, counted from the first `within`, and values of the rows, [n_items, longest] each.

        Filled up to one length: for a decision, taking rows of these and counting is several times faster
        than slicing the matrix.
        Laid out when first asked for, then kept: there are as many as sites.
        """
        start, stop, _ = within.indices(len(self.items))
        if (start, stop) not in self._laid_out:
            self._laid_out[start, stop] = _lay_out(self.matrix[:, start:stop])
        return self._laid_out[start, stop]

    @cached_property
    def _laid_out(self) -> dict[tuple[int, int], tuple[NDArray[np.intp], NDArray[np.float32]]]:
        return {}

    def parameters(self) -> dict[str, Any]:
        """The parameters of the unfitted model."""
        return asdict(self.made_with)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`own`, and the matrix row by row: `row_ends` int64[n_items], `columns` int32[n], `values`."""
        return {
            "own": self.own,
            "row_ends": self.matrix.indptr[1:].astype(np.int64),
            "columns": self.matrix.indices.astype(np.int32),
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
        # Laid out before anybody is served: reasons look at whole rows.
        _ = model.rows()
        return model


@dataclass(frozen=True, eq=False, slots=True)
class ItemItemReading:
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
    x, own : float32[n]
        What they count for other items, and what each says of itself.
    """

    model: FittedItemItem
    history: HistoryVector
    places: NDArray[np.intp]
    index: NDArray[np.int32]
    x: NDArray[np.float32]
    own: NDArray[np.float32]

    def base(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """Zeros, as `prior`."""
        return self.model.prior[within]

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        columns, values = self.model.rows(within)
        start, stop, _ = within.indices(len(self.model.items))
        spoken_for = values.take(self.index, axis=0) * self.x[:, np.newaxis]
        places = columns.take(self.index, axis=0)
        # Cut, for rows are filled up with column 0, even of no columns.
        scores = np.bincount(places.ravel(), spoken_for.ravel(), minlength=stop - start)[: stop - start]
        mine = slice(*np.searchsorted(self.index, [start, stop]))
        scores[self.index[mine] - start] += self.own[mine].astype(np.float64)
        return scores.astype(np.float32)

    def shortlist(self, searches: Searches, n: int, *, also: NDArray[np.int32]) -> None:  # noqa: ARG002 - the contract's
        """None: it costs what scoring costs."""
        return

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What every entry of the history gave, float32[n]."""
        weight = np.zeros(len(self.model.items), dtype=np.float32)
        weight[item_index] = 1 if item_weight is None else item_weight
        columns, values = self.model.rows()
        wanted = weight.take(columns.take(self.index, axis=0))
        given = np.zeros(len(self.history), dtype=np.float32)
        given[self.places] = self.own * weight[self.index]
        given[self.places] += self.x * np.einsum("ij,ij->i", values.take(self.index, axis=0), wanted)
        return given


def _lay_out(matrix: sparse.csr_matrix) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    lengths = np.diff(matrix.indptr)
    places = np.arange(lengths.max(initial=1)) < lengths[:, np.newaxis]
    columns = np.zeros(places.shape, dtype=np.intp)
    values = np.zeros(places.shape, dtype=np.float32)
    columns[places], values[places] = matrix.indices, matrix.data
    return columns, values


def raised(confidence: NDArray[Any], power: float) -> NDArray[np.float32]:
    """x = r^power of confidences r > 0, as float32; power 0 is yes or no."""
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
