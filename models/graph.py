"""A graph filter: items are near when the same consumers did something with both.

W = D_i^(−history) · Xᵀ D_u^(−consumer) X · D_i^(−target), the first-order filter of GF-CF (Shen et al.: How
Powerful is Graph Convolution for Recommendation? 2021) with free exponents; D counts what is in a row or in a
column. The strongest weights of each row are kept, so that it serves catalogues of any size.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy import sparse

from features.interactions import Interactions
from features.weights import KINDS
from models.errors import InvalidModel
from models.factors import require_numbers
from models.item_item import FittedItemItem, raised, strongest

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
    power : float
        x = r^power on both sides.
    kept : int
        Weights a row.
    """

    consumer: float = 0.7
    history: float = 0.5
    target: float = 0.3
    power: float = 1.0
    kept: int = 200

    def __post_init__(self) -> None:
        require_numbers(self, whole={"kept": 1}, positive=())
        for name in ("consumer", "history", "target", "power"):
            value = getattr(self, name)
            if isinstance(value, bool) or not 0 <= value <= 2:
                raise InvalidModel(f"{name}={value!r}: give a number from 0 to 2")

    def fit(
        self, interactions: Interactions, *, progress: Callable[[int, int], None] | None = None
    ) -> "FittedGraph":
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
        n_items = cells.shape[1]
        n_rows = max(1, _BLOCK_CELLS // n_items)
        blocks = []
        for start in range(0, n_items, n_rows):
            near = (left[start : start + n_rows] @ right).toarray()
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


class FittedGraph(FittedItemItem):
    """A graph filter's weights."""

    kind: ClassVar[str] = "graph"
    made_by: ClassVar[type] = Graph
