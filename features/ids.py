"""Maps between external ids and the rows and columns of a matrix."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import islice, pairwise
from operator import lt
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from features.errors import InvalidIds


class ItemIds:
    """(site id, item id) ↔ column index, sorted, so that a site's items are one slice.

    Ids sort by code point, as UTF-8 bytes do, so that every engine agrees.

    Parameters
    ----------
    by_site : mapping of str to sequence of str
        Each site's item ids. Sites and items are given sorted and unique, and no site is empty.
    """

    def __init__(self, by_site: Mapping[str, Sequence[str]]) -> None:
        self.site_ids: tuple[str, ...] = tuple(by_site)
        self._items: tuple[tuple[str, ...], ...] = tuple(tuple(items) for items in by_site.values())
        _require_sorted(self.site_ids, "site ids")
        for site_id, items in zip(self.site_ids, self._items, strict=True):
            _require_sorted(items, f"item ids of site {site_id!r}")
            if not items:
                raise InvalidIds(f"site {site_id!r} has no items; leave it out")
        self._starts: list[int] = [0, *np.cumsum([len(items) for items in self._items]).tolist()]

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[str, str]]) -> Self:
        """Make the map of all (site id, item id) pairs given, in any order, repeated or not."""
        by_site: dict[str, list[str]] = {}
        for site_id, item_id in sorted(set(pairs)):
            by_site.setdefault(site_id, []).append(item_id)
        return cls(by_site)

    def __len__(self) -> int:
        return self._starts[-1]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ItemIds):
            return NotImplemented
        return self.site_ids == other.site_ids and self._items == other._items

    def __hash__(self) -> int:
        return hash((self.site_ids, len(self)))

    def __repr__(self) -> str:
        return f"ItemIds({len(self)} items on {len(self.site_ids)} sites)"

    @cached_property
    def columns(self) -> dict[str, dict[str, int]]:
        """Site id → item id → column."""
        return {
            site_id: {item_id: start + place for place, item_id in enumerate(items)}
            for site_id, items, start in zip(self.site_ids, self._items, self._starts, strict=False)
        }

    def index(self, site_id: str, item_id: str) -> int | None:
        """Column of an item, or None for an item that is not known."""
        site = self.columns.get(site_id)
        return None if site is None else site.get(item_id)

    def columns_in(self, other: "ItemIds") -> NDArray[np.intp]:
        """Where each of these items is in another map, intp[n_items]; -1 for one that is not."""
        nowhere: dict[str, int] = {}
        columns = [
            other.columns.get(site_id, nowhere).get(item_id, -1)
            for site_id, items in zip(self.site_ids, self._items, strict=True)
            for item_id in items
        ]
        return np.array(columns, dtype=np.intp)

    def pair(self, item_index: int) -> tuple[str, str]:
        """(site id, item id) of a column."""
        if not 0 <= item_index < len(self):
            raise IndexError(f"item index {item_index}; there are {len(self)} items")
        site = bisect_left(self._starts, item_index + 1) - 1
        return self.site_ids[site], self._items[site][item_index - self._starts[site]]

    def site_slice(self, site_id: str) -> slice:
        """Columns of one site; empty for a site that is not known."""
        site = bisect_left(self.site_ids, site_id)
        if site == len(self.site_ids) or self.site_ids[site] != site_id:
            return slice(0, 0)
        return slice(self._starts[site], self._starts[site + 1])

    def of_site(self, site_id: str) -> tuple[str, ...]:
        """Item ids of one site, ascending; none of a site that is not known."""
        site = bisect_left(self.site_ids, site_id)
        known = site < len(self.site_ids) and self.site_ids[site] == site_id
        return self._items[site] if known else ()

    def site_index(self) -> NDArray[np.int32]:
        """Position in `site_ids` of every column's site, int32[n_items]."""
        lengths = [end - start for start, end in pairwise(self._starts)]
        return np.repeat(np.arange(len(self.site_ids), dtype=np.int32), lengths)

    def to_json(self) -> dict[str, list[str]]:
        """The map as plain JSON values."""
        return {site_id: list(items) for site_id, items in zip(self.site_ids, self._items, strict=True)}

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read what `to_json` wrote; anything else is refused."""
        if not isinstance(values, dict):
            raise InvalidIds(f"item ids are a {type(values).__name__}; give an object of site id to item ids")
        for site_id, items in values.items():
            if not isinstance(items, list):
                raise InvalidIds(f"items of site {site_id!r} are a {type(items).__name__}; give a list")
        return cls(values)


class ConsumerIds(Sequence[str]):
    """Consumer id ↔ row index, sorted by code point."""

    def __init__(self, consumer_ids: Iterable[str]) -> None:
        self._ids = tuple(consumer_ids)
        _require_sorted(self._ids, "consumer ids")

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, consumer_index: Any) -> Any:
        return self._ids[consumer_index]

    def __repr__(self) -> str:
        return f"ConsumerIds({len(self)} consumers)"

    def row(self, consumer_id: str) -> int | None:
        """Row of a consumer, or None for one that is not known."""
        row = bisect_left(self._ids, consumer_id)
        return row if row < len(self._ids) and self._ids[row] == consumer_id else None


def _require_sorted(ids: Sequence[str], what: str) -> None:
    # There may be millions: look closer only when something is wrong.
    if {*map(type, ids)} <= {str} and all(map(lt, ids, islice(ids, 1, None))):
        return
    for one in ids:
        if not isinstance(one, str):
            raise InvalidIds(f"{what}: {one!r} is not text")
    for left, right in pairwise(ids):
        if left >= right:
            raise InvalidIds(f"{what} are not sorted and unique: {left!r} comes before {right!r}")
