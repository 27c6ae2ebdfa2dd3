"""Six fixed lines that any model can be held against.

The libraries as they are, on the same cells and with the same parameters for every data set. A purchase
counts 1, a look into a product .3, a page viewed .1; popularity counts consumers.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.interactions import Interactions
from models.als import train_als
from models.ials import train_ials
from models.recommender import require_array
from training.ranking import Score, score_factors

EPOCHS: Final = 16
SEED: Final = 42
WORTH: Final = {"page_view": 0.1, "product_review": 0.3, "purchase": 1.0}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Reference:
    """A model of somebody else.

    Attributes
    ----------
    fit : callable
        Given cells (csr float32[n_consumers, n_items]) and a progress callback, how it scores.
    """

    name: str
    fit: Callable[[sparse.csr_matrix, Progress], Score]


def references() -> Iterator[Reference]:
    """The lines beside popularity, in the order in which they are shown."""
    for factors, alpha, regularization in ((64, 1.0, 0.01), (64, 10.0, 0.1), (256, 10.0, 1.0)):
        name = f"implicit ALS {factors}/{alpha:g}/{regularization:g}"
        yield Reference(name, _implicit(factors=factors, alpha=alpha, regularization=regularization))
    for components, alpha0, reg in ((128, 0.1, 0.003), (256, 0.05, 0.003)):
        name = f"irspack iALS {components}/{alpha0:g}/{reg:g}"
        yield Reference(name, _irspack(n_components=components, alpha0=alpha0, reg=reg))


def weigh(interactions: Interactions) -> sparse.csr_matrix:
    """What the references learn from, csr float32[n_consumers, n_items]."""
    cells = sum(worth * interactions.by_kind[kind] for kind, worth in WORTH.items())
    cells = sparse.csr_matrix(cells, dtype=np.float32)
    cells.sort_indices()
    return cells


def count_consumers(cells: sparse.csr_matrix) -> NDArray[np.float32]:
    """Popularity at its plainest: how many consumers did anything with each item, float32[n_items]."""
    return np.bincount(cells.indices, minlength=cells.shape[1]).astype(np.float32)


def _implicit(**parameters: Any) -> Callable[[sparse.csr_matrix, Progress], Score]:
    def fit(cells: sparse.csr_matrix, progress: Progress) -> Score:
        return _from_factors(
            *train_als(cells, iterations=EPOCHS, random_state=SEED, progress=progress, **parameters)
        )

    return fit


def _irspack(**parameters: Any) -> Callable[[sparse.csr_matrix, Progress], Score]:
    def fit(cells: sparse.csr_matrix, progress: Progress) -> Score:
        return _from_factors(
            *train_ials(cells, train_epochs=EPOCHS, random_seed=SEED, progress=progress, **parameters)
        )

    return fit


def _from_factors(consumers: NDArray[Any], items: NDArray[Any]) -> Score:
    arrays = {
        "consumers": np.asarray(consumers, dtype=np.float32),
        "items": np.asarray(items, dtype=np.float32),
    }
    return score_factors(*(require_array(arrays, name, shape=(None, None)) for name in arrays))
