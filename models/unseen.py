"""A model that also scores items it was never trained on, as weighted sums of what it scores the known ones.

Made when a server puts its catalogue and a bundle together, never kept. Known and new items lie in one order,
site by site, so that whoever asks for scores need not know which are which.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn, Self

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from features.history import HistoryVector
from features.history_block import HistoryBlock
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.alike import Alike, Described, ItemText
from models.errors import InvalidModel
from models.popularity import FittedPopularity
from models.recommender import ALL_ITEMS, Columns, FittedRecommender, Reading, Searches
from models.shortlist import Search

_MOST_IN_A_SEARCH = 1000


@dataclass(frozen=True, eq=False)
class FittedWithUnseen:
    """A fitted model over the items it knows and some that it does not.

    Attributes
    ----------
    model : FittedRecommender
        What scores the known items.
    items : ItemIds
        All of them.
    places : intp[n_known]
        Where the model's items lie among `items`, ascending.
    unseen : intp[n_unseen]
        Where the others do, ascending.
    alike : Alike
        What the others are like, in their order.
    """

    model: FittedRecommender
    items: ItemIds
    places: NDArray[np.intp]
    unseen: NDArray[np.intp]
    alike: Alike

    def __repr__(self) -> str:
        return f"FittedWithUnseen({self.model!r}, {len(self.unseen)} items that it never saw)"

    @property
    def kind(self) -> str:
        """The model's."""
        return self.model.kind

    @property
    def weights(self) -> InteractionWeights:
        """The model's."""
        return self.model.weights

    @property
    def has_prior(self) -> bool:
        """The model's."""
        return self.model.has_prior

    @cached_property
    def prior(self) -> NDArray[np.float32]:
        """What each item scores before any history is known, float32[n_items]."""
        return self.layout(ALL_ITEMS).spread(self.model.prior)

    @cached_property
    def column(self) -> NDArray[np.int32]:
        """The model's column of each item, int32[n_items]; -1 for one that it never saw."""
        column = np.full(len(self.items), -1, dtype=np.int32)
        column[self.places] = np.arange(len(self.places), dtype=np.int32)
        return column

    def read(self, history: HistoryVector) -> "UnseenReading":
        """Take a history in; entries of items that the model never saw say nothing to it."""
        column = self.column.take(history.item_index)
        kept = None
        known = replace(history, item_index=column)  # What was weighed stays weighed.
        if (column < 0).any():
            kept = np.flatnonzero(column >= 0)
            known = HistoryVector(column[kept], history.by_kind[:, kept])
        return UnseenReading(self, history, self.model.read(known), kept)

    def known_of(self, histories: HistoryBlock) -> HistoryBlock:
        """Several histories as the model reads them: without entries of items that it never saw."""
        column = self.column.take(histories.item_index)
        known = HistoryBlock(histories.indptr, column, histories.by_kind)
        return known if (column >= 0).all() else known.cells(column >= 0)

    def search_among(self, item_index: NDArray[np.int32]) -> Searches:
        """The model's searches among those that it knows, and at the end the others, which are few."""
        column = self.column.take(item_index)
        others = item_index[column < 0]
        if len(others) > _MOST_IN_A_SEARCH:
            return (None,)
        searches = self.model.search_among(column[column >= 0])
        return (*searches, Search(None, others)) if any(searches) else (None,)

    def score(self, history: HistoryVector, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        return self.read(history).score(within)

    def layout(self, within: slice) -> "Layout":
        """Where the scores of the items `within` come from. Made when first asked for, then kept."""
        start, stop, _ = within.indices(len(self.items))
        if (start, stop) not in self._layouts:
            self._layouts[start, stop] = self._lay_out(start, stop)
        return self._layouts[start, stop]

    @cached_property
    def _layouts(self) -> dict[tuple[int, int], "Layout"]:
        return {}

    def _lay_out(self, start: int, stop: int) -> "Layout":
        known = slice(*self.places.searchsorted([start, stop]).tolist())
        others = slice(*self.unseen.searchsorted([start, stop]).tolist())
        alike = Alike(self.alike.index[others], self.alike.weight[others])
        first, end = known.start, known.stop
        if alike.index.size:
            least, most = int(alike.index.min()), int(alike.index.max())
            first, end = (min(first, least), max(end, most + 1)) if first < end else (least, most + 1)
        source = np.empty(stop - start, dtype=np.intp)
        source[self.places[known] - start] = np.arange(known.start - first, known.stop - first)
        source[self.unseen[others] - start] = end - first + np.arange(others.stop - others.start)
        return Layout(slice(first, end), Alike(alike.index - first, alike.weight), source)

    def split(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None
    ) -> tuple["Weighed", "Weighed"]:
        """Items and what each counts, as the model's: those it knows, and what stands in for the others."""
        items = np.atleast_1d(item_index)
        weight = np.ones(len(items), dtype=np.float32) if item_weight is None else item_weight
        column = self.column.take(items)
        known = column >= 0
        others = self.unseen.searchsorted(items[~known])
        index, weights = self.alike.index[others], self.alike.weight[others] * weight[~known, np.newaxis]
        stand_in, place = np.unique(index, return_inverse=True)
        # A model may be asked for an item only once: what several new items take from it is summed.
        summed = np.bincount(place.ravel(), weights.ravel(), minlength=len(stand_in)).astype(np.float32)
        return (column[known], weight[known]), (stand_in.astype(np.int32), summed)

    def parameters(self) -> dict[str, Any]:
        """The model's."""
        return self.model.parameters()

    def arrays(self) -> NoReturn:
        """Refused: what is kept is the model, and what its items say."""
        raise InvalidModel(f"{self!r} is made anew for each catalogue; keep {self.model!r}")

    @classmethod
    def from_arrays(
        cls,
        items: ItemIds,
        weights: InteractionWeights,  # noqa: ARG003 - the contract's, like the others
        *,
        arrays: Mapping[str, NDArray[Any]],  # noqa: ARG003
        parameters: Mapping[str, Any],  # noqa: ARG003
    ) -> Self:
        """Refused, as `arrays`."""
        raise InvalidModel(f"{cls.__name__} over {items!r} is never kept")


Weighed = tuple[NDArray[np.int32], NDArray[np.float32]]
"""Items of a model and what each counts."""


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """Where the scores of some items come from.

    Attributes
    ----------
    known : slice
        The model's columns that must be scored.
    alike : Alike
        What the new ones are like, counted from the first of these.
    source : intp[n]
        The place of each item's score among those of `known` followed by those of the new ones.
    """

    known: slice
    alike: Alike
    source: NDArray[np.intp]

    def spread(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of `known` → scores of all, float32[n]."""
        if len(self.alike.index) == 0 and len(scores) == len(self.source):
            return scores
        return np.concatenate([scores, self.alike.scores(scores)]).take(self.source)


@dataclass(frozen=True, eq=False, slots=True)
class UnseenReading:
    """One history as the model reads it.

    Attributes
    ----------
    model : FittedWithUnseen
        Whose items are scored.
    history : HistoryVector
        What was read, items that the model never saw included.
    reading : Reading
        The model's own, without these.
    kept : intp[n] or None
        The entries that the model's own reading has; None: all.
    """

    model: FittedWithUnseen
    history: HistoryVector
    reading: Reading
    kept: NDArray[np.intp] | None

    def base(self, within: Columns = ALL_ITEMS) -> NDArray[np.float32]:
        """What each item `within` scores with this history, but not because of it, float32[n]."""
        if isinstance(within, slice):
            layout = self.model.layout(within)
            return layout.spread(self.reading.base(layout.known))
        model, column = self.model, self.model.column.take(within)
        others = model.unseen.searchsorted(within[column < 0])
        index = model.alike.index[others].astype(np.int32)
        base = np.empty(len(within), dtype=np.float32)
        base[column >= 0] = self.reading.base(column[column >= 0])
        stand_in = self.reading.base(index.ravel()).reshape(index.shape)
        base[column < 0] = np.einsum("ij,ij->i", stand_in, model.alike.weight[others])
        return base

    def score(self, within: slice = ALL_ITEMS) -> NDArray[np.float32]:
        """The score of every item `within`, float32[n]."""
        layout = self.model.layout(within)
        return layout.spread(self.reading.score(layout.known))

    def shortlist(
        self, searches: Searches, n: int, *, also: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
        """The model's best of the items that it knows, and all of the few others."""
        *asked, mine = searches
        if mine is None or not asked:
            return None
        model, seen = self.model, self.model.column.take(also)
        wanted = seen[seen >= 0]
        others = model.unseen.searchsorted(np.union1d(mine.item_index, also[seen < 0]))
        alike = Alike(model.alike.index[others], model.alike.weight[others])
        found = self.reading.shortlist(tuple(asked), n, also=np.union1d(wanted, alike.index).astype(np.int32))
        if found is None:
            return None
        columns, scores = found
        taken = Alike(columns.searchsorted(alike.index), alike.weight).scores(scores)
        # What was scored only because something new is like it need not be on this shelf.
        shelf = next(search.item_index for search in asked if search is not None)
        here = _among(columns, model.column.take(shelf)) | _among(columns, wanted)
        items = np.concatenate([model.places[columns[here]], model.unseen[others]])
        order = items.argsort()
        return items[order].astype(np.int32), np.concatenate([scores[here], taken])[order]

    def explain(
        self, item_index: int | NDArray[np.int32], item_weight: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """What each entry of the history gave, float32[n]; entries that the model never saw give nothing."""
        given = np.zeros(len(self.history), dtype=np.float32)
        for items, weight in self.model.split(item_index, item_weight):
            if len(items):
                given += self.spread(self.reading.explain(items, weight))
        return given

    def spread(self, given: NDArray[np.float32]) -> NDArray[np.float32]:
        """By entry of the model's own reading → by entry of the history, float32[n]."""
        if self.kept is None:
            return given
        spread = np.zeros(len(self.history), dtype=np.float32)
        spread[self.kept] = given
        return spread


def _among(columns: NDArray[np.int32], ascending: NDArray[np.int32]) -> NDArray[np.bool_]:
    if len(ascending) == 0:
        return np.zeros(len(columns), dtype=np.bool_)
    return np.asarray(ascending.take(ascending.searchsorted(columns), mode="clip") == columns)


def with_unseen(
    model: FittedRecommender,
    text: ItemText,
    pairs: Sequence[tuple[str, str]],
    described: Sequence[Described],
) -> FittedWithUnseen | None:
    """A model that also scores these items; None when none of them is like anything known.

    Parameters
    ----------
    pairs : sequence of (site id, item id)
        Items that the model does not know, each once.
    described : sequence of mapping
        What each says.
    """
    alike = text.alike(pairs, described)
    found = np.flatnonzero(alike.weight.any(axis=1))
    if len(found) == 0:
        return None
    order = sorted(found.tolist(), key=lambda place: pairs[place])
    items, unseen = _merge(model.items, [pairs[place] for place in order])
    places = np.delete(np.arange(len(items), dtype=np.intp), unseen)
    return FittedWithUnseen(model, items, places, unseen, Alike(alike.index[order], alike.weight[order]))


def popularity_with_unseen(popularity: FittedPopularity, model: FittedWithUnseen) -> FittedPopularity:
    """How popular known and new items are: new ones as what they are like."""
    prior = model.layout(ALL_ITEMS).spread(popularity.prior)
    return FittedPopularity(model.items, popularity.weights, prior)


def _merge(known: ItemIds, new: Sequence[tuple[str, str]]) -> tuple[ItemIds, NDArray[np.intp]]:
    """The known items and some new ones (ascending) in one order, and where the new ones lie."""
    added: dict[str, list[str]] = {}
    for site_id, item_id in new:
        added.setdefault(site_id, []).append(item_id)
    by_site, unseen, start = {}, [], 0
    for site_id in sorted({*known.site_ids, *added}):
        old, more = known.of_site(site_id), added.get(site_id, ())
        by_site[site_id] = sorted([*old, *more]) if more else old
        unseen += [start + bisect_left(old, item_id) + place for place, item_id in enumerate(more)]
        start += len(by_site[site_id])
    return ItemIds(by_site), np.array(unseen, dtype=np.intp)
