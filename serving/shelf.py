"""What may be shown on one site: its promotions in one block, projected onto what the model knows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from models.projection import EVERY_PROMOTION, Projection
from models.unseen import FittedWithUnseen
from serving.answer import FeaturedItem
from serving.catalog import Catalogue, Coverage
from serving.live_model import LiveModel
from storage.catalogue import PromotionRow

_EVERYONE = -1


@dataclass(frozen=True, eq=False, slots=True)
class LiveNow:
    """Which promotions are live from one moment to another, in seconds, bool[n]."""

    live: NDArray[np.bool_]
    since_s: float
    until_s: float


@dataclass(frozen=True, eq=False, slots=True)
class Shelf:
    """The promotions of one site, ordered by id; every array has one entry a promotion."""

    site_id: str
    promotions: tuple[PromotionRow, ...]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    audience: NDArray[np.int32]
    audience_codes: Mapping[str, int]
    in_placement: Mapping[str, NDArray[np.bool_]]
    anywhere: NDArray[np.bool_]
    first_covered: tuple[tuple[str, str] | None, ...]
    items: Mapping[tuple[str, str], FeaturedItem]
    projection: Projection | None
    kept: dict[str | None, LiveNow] = field(default_factory=dict, init=False, repr=False)
    """By placement, what was worked out last."""

    def eligible(
        self,
        now: datetime,
        *,
        placement: str | None,
        audiences: Iterable[str] = (),
        among: NDArray[np.intp] | slice = EVERY_PROMOTION,
    ) -> NDArray[np.bool_]:
        """Return which of these promotions may be shown now, here, to a member of `audiences`.

        bool[n], not to be written to.
        """
        allowed = self._live(now, placement)[among]
        if not self.audience_codes:
            return allowed
        codes = [self.audience_codes[one] for one in audiences if one in self.audience_codes]
        is_for = np.zeros(len(self.audience_codes) + 1, dtype=np.bool_)
        is_for[[_EVERYONE, *codes]] = True
        mine: NDArray[np.bool_] = allowed & is_for[self.audience[among]]
        return mine

    def why_nothing(self, now: datetime, *, placement: str | None) -> str:
        """Say why no promotion can be shown, and what would change it."""
        if not self.promotions:
            return f"site {self.site_id!r} has no active promotion; create one with POST /v1/promotions"
        if not self._live(now, None).any():
            return f"no promotion of site {self.site_id!r} is live at {now.isoformat()}; check their dates"
        if not self._live(now, placement).any():
            return f"no live promotion of site {self.site_id!r} may be shown at placement {placement!r}"
        return f"every live promotion of site {self.site_id!r} is for an audience without this consumer"

    def item(self, site_id: str, item_id: str) -> FeaturedItem:
        """Return an item as the catalogue describes it, or with its ids only."""
        return self.items.get((site_id, item_id)) or FeaturedItem(site_id=site_id, item_id=item_id)

    def any_item(self, place: int) -> FeaturedItem | None:
        """Return the first item that a promotion covers, for one whose items the model has never seen."""
        pair = self.first_covered[place]
        return None if pair is None else self.item(*pair)

    def _live(self, now: datetime, placement: str | None) -> NDArray[np.bool_]:
        """Which promotions are live, worked out anew when one begins or ends and kept until then."""
        moment = now.timestamp()
        kept = self.kept.get(placement)
        if kept is not None and kept.since_s <= moment < kept.until_s:
            return kept.live
        live: NDArray[np.bool_] = (self.starts_s <= moment) & (moment < self.ends_s)
        if placement is not None:
            here = self.in_placement.get(placement)
            live &= self.anywhere if here is None else (self.anywhere | here)
        since_s, until_s = _between(self.starts_s, self.ends_s, moment=moment)
        # Anybody may name a placement: only those that a promotion names are kept.
        if placement is None or placement in self.in_placement:
            self.kept[placement] = LiveNow(live, since_s, until_s)
        return live


def _between(*moments_s: NDArray[np.float64], moment: float) -> tuple[float, float]:
    """The last of some moments that has come, and the next one to come."""
    together = np.concatenate(moments_s)
    came = together <= moment
    return together[came].max(initial=-np.inf), together[~came].min(initial=np.inf)


NO_SHELVES: Mapping[str, Shelf] = MappingProxyType({})


def make_shelves(
    catalogue: Catalogue, model: LiveModel | None, *, before: Mapping[str, Shelf] = NO_SHELVES
) -> Mapping[str, Shelf]:
    """Return the shelf of every site that has one, for the champion that serves.

    Parameters
    ----------
    before : shelves that were made for the same champion; those of sites where nothing has changed are kept.
    """
    covered = None if model is None else coverage_matrix(catalogue.coverage, model)
    shelves = {}
    for site_id, rows in catalogue.rows_of.items():
        promotions = tuple(catalogue.promotions[row] for row in rows)
        on_site = None if covered is None else covered[rows]
        kept = before.get(site_id)
        if kept is not None and kept.promotions == promotions and _covers(kept.projection, on_site):
            # Items may have got another title, and what is unknown to the model may be covered.
            first = catalogue.coverage.first(rows)
            shelves[site_id] = replace(kept, items=catalogue.items, first_covered=first)
        else:
            shelves[site_id] = _make_shelf(
                site_id, rows, promotions, catalogue=catalogue, covered=on_site, model=model
            )
    return MappingProxyType(shelves)


def _covers(projection: Projection | None, covered: sparse.csr_matrix | None) -> bool:
    if projection is None or covered is None:
        return projection is None and covered is None
    return projection.covers(covered)


def coverage_matrix(coverage: Coverage, model: LiveModel) -> sparse.csr_matrix:
    """Return which known items each promotion covers, [n_promotions × n_items].

    Items that are scored by their text alone count where a promotion covers nothing else that is known.
    """
    ids = model.bundle.items
    index = np.array(
        [-1 if (i := ids.index(*pair)) is None else i for pair in coverage.pairs], dtype=np.int64
    )
    columns = index[coverage.pair_index] if index.size else np.empty(0, dtype=np.int64)
    rows = np.repeat(np.arange(len(coverage.indptr) - 1), np.diff(coverage.indptr))
    known = columns >= 0
    if isinstance(model.bundle.model, FittedWithUnseen):
        trained = known & (model.bundle.model.column.take(columns, mode="clip") >= 0)
        known &= trained | (np.bincount(rows[trained], minlength=len(coverage.indptr) - 1)[rows] == 0)
    covered = sparse.csr_matrix(
        (np.ones(int(known.sum()), dtype=np.float32), (rows[known], columns[known])),
        shape=(len(coverage.indptr) - 1, len(ids)),
    )
    covered.sort_indices()
    return covered


def _make_shelf(
    site_id: str,
    rows: NDArray[np.intp],
    promotions: tuple[PromotionRow, ...],
    *,
    catalogue: Catalogue,
    covered: sparse.csr_matrix | None,
    model: LiveModel | None,
) -> Shelf:
    codes = {
        name: code for code, name in enumerate(sorted({p.audience_id for p in promotions if p.audience_id}))
    }
    names = {name for p in promotions if p.placements is not None for name in p.placements}
    projection = None
    if covered is not None and model is not None:
        projection = Projection(covered, model.bundle.pooling, model=model.bundle.model)
    return Shelf(
        site_id=site_id,
        promotions=promotions,
        starts_s=np.array([-np.inf if p.starts_at is None else p.starts_at.timestamp() for p in promotions]),
        ends_s=np.array([np.inf if p.ends_at is None else p.ends_at.timestamp() for p in promotions]),
        audience=np.array([codes.get(p.audience_id or "", _EVERYONE) for p in promotions], dtype=np.int32),
        audience_codes=MappingProxyType(codes),
        in_placement=MappingProxyType(
            {
                name: np.array([name in (p.placements or ()) for p in promotions], dtype=np.bool_)
                for name in names
            }
        ),
        anywhere=np.array([p.placements is None for p in promotions], dtype=np.bool_),
        first_covered=catalogue.coverage.first(rows),
        items=catalogue.items,
        projection=projection,
    )
