"""The contract of every model: a function from a history to item scores, never from a consumer id.

Fitted and unfitted are different types: what has `fit` has no `score`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.history import HistoryVector
from features.ids import ItemIds
from features.interactions import Interactions
from features.weights import InteractionWeights
from models.errors import EmptyHistory, InvalidModel
from models.shortlist import Search

ALL_ITEMS = slice(None)
"""The columns of every item."""

Columns = slice | NDArray[np.int32]
"""Columns of some items: a range, or one by one."""

Searches = tuple[Search | None, ...]
"""How a model finds the best items, member by member."""

Progress = Callable[[int, int], None]
"""Told (steps done, steps) of a fit."""


class Reading(Protocol):
    """One history as a model reads it. What its scores and their reasons share is computed once."""

    @property
    def history(self) -> HistoryVector:
        """What was read."""
        ...

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """What each item `within` scores with this history, but not because of it, float32[n]."""
        ...

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """Score of every item `within`, float32[n], finite.

        Parameters
        ----------
        within : slice
            The columns wanted, such as a site's: a decision need not score the whole network. No step.
        """
        ...

    def shortlist(
        self, searches: Searches, n: int, *, also: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """The n items (or some more) that probably score best, ascending, and their exact scores.

        Parameters
        ----------
        searches : tuple of Search or None
            What `search_among` gave.
        also : int32[k]
            Items to score in any case.

        Returns
        -------
        int32[m], float32[m], or None where scoring every item is as cheap.
        """
        ...

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What each entry of the history gave to an item's score, float32[n] in the history's order.

        Σ explain(j) + base()[j] = score()[j]. With several items and their weights w, the same for
        Σⱼ wⱼ · scoreⱼ: how a promotion is explained through the items it covers.
        """
        ...


class FittedRecommender(Protocol):
    """A model that scores. Immutable: two threads may ask it at once."""

    @property
    def kind(self) -> str:
        """Name of the family, as the bundle keeps it."""
        ...

    @property
    def items(self) -> ItemIds:
        """The items it scores, in the order of the scores."""
        ...

    @property
    def weights(self) -> InteractionWeights:
        """How a history must be weighed for it."""
        ...

    @property
    def prior(self) -> NDArray[np.float32]:
        """What each item scores before any history is known, float32[n_items]."""
        ...

    @property
    def has_prior(self) -> bool:
        """Whether an item may score without a history; if not, `prior` and every `base` are zeros."""
        ...

    def read(self, history: HistoryVector) -> Reading:
        """Take a history in, to score by it and to tell why.

        Raises
        ------
        EmptyHistory
            When no item of the history has a confidence above 0.
        """
        ...

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:
        """Lay out some items (ascending) to find the best of them fast; takes a second for a million.

        One search for each member of a blend, None for those that have none.
        """
        ...

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """`read(history).score(within)`."""
        ...

    def parameters(self) -> dict[str, Any]:
        """What it was made with, as plain JSON values."""
        ...

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What it learned, by name; together with `parameters` all that `from_arrays` needs."""
        ...

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,
        *,
        arrays: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Any],
    ) -> Self:
        """Make it from what was kept; raises `InvalidModel` when shapes or values are wrong."""
        ...


class Recommender(Protocol):
    """What can learn. Holds parameters only, so that fitting again starts afresh."""

    def fit(self, interactions: Interactions, *, progress: Progress | None = None) -> FittedRecommender:
        """Learn from interactions; `progress` is told how far it is."""
        ...


def usable_history(
    history: HistoryVector, weights: InteractionWeights, *, n_items: int
) -> tuple[NDArray[np.intp], NDArray[np.int32], NDArray[np.float32]]:
    """Places in the history with a confidence above 0, their items and their confidences.

    Returns
    -------
    intp[n], int32[n], float32[n]

    Raises
    ------
    EmptyHistory
        When there is no such place.
    """
    index, confidence = history.item_index, history.confidence(weights)
    places = confidence.nonzero()[0]
    if len(places) == 0:
        raise EmptyHistory(f"none of the history's {len(history)} items has a confidence above 0")
    if index[-1] >= n_items or index[0] < 0:
        raise InvalidModel(f"the history names item {index[-1]}; the model knows {n_items}")
    if len(places) < len(index):
        index, confidence = index[places], confidence[places]
    return places, index, confidence


def in_its_places(
    given: NDArray[np.float32], places: NDArray[np.intp], n_entries: int
) -> NDArray[np.float32]:
    """What the entries at some places gave, with zeros for the others, float32[n] → float32[n_entries]."""
    if len(places) == n_entries:
        return given
    everywhere = np.zeros(n_entries, dtype=np.float32)
    everywhere[places] = given
    return everywhere


def require_array(
    arrays: Mapping[str, NDArray[Any]], name: str, *, shape: tuple[int | None, ...], dtype: type = np.float32
) -> NDArray[Any]:
    """One array of a kept model, checked: there, right type and shape (None: any length), finite."""
    if name not in arrays:
        raise InvalidModel(f"no array {name!r}; there are: {', '.join(sorted(arrays)) or 'none'}")
    array = arrays[name]
    fits = array.ndim == len(shape) and all(
        want is None or want == have for want, have in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        raise InvalidModel(
            f"array {name!r} is {array.dtype}{list(array.shape)}; expected {np.dtype(dtype)}{list(shape)}"
        )
    if not np.isfinite(array).all():
        raise InvalidModel(f"array {name!r} holds values that are not finite")
    return array


def require_rows(arrays: Mapping[str, NDArray[Any]], *, shape: tuple[int, int]) -> sparse.csr_matrix:
    """A sparse matrix kept as `row_ends`, `columns` and `values`, checked."""
    n_rows, n_columns = shape
    values = require_array(arrays, "values", shape=(None,))
    columns = require_array(arrays, "columns", shape=(len(values),), dtype=np.int32)
    row_ends = require_array(arrays, "row_ends", shape=(n_rows,), dtype=np.int64)
    indptr = np.concatenate([[0], row_ends])
    if (np.diff(indptr) < 0).any() or indptr[-1] != len(values):
        raise InvalidModel(f"array 'row_ends' does not divide {len(values)} values into {n_rows} rows")
    if len(columns) and not (columns.min() >= 0 and columns.max() < n_columns):
        raise InvalidModel(f"array 'columns' names columns beyond the {n_columns} there are")
    return sparse.csr_matrix((values, columns, indptr), shape=shape)
