"""Popularity: what everyone on a site likes. What every other model has to beat, and the fallback."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.history import HistoryVector
from features.ids import ItemIds
from features.interactions import Interactions
from features.weights import InteractionWeights
from models.recommender import ALL_ITEMS, Columns, Progress, Searches, require_array, usable_history


@dataclass(frozen=True, slots=True)
class Popularity:
    """Sum of all consumers' confidence in an item, as a share of its site's sum."""

    def fit(
        self,
        interactions: Interactions,
        *,
        progress: Progress | None = None,  # noqa: ARG002 - the contract's; it takes no time
    ) -> "FittedPopularity":
        """Sum the columns; sites of different sizes become comparable by the share."""
        items = interactions.items
        # Sum in float64 and in row order: the result does not depend on how the matrix is laid out.
        total = np.asarray(interactions.confidence().astype(np.float64).sum(axis=0)).ravel()
        share = np.zeros(len(items), dtype=np.float64)
        for site_id in items.site_ids:
            site = items.site_slice(site_id)
            if (site_total := total[site].sum()) > 0:
                share[site] = total[site] / site_total
        return FittedPopularity(items, interactions.weights, share.astype(np.float32))


@dataclass(frozen=True, eq=False, slots=True)
class FittedPopularity:
    """The same score for everyone.

    Attributes
    ----------
    prior : float32[n_items]
        Each item's share of its site's activity: what is shown to a consumer without a usable history.
    """

    kind: ClassVar[str] = "popularity"
    has_prior: ClassVar[bool] = True
    items: ItemIds
    weights: InteractionWeights
    prior: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"FittedPopularity({self.items!r})"

    def read(self, history: HistoryVector) -> "PopularityReading":
        """Take a history in; an empty one is refused as by any model (take `prior` then)."""
        usable_history(history, self.weights, n_items=len(self.items))
        return PopularityReading(history, self.prior)

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:  # noqa: ARG002 - the contract's
        """None: there is nothing to compute."""
        return (None,)

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The prior `within`, float32[n]."""
        return self.read(history).score(within)

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}

    def arrays(self) -> dict[str, NDArray[Any]]:
        """`prior`, float32[n_items]."""
        return {"prior": self.prior}

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,
        *,
        arrays: Mapping[str, NDArray[Any]],
        parameters: Mapping[str, Any],  # noqa: ARG003 - the contract's; there are none
    ) -> Self:
        """Make it from `prior`."""
        return cls(items, weights, require_array(arrays, "prior", shape=(len(items),)))


@dataclass(frozen=True, eq=False, slots=True)
class PopularityReading:
    """The prior, whatever the history says."""

    history: HistoryVector
    prior: NDArray[np.float32]

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """The prior: all of the score."""
        return self.prior[within]

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The prior `within`, float32[n]."""
        return self.prior[within].copy()

    def shortlist(self, searches: Searches, n: int, *, also: NDArray[np.int32]) -> None:  # noqa: ARG002 - the contract's
        """None: every score is there already."""
        return

    def explain(
        self,
        item_index: int | NDArray[np.int32],  # noqa: ARG002 - the contract's, whatever the item
        item_weight: NDArray[np.float32] | None = None,  # noqa: ARG002 - the contract's
    ) -> NDArray[np.float32]:
        """Zeros, float32[n]: nothing that this consumer did changes what is popular."""
        return np.zeros(len(self.history), dtype=np.float32)
