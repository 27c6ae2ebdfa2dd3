"""What to hide of each consumer where nothing has a time: things that go together.

A thing hidden at random lies among others of the same visit, trip or need, which are left to find it by; what
somebody does next does not. So a block is hidden, as spatial statistics do (Roberts et al.: Cross-validation
strategies for data with temporal, spatial, hierarchical, or phylogenetic structure, 2017).
"""

from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from models.factors import first_singular_vectors

SHARE: Final = 0.2
"""Of each consumer's different target items, and at least one."""

_MOST_VECTORS: Final = 64
_ITEMS_A_VECTOR: Final = 8
_BLOCK: Final = 1 << 18


def hide_together(
    activity: pa.Table, target: NDArray[np.bool_], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """A fifth of the target items of every consumer that has several: any one, and those most like it.

    Parameters
    ----------
    activity : pyarrow.Table
        Columns consumer_id, site_id, item_id.
    target : bool[n_rows]
        Which rows are of the kind to predict: others are never hidden.

    Returns
    -------
    bool[n_rows]
        True in all target rows of what is hidden.
    """
    rows = np.flatnonzero(target)
    consumer, item = _codes(activity.filter(pa.array(target)))
    n_items = int(item.max(initial=-1)) + 1
    pairs, pair = np.unique(consumer * max(n_items, 1) + item, return_inverse=True)
    owner, of_item = np.divmod(pairs, max(n_items, 1))
    chance = generator.permutation(len(pairs))
    by_chance = np.lexsort((chance, owner))
    seed = by_chance[np.flatnonzero(np.diff(owner[by_chance], prepend=-1))]
    alike = _alike(owner, of_item, seed)
    # The one that was drawn comes first, whatever else is just like it.
    alike[seed] = np.inf
    nearest = np.lexsort((chance, -alike, owner))
    n_each = np.bincount(owner)
    place = np.empty(len(pairs), dtype=np.int64)
    place[nearest] = np.arange(len(pairs)) - np.repeat(np.cumsum(n_each) - n_each, n_each)
    n_hidden = np.where(n_each > 1, np.maximum(1, (SHARE * n_each).astype(np.int64)), 0)
    hidden = np.zeros(activity.num_rows, dtype=bool)
    hidden[rows] = (place < n_hidden[owner])[pair]
    return hidden


def _codes(targets: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the consumers and of the items of each row, by their ids in order."""
    frame = targets.select(["consumer_id", "site_id", "item_id"]).to_pandas()
    consumer = frame.groupby("consumer_id", sort=True).ngroup()
    item = frame.groupby(["site_id", "item_id"], sort=True).ngroup()
    return consumer.to_numpy(dtype=np.int64), item.to_numpy(dtype=np.int64)


def _alike(owner: NDArray[np.int64], item: NDArray[np.int64], seed: NDArray[np.intp]) -> NDArray[np.float64]:
    """Cosine of each (consumer, item) pair with the consumer's drawn one, by the first vectors."""
    cells = sparse.csr_matrix((np.ones(len(owner), dtype=np.float32), (owner, item)))
    per_consumer, per_item = (np.asarray(cells.sum(axis=axis), dtype=np.float64).ravel() for axis in (1, 0))
    # As many as there are items would tell each item from all others, and not what goes together.
    n_vectors = min(_MOST_VECTORS, max(1, cells.shape[1] // _ITEMS_A_VECTOR))
    vectors = first_singular_vectors(
        cells, n_vectors, per_consumer=per_consumer, per_item=per_item, random_state=0
    )
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    drawn = item[seed][owner]
    alike = np.empty(len(owner))
    for start in range(0, len(owner), _BLOCK):
        here = slice(start, start + _BLOCK)
        alike[here] = np.einsum("ij,ij->i", vectors[item[here]], vectors[drawn[here]])
    return alike
