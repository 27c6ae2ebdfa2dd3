"""The decision by itself: what the shortlist leaves out must still be shown where nothing else may be."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from benchmarks.decision import (
    NOW,
    make_als,
    make_counter,
    make_items,
    make_records,
)
from features.history import history_vector
from features.ids import ItemIds
from serving.answer import Decision, FeaturedItem
from serving.catalog import Catalogue, Coverage
from serving.members import Members
from serving.shelf import Shelf, make_shelves
from storage.catalogue import PromotionRow

N_PROMOTIONS = 6000


def with_only(shelf: Shelf, places: list[int]) -> Shelf:
    ends_s = np.full(N_PROMOTIONS, NOW.timestamp() - 1)
    ends_s[places] = np.inf
    return replace(shelf, ends_s=ends_s)


def shown(decision: Decision) -> str | None:
    return None if decision.promotion is None else decision.promotion.promotion_id


def test_the_shortlist_decides_like_all_promotions_and_gives_way_where_too_few_may_be_shown() -> None:
    items = make_items(N_PROMOTIONS, n_sites=2)
    counter = make_counter(make_als(items, 400), N_PROMOTIONS)
    projection = counter.shelf.projection
    assert projection is not None
    (record,) = make_records(items, 1)
    bundle = counter.model.bundle
    reading = bundle.model.read(history_vector(record.events, items, bundle.weights, now=NOW))
    few = projection.shortlist(reading, bundle.weights, n=1)
    assert few is not None
    left_out = sorted(set(range(N_PROMOTIONS)) - set(np.asarray(few.places).tolist()))
    scores = reading.score(projection.within)
    everything = projection.pool(scores, history=reading.history, weights=bundle.weights)
    best = int(everything.score.argmax())
    assert shown(counter.decide(record)) == counter.shelf.promotions[best].promotion_id
    narrow = replace(counter, shelf=with_only(counter.shelf, left_out[:2]))
    better = max(left_out[:2], key=lambda place: float(everything.score[place]))
    decision = narrow.decide(record)
    assert decision.strategy == "tailored"
    assert shown(decision) == counter.shelf.promotions[better].promotion_id
    nothing = replace(counter, shelf=with_only(counter.shelf, [])).decide(record)
    assert shown(nothing) is None
    assert "is live at" in (nothing.reason or "")


def test_a_promotion_is_shown_from_the_moment_it_begins_until_the_moment_it_ends() -> None:
    shelf = make_counter(make_als(make_items(4, n_sites=1), 2), 4).shelf
    hours = NOW.timestamp() + 3600 * np.array([[-np.inf, 1, 1, 2], [np.inf, 2, 3, np.inf]])
    shelf = replace(shelf, starts_s=hours[0], ends_s=hours[1])
    expected = {
        0: [0],
        0.5: [0],
        1: [0, 1, 2],
        1.5: [0, 1, 2],
        2: [0, 2, 3],
        2.5: [0, 2, 3],
        3: [0, 3],
        9: [0, 3],
    }
    # Back and forth, for what was worked out is kept.
    for hour in [*expected, *reversed(expected), 1.5, 0, 9]:
        live = shelf.eligible(NOW + timedelta(hours=hour), placement=None)
        assert np.flatnonzero(live).tolist() == expected[hour]
    assert not shelf.eligible(NOW, placement=None, among=np.array([1, 3])).any()


def test_only_placements_that_a_promotion_names_are_kept() -> None:
    shelf = make_counter(make_als(make_items(3, n_sites=1), 2), 3).shelf
    anywhere = np.array([True, False, False])
    shelf = replace(shelf, anywhere=anywhere, in_placement={"banner": np.array([False, True, False])})
    for _ in range(2):
        assert shelf.eligible(NOW, placement="banner").tolist() == [True, True, False]
        assert shelf.eligible(NOW, placement="whatever").tolist() == [True, False, False]
        assert shelf.eligible(NOW, placement=None).all()
    assert set(shelf.kept) == {"banner", None}


def test_promotions_for_an_audience_are_shown_to_its_members_only() -> None:
    shelf = make_counter(make_als(make_items(3, n_sites=1), 2), 3).shelf
    shelf = replace(shelf, audience=np.array([-1, 0, 1], dtype=np.int32), audience_codes={"new": 0, "vip": 1})
    assert shelf.eligible(NOW, placement=None).tolist() == [True, False, False]
    assert shelf.eligible(NOW, placement=None, audiences=["vip", "unheard of"]).tolist() == [
        True,
        False,
        True,
    ]
    some = np.array([1, 2])
    assert shelf.eligible(NOW, placement=None, audiences=["new"], among=some).tolist() == [True, False]


def test_only_the_shelves_of_sites_that_changed_are_made_anew() -> None:
    items = make_items(4, n_sites=2)
    model = make_counter(make_als(items, 2), 4).model
    first = make_catalogue({"shop-0": ["a", "b"], "shop-1": ["c", "d"]}, items)
    shelves = make_shelves(first, model)

    def made_anew(catalogue: Catalogue) -> set[str]:
        later = make_shelves(catalogue, model, before=shelves)
        assert {site: shelf.items for site, shelf in later.items()} == dict.fromkeys(later, catalogue.items)
        return {site for site, shelf in later.items() if shelf.projection is not shelves[site].projection}

    assert made_anew(first) == set()
    assert made_anew(replace(first, items={("shop-0", "x"): FeaturedItem("shop-0", "x")})) == set()
    assert made_anew(make_catalogue({"shop-0": ["a", "b"], "shop-1": ["c", "d", "e"]}, items)) == {"shop-1"}
    assert made_anew(make_catalogue({"shop-0": ["b"], "shop-1": ["c", "d"]}, items)) == {"shop-0"}
    assert made_anew(make_catalogue({"shop-0": ["a", "b"], "shop-1": ["c", "d"]}, items, shift=1)) == set(
        shelves
    )
    retitled = tuple(
        row._replace(title="new") if row.promotion_id == "c" else row for row in first.promotions
    )
    assert made_anew(replace(first, promotions=retitled)) == {"shop-1"}


def make_catalogue(promotions: dict[str, list[str]], items: ItemIds, *, shift: int = 0) -> Catalogue:
    """Some promotions on each site, each for an item of this site."""
    rows = [(site, name) for site, names in promotions.items() for name in names]
    pairs = tuple((site, f"item-{(ord(name) + shift) % 4:08d}") for site, name in rows)
    assert all(items.index(*pair) is not None for pair in pairs)
    return Catalogue(
        members=Members({}, {}, {}, frozenset(), {}, NOW),
        promotions=tuple(PromotionRow(name, None, name, *[None] * 8) for _, name in rows),
        rows_of={
            site: np.array([row for row, (here, _) in enumerate(rows) if here == site]) for site in promotions
        },
        coverage=Coverage(
            pairs=pairs, indptr=np.arange(len(rows) + 1), pair_index=np.arange(len(rows), dtype=np.int32)
        ),
        items={},
    )
