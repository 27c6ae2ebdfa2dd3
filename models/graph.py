"""A graph filter: items are near when the same consumers did something with both.

W = D_i^(−history) · Xᵀ D_u^(−consumer) X · D_i^(−target) + low_pass · D_i^(−½) V Vᵀ D_i^(½)

are the first-order and the ideal low-pass filter of GF-CF (Shen et al.: How Powerful is Graph Convolution for
Recommendation? 2021) with free exponents. D counts what is in a row or in a column; V are the first right
singular vectors of D_u^(−½) X D_i^(−½). The strongest weights of each row are kept, so that it serves
catalogues of any size.
"""

import logging
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.interactions import Interactions
from features.weights import KINDS
from models.factors import first_singular_vectors
from models.item_item import FittedItemItem, raised, strongest
from models.parameters import require_numbers
from models.recommender import Progress

logger = logging.getLogger(__name__)

_BLOCK_CELLS = 1 << 24


@dataclass(frozen=True, slots=True)
class Graph:
    """Counts common consumers.

    Parameters
    ----------
    consumer : float
        The greater, the less consumers who do much say about which items are near.
    history : float
        The greater, the less a popular item of the history says.
    target : float
        The greater, the less popular items are favoured.
    low_pass : float
        What the low-pass filter counts; 0 leaves it out.
    vectors : int
        Singular vectors that pass.
    power : float
        x = r^power on both sides.
    kept : int
        Weights a row.
    """

    consumer: float = 0.7
    history: float = 0.5
    target: float = 0.3
    low_pass: float = 0.0
    vectors: int = 256
    power: float = 1.0
    kept: int = 200

    def __post_init__(self) -> None:
        exponents = ("consumer", "history", "target", "low_pass", "power")
        require_numbers(self, whole={"kept": 1, "vectors": 1}, up_to=dict.fromkeys(exponents, 2))

    def fit(self, interactions: Interactions, *, progress: Progress | None = None) -> "FittedGraph":
        """Learn from interactions.

        Parameters
        ----------
        progress : callable, optional
            Told (rows done, rows).
        """
        started = time.perf_counter()
        cells = interactions.confidence()
        cells.data = raised(cells.data, self.power)
        degree = np.maximum(np.bincount(cells.indices, minlength=cells.shape[1]), 1).astype(np.float64)
        length = np.maximum(np.diff(cells.indptr), 1).astype(np.float64)
        right = sparse.csr_matrix(
            sparse.diags_array(length**-self.consumer) @ cells @ sparse.diags_array(degree**-self.target),
            dtype=np.float32,
        )
        left = sparse.csr_matrix((cells @ sparse.diags_array(degree**-self.history)).T, dtype=np.float32)
        into, out = self._low_pass(cells, length, degree)
        n_items = cells.shape[1]
        n_rows = max(1, _BLOCK_CELLS // n_items)
        blocks = []
        for start in range(0, n_items, n_rows):
            near = (left[start : start + n_rows] @ right).toarray()
            near += into[start : start + n_rows] @ out.T
            # That an item is near itself is for the consumer's own activity to say.
            near[np.arange(len(near)), start + np.arange(len(near))] = 0
            blocks.append(strongest(near, self.kept))
            if progress is not None:
                progress(min(start + n_rows, n_items), n_items)
        matrix = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
        logger.info(
            "graph filter: %d × %d, %d weights, %.1f s",
            *matrix.shape,
            matrix.nnz,
            time.perf_counter() - started,
        )
        nothing = np.zeros((len(KINDS), n_items), dtype=np.float32)
        return FittedGraph(interactions.items, interactions.weights, matrix, nothing, self)

    def _low_pass(
        self, cells: sparse.csr_matrix, length: NDArray[np.float64], degree: NDArray[np.float64]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both sides of the low-pass filter, float32[n_items, vectors] each; no columns if it is left out."""
        n_vectors = self.vectors if self.low_pass > 0 else 0
        vectors = first_singular_vectors(
            cells, n_vectors, per_consumer=length, per_item=degree, random_state=0
        )
        root = np.sqrt(degree)[:, np.newaxis]
        into = self.low_pass * vectors / root
        return into.astype(np.float32), (vectors * root).astype(np.float32)


class FittedGraph(FittedItemItem):
    """A graph filter's weights."""

    kind: ClassVar[str] = "graph"
    made_by: ClassVar[type] = Graph
