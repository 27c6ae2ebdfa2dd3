"""The catalogue: what is offered, where and by whom, as one immutable snapshot of the database."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from serving.answer import FeaturedItem
from serving.members import Members, make_members
from storage.catalogue import CatalogueRows, PromotionRow
from storage.subscribers import KeyRecord, Site, Subscriber


@dataclass(frozen=True, eq=False, slots=True)
class Coverage:
    """Which items each promotion covers, as a ragged table over the distinct items.

    Attributes
    ----------
    pairs : the distinct covered items as (site_id, item_id), known to a model or not.
    indptr : int64[n_promotions + 1]; where each promotion's entries start.
    pair_index : int32[n_entries]; places in `pairs`.
    """

    pairs: tuple[tuple[str, str], ...]
    indptr: NDArray[np.int64]
    pair_index: NDArray[np.int32]

    def first(self, rows: NDArray[np.intp]) -> tuple[tuple[str, str] | None, ...]:
        """Return the first item that each of some promotions covers, or None where it covers nothing."""
        starts = self.indptr[rows]
        covers = starts < self.indptr[rows + 1]
        places = np.full(len(rows), -1, dtype=np.int64)
        places[covers] = self.pair_index[starts[covers]]
        return tuple(None if place < 0 else self.pairs[place] for place in places.tolist())


@dataclass(frozen=True, eq=False, slots=True)
class Catalogue:
    """Everything about the network that a decision looks up.

    Attributes
    ----------
    members : who takes part; may be newer than the rest.
    promotions : those that are live or will be, by id; places in here are "rows" elsewhere.
    attributes : of covered items, as JSON text.
    rows_of : for each subscriber's site the rows of the promotions that may be shown there, ascending.
    """

    members: Members
    promotions: tuple[PromotionRow, ...]
    rows_of: Mapping[str, NDArray[np.intp]]
    coverage: Coverage
    items: Mapping[tuple[str, str], FeaturedItem]
    attributes: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def describe(self, pair: tuple[str, str]) -> dict[str, str | None]:
        """Return what a covered item says about itself, as `features.content` reads it."""
        item = self.items.get(pair)
        told = (
            {"title": None, "category": None}
            if item is None
            else {"title": item.title, "category": item.category}
        )
        return {**told, "attributes": self.attributes.get(pair)}

    @property
    def sites(self) -> Mapping[str, Site]:
        """All sites by id."""
        return self.members.sites

    @property
    def subscribers(self) -> Mapping[str, Subscriber]:
        """All subscribers by id."""
        return self.members.subscribers

    @property
    def keys(self) -> Mapping[bytes, KeyRecord]:
        """The keys that were not revoked, by hash."""
        return self.members.keys

    def owns(self, subscriber_id: str, site_id: str) -> bool:
        """Whether a site belongs to a subscriber."""
        return self.members.owns(subscriber_id, site_id)


def make_catalogue(rows: CatalogueRows, *, read_at: datetime) -> Catalogue:
    """Arrange one reading of the database for looking things up."""
    row_of = {promotion.promotion_id: row for row, promotion in enumerate(rows.promotions)}
    by_site: dict[str, list[int]] = {
        site.site_id: [] for site in rows.members.sites if site.subscriber_id is not None
    }
    for promotion_id, site_id in rows.promotion_sites:
        if site_id in by_site and promotion_id in row_of:
            by_site[site_id].append(row_of[promotion_id])
    return Catalogue(
        members=make_members(rows.members, read_at=read_at),
        promotions=tuple(rows.promotions),
        rows_of=MappingProxyType(
            {site_id: np.array(sorted(places), dtype=np.intp) for site_id, places in by_site.items()}
        ),
        coverage=_arrange(rows.coverage, row_of),
        items=MappingProxyType({(item[0], item[1]): FeaturedItem(*item) for item in rows.items}),
        attributes=MappingProxyType(rows.attributes),
    )


def _arrange(covered: Sequence[tuple[str, str, str]], row_of: Mapping[str, int]) -> Coverage:
    index: dict[tuple[str, str], int] = {}
    entries = sorted(
        (row_of[promotion_id], index.setdefault((site_id, item_id), len(index)))
        for promotion_id, site_id, item_id in covered
        if promotion_id in row_of
    )
    counts = (
        np.bincount([row for row, _ in entries], minlength=len(row_of)) if entries else np.zeros(len(row_of))
    )
    return Coverage(
        pairs=tuple(index),
        indptr=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        pair_index=np.array([place for _, place in entries], dtype=np.int32),
    )
