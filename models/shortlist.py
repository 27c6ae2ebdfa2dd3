"""The few items that most probably score best, without a look at all of them. The one door of faiss.

Factors are kept a second time, quantised to 4 bits for two numbers, small enough to scan at the speed of the
caches (André, Kermarrec, Le Scouarnec: Cache locality is not enough: high-performance nearest neighbor search
with product quantization fast scan, 2015). What is found is scored exactly by who asks.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_LEAST_NUMBERS: Final = 2_000_000
_FEWEST_ITEMS: Final = 4096
_SAMPLE: Final = 20_000
_BITS: Final = 4
_EVERY: Final = 16


def worth_a_search(n_items: int, n_factors: int) -> bool:
    """Whether scoring every item costs more than looking for the best: below 50 µs it does not."""
    return n_items >= _FEWEST_ITEMS and n_items * n_factors >= _LEAST_NUMBERS


def shortlist_length(n_items: int, n_wanted: int) -> int:
    """How many to score exactly, so that the best `n_wanted` of `n_items` are hardly ever missed."""
    return min(n_items, max(400, n_items // 200, 20 * n_wanted))


def about_the_best(scores: NDArray[np.float32], n: int) -> NDArray[np.intp]:
    """Places of the n best scores, give or take some: as a sample of every 16th tells where they begin.

    Several times as fast as to part them exactly; for those of which more than enough are wanted.
    """
    sample = -scores[::_EVERY]
    wanted = -(-n // _EVERY)
    if wanted >= len(sample):
        return np.arange(len(scores))
    return np.flatnonzero(scores >= -np.partition(sample, wanted)[wanted])


class Quantiser:
    """Learns how to quantise factors: 16 typical values for each two numbers of a vector.

    Parameters
    ----------
    factors : float32[n, factors]
        Of all items; a sample of them is learned from. Same factors, same quantiser.
    """

    def __init__(self, factors: NDArray[np.float32]) -> None:
        # Its import takes a third of a second, and only large catalogues need it.
        import faiss

        # A worker has one thread for all of its arithmetic.
        faiss.omp_set_num_threads(1)
        n_factors = factors.shape[1]
        n_parts = n_factors // 2 if n_factors % 2 == 0 else n_factors
        self._trained = faiss.IndexPQFastScan(n_factors, n_parts, _BITS, faiss.METRIC_INNER_PRODUCT)
        sample = np.linspace(0, len(factors) - 1, min(_SAMPLE, len(factors)), dtype=np.intp)
        self._trained.train(np.ascontiguousarray(factors[sample]))

    def quantise(self, factors: NDArray[np.float32], item_index: NDArray[np.int32]) -> "Search":
        """Quantise the factors of some items: float32[n_items, factors], int32[n] ascending."""
        import faiss

        index = faiss.clone_index(self._trained)
        index.add(factors[item_index])
        return Search(index, item_index)


class Search:
    """Quantised factors of some items, made by `Quantiser.quantise`; without an index a list of items."""

    def __init__(self, index: Any, item_index: NDArray[np.int32]) -> None:
        self._index = index
        self.item_index = item_index

    def __repr__(self) -> str:
        return f"Search({len(self.item_index)} items)"

    def best(self, vector: NDArray[np.float32], n: int) -> NDArray[np.int32]:
        """The n items that probably have the greatest product with a vector, float32[factors] → int32[n]."""
        _, places = self._index.search(vector[np.newaxis], n)
        found: NDArray[np.int32] = self.item_index[np.sort(places[0])]
        return found
