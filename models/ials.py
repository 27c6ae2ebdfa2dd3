"""iALS: frequency-scaled regularization and a small weight for what was not observed.

The only module that knows `irspack`. Rendle, Krichene, Zhang, Koren: Revisiting the Performance of iALS on
Item Recommendation Benchmarks (2021).
"""

import logging
import time
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from features.interactions import Interactions
from models.factors import (
    FittedFactors,
    UserStep,
    first_singular_vectors,
    principal_axes,
)
from models.parameters import require_numbers
from models.recommender import Progress

logger = logging.getLogger(__name__)

_START_SPREAD = 0.1


@dataclass(frozen=True, slots=True)
class Ials:
    """Learns item factors by minimizing, over consumers u and items i,

    Σ_seen rᵤᵢ (xᵤᵀyᵢ − 1)² + α₀ Σ_all (xᵤᵀyᵢ)²
    + λ (Σᵤ (nᵤ + α₀ n_items)^ν |xᵤ|² + Σᵢ (nᵢ + α₀ n_consumers)^ν |yᵢ|²)

    where r is what `InteractionWeights` makes of the events and n counts what was seen.

    Parameters
    ----------
    factors : int
        Length of a vector.
    unobserved : float
        α₀, beside the r of what was seen.
    regularization : float
        λ.
    frequency : float
        ν: 1 regularizes what occurs often the more, 0 everything alike.
    iterations : int
        Pairs of user and item steps. They begin near the answer (see `start_of`): few are enough, and more
        rank no better.
    random_state : int
        Seed of the first factors. Same seed, same interactions, same factors, bit for bit.
    """

    factors: int = 128
    unobserved: float = 0.1
    regularization: float = 0.003
    frequency: float = 1.0
    iterations: int = 3
    random_state: int = 0

    def __post_init__(self) -> None:
        require_numbers(
            self,
            whole={"factors": 1, "iterations": 1, "random_state": 0},
            positive=("unobserved", "regularization"),
            up_to={"frequency": 2},
        )

    def fit(
        self,
        interactions: Interactions,
        *,
        progress: Progress | None = None,
        start: NDArray[np.float32] | None = None,
    ) -> "FittedIals":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (iterations done, iterations) after each one.
        start : float32[n_items, factors], optional
            Item factors to begin with, such as those of yesterday. Default: `start_of`.
        """
        began = time.perf_counter()
        cells = interactions.confidence()
        _, factors = train_ials(
            cells,
            n_components=self.factors,
            alpha0=self.unobserved,
            reg=self.regularization,
            nu=self.frequency,
            train_epochs=self.iterations,
            random_seed=self.random_state,
            # Its threads share out the sums anew in every run: more than one and the last bits differ.
            n_threads=1,
            progress=progress,
            start=start_of(cells, self.factors, self.random_state) if start is None else start,
        )
        logger.info(
            "iALS fitted: %d × %d, %d cells, %d factors, %.1f s",
            *cells.shape,
            cells.nnz,
            self.factors,
            time.perf_counter() - began,
        )
        return FittedIals(interactions.items, interactions.weights, principal_axes(factors), self)


def start_of(cells: sparse.csr_matrix, n_factors: int, random_state: int) -> NDArray[np.float32]:
    """Item factors to begin with, float32[n_items, n_factors].

    D_i^½ V, where V are the first right singular vectors of D_u^−½ R D_i^−½, drawn to the spread of a usual
    random start; D sums rows and columns. Beyond the rank of R: noise.
    """
    per_consumer = np.asarray(cells.sum(axis=1), dtype=np.float64).ravel()
    per_item = np.asarray(cells.sum(axis=0), dtype=np.float64).ravel()
    noise = np.random.default_rng(random_state).standard_normal((cells.shape[1], n_factors))
    start = (_START_SPREAD / np.sqrt(n_factors) * noise).astype(np.float32)
    vectors = first_singular_vectors(
        cells, n_factors, per_consumer=per_consumer, per_item=per_item, random_state=random_state
    )
    near = np.sqrt(per_item)[:, np.newaxis] * vectors
    if near.size:
        start[:, : near.shape[1]] = _START_SPREAD * near / max(float(near.std()), 1e-12)
    return np.asarray(start, dtype=np.float32)


class FittedIals(FittedFactors):
    """x = (α₀YᵀY + Yᵤᵀ R Yᵤ + λ (n + α₀ n_items)^ν I)⁻¹ Yᵤᵀ r for a history of n items."""

    kind: ClassVar[str] = "ials"
    made_by: ClassVar[type] = Ials

    def user_step(self, confidence: NDArray[np.float32]) -> UserStep:
        """Every item weighs α₀, those of the history r more; the ridge grows with the history."""
        with_ = self.made_with
        frequency = confidence.shape[-1] + with_.unobserved * len(self.items)
        return UserStep(
            scale=with_.unobserved,
            ridge=with_.regularization * frequency**with_.frequency,
            weight=confidence,
            target=confidence,
        )


def train_ials(
    cells: sparse.csr_matrix,
    *,
    train_epochs: int,
    progress: Progress | None = None,
    start: NDArray[np.float32] | None = None,
    **parameters: Any,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """irspack's iALS: factors of consumers and items, float32[n, n_components] each.

    Parameters
    ----------
    start : float32[n_items, n_components], optional
        Item factors to begin with. Default: irspack's own, at random.
    """
    with warnings.catch_warnings():
        # irspack 0.5.2 declares its pydantic models in the way of pydantic 1.
        warnings.simplefilter("ignore", DeprecationWarning)
        from irspack.recommenders.ials import IALSRecommender

    # BLAS threads compete with irspack's own and sum in another order from run to run.
    with threadpool_limits(limits=1, user_api="blas"):
        solver = IALSRecommender(cells, train_epochs=train_epochs, **parameters)
        solver.start_learning()
        if start is not None:
            core = solver.trainer.core_trainer
            # An epoch begins with the consumers' step, whose conjugate gradients start from what is there.
            core.item, core.user = start, np.zeros_like(core.user)
        for epoch in range(train_epochs):
            solver.run_epoch()
            if progress is not None:
                progress(epoch + 1, train_epochs)
    consumers, items = solver.get_user_embedding(), solver.get_item_embedding()
    return np.asarray(consumers, dtype=np.float32), np.asarray(items, dtype=np.float32)
