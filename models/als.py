"""Alternating least squares on implicit feedback. The only module that knows `implicit`.

Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (2008). A consumer is never kept:
their vector is the closed-form user step on the history of the moment.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from features.history import HistoryVector
from features.ids import ItemIds
from features.interactions import Interactions
from features.weights import InteractionWeights
from models.errors import InvalidModel
from models.recommender import require_array, usable_history

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Als:
    """Learns item factors.

    Parameters
    ----------
    factors : int
        Length of a vector.
    regularization : float
        λ, on both sides.
    alpha : float
        Confidence c = 1 + alpha · r, where r is what `InteractionWeights` makes of the events.
    iterations : int
        Pairs of user and item steps.
    random_state : int
        Seed of the first factors. Same seed, same interactions, same factors, bit for bit.
    """

    factors: int = 64
    regularization: float = 5.0
    alpha: float = 1.0
    iterations: int = 10
    random_state: int = 0

    def __post_init__(self) -> None:
        for name, least in (("factors", 1), ("iterations", 1), ("random_state", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidModel(f"{name}={value!r}: give a whole number of {least} or more")
        for name in ("regularization", "alpha"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e12:
                raise InvalidModel(f"{name}={value!r}: give a number above 0 and below 1e12")

    def fit(
        self, interactions: Interactions, *, progress: Callable[[int, int], None] | None = None
    ) -> "FittedAls":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (iterations done, iterations) after each one.
        """
        # Importing implicit takes long and serving does not need it.
        from implicit.cpu.als import AlternatingLeastSquares

        started = time.perf_counter()
        confidence = to_als_confidence(interactions.confidence(), self.alpha)
        # BLAS threads compete with implicit's own and sum in another order from run to run.
        with threadpool_limits(limits=1, user_api="blas"):
            solver = AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                iterations=self.iterations,
                random_state=self.random_state,
                use_cg=True,
            )
            solver.fit(confidence, show_progress=False, callback=_count(progress, self.iterations))
        logger.info(
            "ALS fitted: %d × %d, %d cells, %d factors, %.1f s",
            *confidence.shape,
            confidence.nnz,
            self.factors,
            time.perf_counter() - started,
        )
        return FittedAls(
            interactions.items, interactions.weights, np.ascontiguousarray(solver.item_factors), self
        )


@dataclass(frozen=True, eq=False)
class FittedAls:
    """Scores items by xᵀyⱼ, where x is made from the history of the moment.

    Attributes
    ----------
    item_factors : float32[n_items, factors]
        Y.
    made_with : Als
        The parameters it was fitted with.
    """

    kind: ClassVar[str] = "als"
    items: ItemIds
    weights: InteractionWeights
    item_factors: NDArray[np.float32]
    made_with: Als

    def __repr__(self) -> str:
        return f"FittedAls({self.items!r}, {self.made_with.factors} factors)"

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """Zeros, float32[n_items]: without a history ALS has nothing to say."""
        return np.zeros(len(self.items), dtype=np.float32)

    @cached_property
    def gram(self) -> NDArray[np.float32]:
        """YᵀY + λI, float32[factors, factors]."""
        factors = self.item_factors
        ridge = self.made_with.regularization * np.eye(factors.shape[1], dtype=np.float32)
        return np.asarray(factors.T @ factors + ridge, dtype=np.float32)

    def fold_in(self, history: HistoryVector) -> NDArray[np.float32]:
        """The consumer's vector x = (YᵀY + Yᵀ(C−I)Y + λI)⁻¹ YᵀCp, float32[factors]."""
        places, confidence = usable_history(history, self.weights, n_items=len(self.items))
        seen = self.item_factors[history.item_index[places]]
        c = to_als_confidence(confidence[places], self.made_with.alpha)
        return self._solve(seen, c, c @ seen)

    def score(self, history: HistoryVector) -> NDArray[np.float32]:
        """xᵀyⱼ for every item j, float32[n_items]."""
        return self.item_factors @ self.fold_in(history)

    def explain(
        self,
        history: HistoryVector,
        item_index: int | NDArray[np.int32],
        item_weight: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """cᵢ · yⱼᵀ A⁻¹ yᵢ for every entry i of the history, float32[n]; they sum to the score of j."""
        places, confidence = usable_history(history, self.weights, n_items=len(self.items))
        target = self.item_factors[item_index]
        if target.ndim == 2:
            target = target.sum(axis=0) if item_weight is None else item_weight @ target
        seen = self.item_factors[history.item_index[places]]
        c = to_als_confidence(confidence[places], self.made_with.alpha)
        given = np.zeros(len(history), dtype=np.float32)
        given[places] = c * (seen @ self._solve(seen, c, target))
        return given

    def _solve(
        self, seen: NDArray[np.float32], c: NDArray[np.float32], right: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        system = self.gram + (seen.T * (c - 1)) @ seen
        _, solution, info = lapack.sposv(system, right, lower=True)
        if info != 0:
            raise InvalidModel(
                f"the user step has no solution (LAPACK info {info}); raise the regularization"
            )
        return np.asarray(solution, dtype=np.float32)

    def parameters(self) -> dict[str, Any]:
        """The parameters of `Als`."""
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
        """Make it from `item_factors` and the parameters of `Als`."""
        known = {field.name for field in fields(Als)}
        if set(parameters) != known:
            raise InvalidModel(f"parameters {sorted(parameters)}; expected {sorted(known)}")
        made_with = Als(**parameters)
        shape = (len(items), made_with.factors)
        model = cls(items, weights, require_array(arrays, "item_factors", shape=shape), made_with)
        with np.errstate(over="ignore", invalid="ignore"):
            usable = np.isfinite(model.gram).all()
        if not usable:
            raise InvalidModel("array 'item_factors' holds values too great to score with")
        return model


def to_als_confidence(confidence: Any, alpha: float) -> Any:
    """c = 1 + alpha · r where r > 0, as float32: of an array or of a sparse matrix's stored cells."""
    if isinstance(confidence, csr_matrix):
        return csr_matrix(
            (to_als_confidence(confidence.data, alpha), confidence.indices, confidence.indptr),
            shape=confidence.shape,
        )
    return (1.0 + alpha * confidence.astype(np.float64)).astype(np.float32)


def _count(
    progress: Callable[[int, int], None] | None, iterations: int
) -> Callable[[int, float, float | None], None]:
    def count(iteration: int, _elapsed: float, _loss: float | None) -> None:
        if progress is not None:
            progress(iteration + 1, iterations)

    return count
