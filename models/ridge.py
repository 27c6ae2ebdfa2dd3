"""Linear regression from all that a consumer did to what they are to be shown, in closed form.

For each item j: min |tⱼ − F₋ⱼ w − Σₖ zₖⱼ oₖ|² + λ|w|² + λ_own Σₖ (oₖ − ōₖ)².

F is all consumers' confidence in all items, rows scaled; F₋ⱼ leaves item j out: the target is part of it;
zₖⱼ is what they did with j itself by kinds other than the target, such as viewed and not bought; ō is
what these weigh over all items. In the end the scores of popular items are discounted. Without own kinds and
with the confidence as its target it is EASE (Steck: Embarrassingly Shallow Autoencoders for Sparse Data,
2019).
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack

from features.interactions import Interactions
from features.weights import KINDS
from models.errors import InvalidModel
from models.item_item import FittedItemItem, strongest
from models.parameters import require_numbers
from models.recommender import Progress

logger = logging.getLogger(__name__)

LARGEST_CATALOGUE = 20_000
"""Its memory grows with the square of the items, its time with the cube: beyond, a graph filter."""

_BLOCK = 2048


@dataclass(frozen=True, slots=True)
class Ridge:
    """Solves the regression for all items at once.

    Parameters
    ----------
    regularization : float
        λ.
    own : float
        λ_own; 0 leaves own columns out.
    row : float
        A consumer's row is divided by its length (2-norm) to this power.
    page_view, product_review, purchase : float
        The target: what one event of each kind is worth. What has the greatest worth is no own column.
    kept : int
        Weights a row.
    discount : float
        The score of an item is divided by (consumers it has / mean of all items) to this power: what is
        popular is found by popularity already.
    """

    power: ClassVar[float] = 1.0

    regularization: float = 100.0
    own: float = 30.0
    row: float = 0.5
    page_view: float = 0.0
    product_review: float = 0.0
    purchase: float = 1.0
    kept: int = 500
    discount: float = 0.0

    def __post_init__(self) -> None:
        require_numbers(self, whole={"kept": 1}, positive=("regularization",), up_to={"discount": 2})
        for name in ("own", "row", *KINDS):
            value = getattr(self, name)
            if isinstance(value, bool) or not 0 <= value < 1e9:
                raise InvalidModel(f"{name}={value!r}: give a number from 0 to 1e9")
        if not any(getattr(self, kind) > 0 for kind in KINDS):
            raise InvalidModel(f"purchase={self.purchase!r}: give one of {', '.join(KINDS)} a worth above 0")

    def fit(self, interactions: Interactions, *, progress: Progress | None = None) -> "FittedRidge":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (steps done, steps).
        """
        n_items = len(interactions.items)
        if n_items > LARGEST_CATALOGUE:
            raise InvalidModel(
                f"{n_items} items are too many to regress on; up to {LARGEST_CATALOGUE} are not"
            )
        started = time.perf_counter()
        kinds = self._own_kinds(interactions)
        told = _Steps(progress, 2 + len(kinds))
        by_kind, features, target = self._cells(interactions)
        inverse = _inverse_gram(features, self.regularization)
        told.next()
        weights = _without_own(inverse, inverse @ _product(features, target))
        told.next()
        own = np.zeros((len(KINDS), n_items), dtype=np.float32)
        if kinds:
            columns = [by_kind[kind] for kind in kinds]
            explained = []
            for column in columns:
                explained.append(_without_own(inverse, inverse @ _product(features, column)))
                told.next()
            found = _own_weights(features, target, columns, explained, weights=weights, ridge=self.own)
            for kind, weight, beside in zip(kinds, found, explained, strict=True):
                own[KINDS.index(kind)] = weight
                weights -= beside * weight
        kept_back = _discount(features, self.discount)
        weights *= kept_back
        own *= kept_back
        blocks = [
            strongest(weights[start : start + _BLOCK], self.kept) for start in range(0, n_items, _BLOCK)
        ]
        matrix = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        seconds = time.perf_counter() - started
        logger.info("ridge: %d × %d, %d weights kept, %.1f s", *matrix.shape, matrix.nnz, seconds)
        return FittedRidge(interactions.items, interactions.weights, matrix, own, self)

    def _own_kinds(self, interactions: Interactions) -> list[str]:
        told = [kind for kind in KINDS if interactions.by_kind[kind].nnz and self._counts(interactions, kind)]
        most = max(told, key=lambda kind: getattr(self, kind), default="")
        return [kind for kind in told if kind != most and self.own > 0]

    def _counts(self, interactions: Interactions, kind: str) -> bool:
        return bool(interactions.weights.by_kind[KINDS.index(kind)] > 0)

    def _cells(
        self, interactions: Interactions
    ) -> tuple[dict[str, sparse.csr_matrix], sparse.csr_matrix, sparse.csr_matrix]:
        """Each kind weighed, their sum F, rows scaled alike; and the target."""
        confidence = interactions.confidence()
        scale = sparse.diags_array(_row_scale(confidence, self.row))
        worths = zip(KINDS, interactions.weights.by_kind, strict=True)
        by_kind = {
            kind: sparse.csr_matrix(scale @ interactions.by_kind[kind] * weight) for kind, weight in worths
        }
        target = sum(getattr(self, kind) * _yes_or_no(interactions.by_kind[kind]) for kind in KINDS)
        return by_kind, sparse.csr_matrix(scale @ confidence), sparse.csr_matrix(target)


class FittedRidge(FittedItemItem):
    """A ridge regression's weights."""

    kind: ClassVar[str] = "ridge"
    made_by: ClassVar[type] = Ridge

    def scale(self, confidence: NDArray[np.float32]) -> float:
        """1 / length of the history to the power `row`."""
        return float(float(confidence @ confidence) ** (-self.made_with.row / 2))


class _Steps:
    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def next(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _discount(features: sparse.csr_matrix, power: float) -> NDArray[np.float32]:
    consumers = np.maximum(np.bincount(features.indices, minlength=features.shape[1]), 1)
    return np.asarray((consumers / consumers.mean()) ** -power, dtype=np.float32)


def _row_scale(matrix: sparse.csr_matrix, power: float) -> NDArray[np.float64]:
    length = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel())
    return np.power(length, -power, out=np.zeros_like(length), where=length > 0)


def _yes_or_no(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    return sparse.csr_matrix((np.ones_like(matrix.data), matrix.indices, matrix.indptr), shape=matrix.shape)


def _product(left: sparse.csr_matrix, right: sparse.csr_matrix) -> NDArray[np.float32]:
    return np.asarray((left.T @ right).toarray(), dtype=np.float32)


def _inverse_gram(features: sparse.csr_matrix, ridge: float) -> NDArray[np.float32]:
    """(FᵀF + λI)⁻¹, float32[n_items, n_items]."""
    gram = np.asfortranarray(_product(features, features))
    gram.flat[:: len(gram) + 1] += np.float32(ridge)
    lower, info = lapack.spotrf(gram, lower=1, overwrite_a=1, clean=0)
    if info == 0:
        lower, info = lapack.spotri(lower, lower=1, overwrite_c=1)
    if info != 0:
        raise InvalidModel(
            f"the regression has no solution (LAPACK info {info}); raise regularization={ridge}"
        )
    for start in range(0, len(lower), _BLOCK):
        end = min(start + _BLOCK, len(lower))
        lower[start:end, end:] = lower[end:, start:end].T
        block = lower[start:end, start:end]
        block[:] = np.tril(block) + np.tril(block, -1).T
    return np.asarray(lower, dtype=np.float32)


def _without_own(inverse: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The solution with each item's own weight held at 0 (Lagrange multipliers, as in EASE); in place."""
    factor = np.asarray(np.diag(weights) / np.diag(inverse), dtype=np.float32)
    for start in range(0, len(weights), _BLOCK):
        weights[start : start + _BLOCK] -= inverse[start : start + _BLOCK] * factor
    np.fill_diagonal(weights, 0)
    return weights


def _own_weights(
    features: sparse.csr_matrix,
    target: sparse.csr_matrix,
    columns: Sequence[sparse.csr_matrix],
    explained: Sequence[NDArray[np.float32]],
    *,
    weights: NDArray[np.float32],
    ridge: float,
) -> NDArray[np.float32]:
    """Weights of the own columns, float32[n_columns, n_items], drawn to what they are over all items."""
    n_columns, n_items = len(columns), features.shape[1]
    gram = np.zeros((n_items, n_columns, n_columns))
    right = np.zeros((n_items, n_columns))
    for a, column in enumerate(columns):
        with_features = features.T @ column
        right[:, a] = _sums(column, target) - _cell_sums(with_features, weights)
        for b, other in enumerate(columns):
            gram[:, a, b] = _sums(column, other) - _cell_sums(with_features, explained[b])
    slight = 1e-6 * np.eye(n_columns)
    overall = np.linalg.solve(gram.sum(axis=0) + slight, right.sum(axis=0))
    found = np.linalg.solve(gram + ridge * np.eye(n_columns), (right + ridge * overall)[:, :, np.newaxis])
    return np.asarray(found[:, :, 0].T, dtype=np.float32)


def _sums(left: sparse.csr_matrix, right: sparse.csr_matrix) -> NDArray[Any]:
    return np.asarray(left.multiply(right).sum(axis=0), dtype=np.float64).ravel()


def _cell_sums(cells: sparse.csr_matrix, dense: NDArray[np.float32]) -> NDArray[Any]:
    """Σᵢ cellsᵢⱼ · denseᵢⱼ for each j, float64[n_items]."""
    coordinates = sparse.coo_matrix(cells)
    products = coordinates.data * dense[coordinates.row, coordinates.col]
    return np.bincount(coordinates.col, weights=products, minlength=dense.shape[1])
