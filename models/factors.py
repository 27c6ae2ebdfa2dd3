"""What ALS and iALS share once they are fitted: item factors, and the closed-form user step on a history.

A consumer is never kept: x = (s·YᵀY + Yᵤᵀ W Yᵤ + λ I)⁻¹ Yᵤᵀ b, where Yᵤ are the factors of the items of the
history. How s, W, b and λ come from the history is what the two differ in. The factors lie in their principal
axes, so that YᵀY is diagonal and the step costs what the history is long, hardly what the factors are many
(Woodbury: the matrix to invert has the smaller of both sizes).
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from features.distinct import distinct
from features.history import HistoryVector
from features.history_block import HistoryBlock
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.errors import InvalidModel
from models.parameters import read_parameters
from models.recommender import (
    ALL_ITEMS,
    Columns,
    Searches,
    in_its_places,
    require_array,
    usable_history,
)
from models.shortlist import Quantiser, worth_a_search

_SKEW = 1e-3
_TOGETHER_BYTES = 512 << 10
_LEAST_WEIGHT = np.float32(1e-12)

Solve = Callable[[NDArray[np.float32]], NDArray[np.float32]]


class FactorParameters(Protocol):
    """What the unfitted model is made with: a frozen dataclass that has `factors`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def factors(self) -> int: ...


class UserStep(msgspec.Struct, frozen=True, eq=False):
    """The terms of the user step for one history of n items.

    Attributes
    ----------
    scale, ridge : float
        s and λ.
    weight, target : float32[..., n]
        The diagonal of W, never negative, and b; of several histories of n items if they have more axes.
    """

    scale: float
    ridge: float
    weight: NDArray[np.float32]
    target: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class FittedFactors:
    """Scores items by xᵀyⱼ, where x is made from the history of the moment.

    Attributes
    ----------
    item_factors : float32[n_items, factors]
        Y, in principal axes: see `principal_axes`.
    made_with : FactorParameters
        The parameters it was fitted with.
    """

    kind: ClassVar[str]
    has_prior: ClassVar[bool] = False
    made_by: ClassVar[type]
    items: ItemIds
    weights: InteractionWeights
    item_factors: NDArray[np.float32]
    made_with: Any

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.items!r}, {self.made_with.factors} factors)"

    @abstractmethod
    def user_step(self, confidence: NDArray[np.float32]) -> UserStep:
        """The terms of the user step, from the confidences > 0 of a history of n items, float32[..., n]."""

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """Zeros, float32[n_items]: without a history factors have nothing to say."""
        return np.zeros(len(self.items), dtype=np.float32)

    @cached_property
    def spectrum(self) -> NDArray[np.float32]:
        """The diagonal of YᵀY, float32[factors].

        Raises
        ------
        InvalidModel
            When YᵀY is not diagonal, or too great for float32.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            gram = self.item_factors.T @ self.item_factors
        if not np.isfinite(gram).all():
            raise InvalidModel("array 'item_factors' holds values too great to score with")
        diagonal = np.diag(gram).copy()
        skew = np.abs(gram - np.diag(diagonal)).max(initial=0.0)
        if skew > _SKEW * diagonal.max(initial=0.0):
            raise InvalidModel(f"array 'item_factors' is not in its principal axes (off by {skew:.3g})")
        return np.asarray(diagonal, dtype=np.float32)

    def read(self, history: HistoryVector) -> "FactorsReading":
        """Take a history in: the terms of its user step."""
        places, index, confidence = usable_history(history, self.weights, n_items=len(self.items))
        seen, step = self.item_factors.take(index, axis=0), self.user_step(confidence)
        vector, solve = user_step_solved(seen, step, self.spectrum)
        return FactorsReading(self, history, places, seen, step.target, vector, solve)

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:
        """Quantised factors of these items, if they are many."""
        if not worth_a_search(len(item_index), self.item_factors.shape[1]):
            return (None,)
        return (self._quantiser.quantise(self.item_factors, item_index),)

    @cached_property
    def _quantiser(self) -> Quantiser:
        return Quantiser(self.item_factors)

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """xᵀyⱼ for every item j `within`, float32[n]."""
        return self.read(history).score(within)

    def parameters(self) -> dict[str, Any]:
        """The parameters of the unfitted model."""
        return asdict(self.made_with)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`item_factors`, float32[n_items, factors]."""
        return {"item_factors": self.item_factors}

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,
        *,
        arrays: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Any],
    ) -> Self:
        """Make it from `item_factors` and the parameters of the unfitted model."""
        made_with = read_parameters(cls.made_by, parameters)
        shape = (len(items), made_with.factors)
        model = cls(items, weights, require_array(arrays, "item_factors", shape=shape), made_with)
        # Computed and checked before anybody is served.
        _ = model.spectrum
        return model


class FactorsReading(msgspec.Struct, frozen=True, eq=False):
    """The user step of one history, its matrix factored once.

    Attributes
    ----------
    model : FittedFactors
        Whose items are scored.
    history : HistoryVector
        What was read.
    places : intp[n]
        The entries with a confidence above 0.
    seen : float32[n, factors]
        Factors of their items.
    target : float32[n]
        b of the user step.
    vector : float32[factors]
        The consumer's vector x.
    solve : callable
        r → A⁻¹ r, float32[factors] → float32[factors].
    """

    model: "FittedFactors"
    history: HistoryVector
    places: NDArray[np.intp]
    seen: NDArray[np.float32]
    target: NDArray[np.float32]
    vector: NDArray[np.float32]
    solve: Solve

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """Zeros, as `prior`."""
        return self.model.prior[within]

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """xᵀyⱼ for every item j `within`, float32[n]."""
        return self.model.item_factors[within] @ self.vector

    def shortlist(
        self, searches: Searches, n: int, *, also: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """The items found for x, and xᵀyⱼ of each."""
        (search,) = searches
        if search is None:
            return None
        found = distinct(np.concatenate([search.best(self.vector, n), also]))
        return found, self.score_items(found)

    def score_items(self, item_index: NDArray[np.int32]) -> NDArray[np.float32]:
        """xᵀyⱼ of some items, int32[n] → float32[n]."""
        return np.asarray(self.model.item_factors.take(item_index, axis=0) @ self.vector)

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """bᵢ · yⱼᵀ A⁻¹ yᵢ for every entry i of the history, float32[n]; they sum to the score of j."""
        wanted = self.model.item_factors.take(item_index, axis=0)
        if wanted.ndim == 2:
            wanted = wanted.sum(axis=0) if item_weight is None else item_weight.dot(wanted)
        given = self.target * self.seen.dot(self.solve(wanted))
        return in_its_places(given, self.places, len(self.history))


def user_step_solved(
    seen: NDArray[np.float32], step: UserStep, spectrum: NDArray[np.float32]
) -> tuple[NDArray[np.float32], Solve]:
    """The vector x of a user step, float32[factors], and r → A⁻¹ r.

    Parameters
    ----------
    seen : float32[n, factors]
        Yᵤ.
    spectrum : float32[factors]
        The diagonal of YᵀY.
    """
    diagonal = np.float32(step.scale) * spectrum + np.float32(step.ridge)
    # Of so few numbers `dot` takes half as long as `@`.
    right = step.target.dot(seen)
    # The larger system takes longer to factor, but each solution with it is a single call.
    if 2 * len(seen) >= len(diagonal):
        system = (seen.T * step.weight).dot(seen)
        system.reshape(-1)[:: len(system) + 1] += diagonal
        return _solved(system, right)
    # (D + Yᵤᵀ W Yᵤ)⁻¹ r = D⁻¹ r − Sᵀ (W⁻¹ + S Yᵤᵀ)⁻¹ S r with S = Yᵤ D⁻¹.
    inverse = np.asarray(1 / diagonal, dtype=np.float32)
    spread = np.asarray(seen * inverse, dtype=np.float32)
    inner = spread.dot(seen.T)
    # What hardly weighs anything has a very great inverse, and as little to say.
    inner.reshape(-1)[:: len(inner) + 1] += 1 / np.maximum(step.weight, _LEAST_WEIGHT)
    found, solve_inner = _solved(inner, spread.dot(right))

    def solve(right: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(right * inverse - solve_inner(spread.dot(right)).dot(spread))

    return np.asarray(right * inverse - found.dot(spread)), solve


def fold_in(model: FittedFactors, histories: HistoryBlock) -> NDArray[np.float32]:
    """The vectors that `model.read` makes of several histories, float32[n_rows, factors].

    Histories of the same length are taken together: what they have seen is one array, and their systems are
    one product. Each must have an item with a confidence above 0.
    """
    confidence = histories.confidence(model.weights)
    counts = confidence > 0
    if not counts.all():
        histories, confidence = histories.cells(counts), confidence[counts]
    vectors = np.empty((len(histories), model.item_factors.shape[1]), dtype=np.float32)
    order = histories.sizes.argsort(kind="stable")
    sizes, firsts = np.unique(histories.sizes[order], return_index=True)
    for size, alike in zip(sizes.tolist(), np.split(order, firsts[1:]), strict=True):
        n_together = max(1, _TOGETHER_BYTES // (4 * size * vectors.shape[1]))
        for start in range(0, len(alike), n_together):
            rows = alike[start : start + n_together]
            cells = histories.indptr[rows, np.newaxis] + np.arange(size)
            seen = model.item_factors.take(histories.item_index.take(cells), axis=0)
            vectors[rows] = user_steps_solved(seen, model.user_step(confidence.take(cells)), model.spectrum)
    return vectors


def user_steps_solved(
    seen: NDArray[np.float32], step: UserStep, spectrum: NDArray[np.float32]
) -> NDArray[np.float32]:
    """`user_step_solved` of several histories of the same length, float32[n_rows, factors].

    Parameters
    ----------
    seen : float32[n_rows, n, factors]
        Yᵤ of each.
    """
    diagonal = np.float32(step.scale) * spectrum + np.float32(step.ridge)
    right = (step.target[:, np.newaxis] @ seen)[:, 0]
    if 2 * seen.shape[1] >= len(diagonal):
        systems = (seen * step.weight[..., np.newaxis]).transpose(0, 2, 1) @ seen
        return _each_solved(systems, right, diagonal)
    inverse = np.asarray(1 / diagonal, dtype=np.float32)
    spread = seen * inverse
    inner = spread @ seen.transpose(0, 2, 1)
    found = _each_solved(
        inner, (spread @ right[..., np.newaxis])[..., 0], 1 / np.maximum(step.weight, _LEAST_WEIGHT)
    )
    return np.asarray(right * inverse - (found[:, np.newaxis] @ spread)[:, 0])


def _each_solved(systems: NDArray[Any], right: NDArray[Any], diagonal: NDArray[Any]) -> NDArray[np.float32]:
    """(A + D)⁻¹ r of each A, which is overwritten, float32[n_rows, n]; one D, float32[n], or one each."""
    n_rows, size, _ = systems.shape
    systems.reshape(n_rows, -1)[:, :: size + 1] += diagonal
    # numpy's own solution of many systems takes twice as long as LAPACK's for symmetric ones, one by one.
    return np.array([_solution(system, one) for system, one in zip(systems, right, strict=True)])


def carried_over(
    earlier: "FittedFactors", items: ItemIds, *, spread: float, random_state: int
) -> NDArray[np.float32]:
    """Item factors to begin with: those of an earlier model where it knew the item, noise elsewhere.

    Returns
    -------
    float32[n_items, factors]
    """
    known = items.columns_in(earlier.items)
    new = np.flatnonzero(known < 0)
    start = earlier.item_factors[known]
    noise = np.random.default_rng(random_state).standard_normal((len(new), start.shape[1]))
    start[new] = spread * noise
    return start


def first_singular_vectors(
    cells: sparse.csr_matrix,
    n_vectors: int,
    *,
    per_consumer: NDArray[np.float64],
    per_item: NDArray[np.float64],
    random_state: int,
) -> NDArray[np.float32]:
    """The first right singular vectors of D_u^−½ R D_i^−½, float32[n_items, m].

    By random projection: Halko, Martinsson, Tropp: Finding Structure with Randomness (2011).

    Parameters
    ----------
    n_vectors : int
        As many, or as many as R has rows and columns but one.
    per_consumer, per_item : float64[n]
        The diagonals of D_u and D_i; what has 0 there is left out.
    """
    n_vectors = min(n_vectors, *(side - 1 for side in cells.shape))
    if n_vectors < 1:
        return np.zeros((cells.shape[1], 0), dtype=np.float32)
    # Importing it takes long and serving does not need it.
    from sklearn.utils.extmath import randomized_svd

    left, right = (
        sparse.diags_array(np.power(sums, -0.5, out=np.zeros_like(sums), where=sums > 0))
        for sums in (per_consumer, per_item)
    )
    normalised = sparse.csr_matrix(left @ cells @ right, dtype=np.float32)
    # BLAS threads would sum in another order from run to run.
    with threadpool_limits(limits=1, user_api="blas"):
        _, _, vectors = randomized_svd(normalised, n_vectors, n_iter=3, random_state=random_state)
    return np.asarray(vectors.T, dtype=np.float32)


def principal_axes(factors: NDArray[Any]) -> NDArray[np.float32]:
    """Turn factors so that YᵀY is diagonal, float[n_items, factors] → float32[n_items, factors].

    Scores do not change by that: (Y Q)(Y Q)ᵀ = Y Yᵀ for every rotation Q.
    """
    exact = factors.astype(np.float64)
    _, rotation = np.linalg.eigh(exact.T @ exact)
    return np.ascontiguousarray(exact @ rotation[:, ::-1], dtype=np.float32)


def _solved(system: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[NDArray[np.float32], Solve]:
    """A⁻¹ r and the way to more of it, for a symmetric positive definite A, which is overwritten."""
    factor, found = _factored(system, right)
    return found, lambda right: lapack.spotrs(factor, right, lower=True)[0]


def _solution(system: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    return _factored(system, right)[1]


def _factored(
    system: NDArray[np.float32], right: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The factor of A, which is overwritten, and A⁻¹ r."""
    # LAPACK reads columns where numpy has rows: of a symmetric matrix it is the same, without a copy.
    factor, found, info = lapack.sposv(system.T, right, lower=True, overwrite_a=True)
    if info != 0:
        raise InvalidModel(f"the user step has no solution (LAPACK info {info}); raise the regularization")
    return factor, found
