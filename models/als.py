"""Alternating least squares on implicit feedback. The only module that knows `implicit`.

Hu, Koren, Volinsky: Collaborative Filtering for Implicit Feedback Datasets (2008).
"""

import logging
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from features.interactions import Interactions
from models.factors import FittedFactors, UserStep, principal_axes
from models.parameters import require_numbers
from models.recommender import Progress

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
        require_numbers(
            self,
            whole={"factors": 1, "iterations": 1, "random_state": 0},
            positive=("regularization", "alpha"),
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        progress: Progress | None = None,
        start: NDArray[np.float32] | None = None,
    ) -> "FittedAls":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (iterations done, iterations) after each one.
        start : float32[n_items, factors], optional
            Item factors to begin with, such as those of yesterday. Default: at random.
        """
        started = time.perf_counter()
        confidence = to_als_confidence(interactions.confidence(), self.alpha)
        _, factors = train_als(
            confidence,
            factors=self.factors,
            regularization=self.regularization,
            iterations=self.iterations,
            random_state=self.random_state,
            use_cg=True,
            progress=progress,
            start=start,
        )
        logger.info(
            "ALS fitted: %d × %d, %d cells, %d factors, %.1f s",
            *confidence.shape,
            confidence.nnz,
            self.factors,
            time.perf_counter() - started,
        )
        return FittedAls(interactions.items, interactions.weights, principal_axes(factors), self)


class FittedAls(FittedFactors):
    """x = (YᵀY + Yᵀ(C−I)Y + λI)⁻¹ YᵀCp, the consumer's vector of the paper."""

    kind: ClassVar[str] = "als"
    made_by: ClassVar[type] = Als

    def user_step(self, confidence: NDArray[np.float32]) -> UserStep:
        """Every item weighs 1, those of the history c = 1 + alpha · r."""
        c = to_als_confidence(confidence, self.made_with.alpha)
        return UserStep(scale=1.0, ridge=self.made_with.regularization, weight=c - 1, target=c)


def to_als_confidence(confidence: Any, alpha: float) -> Any:
    """c = 1 + alpha · r where r > 0, as float32: of an array or of a sparse matrix's stored cells."""
    if isinstance(confidence, csr_matrix):
        return csr_matrix(
            (to_als_confidence(confidence.data, alpha), confidence.indices, confidence.indptr),
            shape=confidence.shape,
        )
    return (1.0 + np.multiply(alpha, confidence, dtype=np.float64)).astype(np.float32)


def train_als(
    cells: csr_matrix,
    *,
    iterations: int,
    progress: Progress | None = None,
    start: NDArray[np.float32] | None = None,
    **parameters: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """implicit's ALS: factors of consumers and items, float32[n, factors] each.

    Parameters
    ----------
    start : float32[n_items, factors], optional
        Item factors to begin with. Default: implicit's own, at random.
    """
    # Importing implicit takes long and serving does not need it.
    from implicit.cpu.als import AlternatingLeastSquares

    def count(iteration: int, _elapsed: float, _loss: float | None) -> None:
        if progress is not None:
            progress(iteration + 1, iterations)

    # BLAS threads compete with implicit's own and sum in another order from run to run.
    with threadpool_limits(limits=1, user_api="blas"):
        solver = AlternatingLeastSquares(iterations=iterations, **parameters)
        if start is not None:
            # implicit draws only what is not there yet, and begins with the consumers' step.
            solver.item_factors = start.copy()
        solver.fit(cells, show_progress=False, callback=count)
    return np.asarray(solver.user_factors), np.asarray(solver.item_factors)
