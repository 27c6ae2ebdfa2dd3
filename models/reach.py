"""How many consumers an item and a site have reached: with too few, a reason would point at somebody."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from features.ids import ItemIds
from features.interactions import Interactions
from features.weights import KINDS
from models.errors import InvalidModel
from models.recommender import require_array


@dataclass(frozen=True, eq=False, slots=True)
class Reach:
    """Distinct consumers with any activity that a model learned from.

    Attributes
    ----------
    by_item : int32[n_items]
    by_site : int32[n_sites], in the order of `items.site_ids`
    """

    items: ItemIds
    by_item: NDArray[np.int32]
    by_site: NDArray[np.int32]

    def of_item(self, site_id: str, item_id: str) -> int:
        """Consumers of an item; 0 for one that is not known."""
        place = self.items.index(site_id, item_id)
        return 0 if place is None else int(self.by_item[place])

    def of_site(self, site_id: str) -> int:
        """Consumers of a site; 0 for one that is not known."""
        place = bisect_left(self.items.site_ids, site_id)
        known = place < len(self.items.site_ids) and self.items.site_ids[place] == site_id
        return int(self.by_site[place]) if known else 0

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`by_item` and `by_site`."""
        return {"by_item": self.by_item, "by_site": self.by_site}

    @classmethod
    def from_arrays(cls, items: ItemIds, *, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Make it from `arrays`; InvalidModel when they are not numbers of consumers of these items."""
        by_item = require_array(arrays, "by_item", shape=(len(items),), dtype=np.int32)
        by_site = require_array(arrays, "by_site", shape=(len(items.site_ids),), dtype=np.int32)
        if min(by_item.min(initial=0), by_site.min(initial=0)) < 0:
            raise InvalidModel("by_item or by_site counts fewer than no consumers")
        return cls(items, by_item, by_site)


def count_reach(interactions: Interactions) -> Reach:
    """Count the consumers of each item, and of each site."""
    items = interactions.items
    cells = sparse.csr_matrix(sum(interactions.by_kind[kind] for kind in KINDS))
    cells.sort_indices()
    sites = [items.site_slice(site_id) for site_id in items.site_ids]
    widths = [site.stop - site.start for site in sites]
    site_index = np.repeat(np.arange(len(widths)), widths)[cells.indices]
    row = np.repeat(np.arange(cells.shape[0]), np.diff(cells.indptr))
    # In the order of rows and columns a consumer's first cell on a site is where either changes.
    first = np.ones(len(row), dtype=np.bool_)
    first[1:] = (row[1:] != row[:-1]) | (site_index[1:] != site_index[:-1])
    return Reach(
        items,
        np.bincount(cells.indices, minlength=len(items)).astype(np.int32),
        np.bincount(site_index[first], minlength=len(widths)).astype(np.int32),
    )
