"""Decided for together, everybody is shown what each would be shown alone."""

from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import pytest
from scipy import sparse

from benchmarks.decision import (
    NOW,
    Counter,
    make_als,
    make_blend,
    make_counter,
    make_graph,
    make_ials,
    make_items,
    make_records,
    make_ridge,
)
from features.history import history_vector
from features.history_block import HistoryBlock
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.pooling import Pooling
from models.popularity import FittedPopularity
from models.projection import Projection
from models.recommender import FittedRecommender
from serving.block import Asked, BlockRanking, rank_block
from serving.decision import rank
from serving.shelf import Shelf
from storage.reader import ConsumerRecord
from storage.recent import Events

MANY = 6000
MODELS: dict[str, Callable[[ItemIds], FittedRecommender]] = {
    "als 16": lambda items: make_als(items, 16),
    "als 200": lambda items: make_als(items, 200),
    "ials": lambda items: make_ials(items, 16),
    "graph": make_graph,
    "ridge": make_ridge,
    "blend": lambda items: make_blend(items, (make_ials(items, 16), make_graph(items), make_als(items, 8))),
    "popularity": lambda items: FittedPopularity(
        items, InteractionWeights(), np.linspace(0, 1, len(items), dtype=np.float32)
    ),
}


def somebody(items: ItemIds) -> list[ConsumerRecord]:
    """Consumers with and without a history, on lists and on none."""
    unknown = ConsumerRecord("unknown", Events.of([("elsewhere", "1", "purchase", None)]))
    records = [*make_records(items, 40), ConsumerRecord("nobody"), unknown]
    lists = [frozenset(), frozenset({"vip"}), frozenset({"vip", "new", "not here"})]
    return [replace(record, audiences=lists[row % 3]) for row, record in enumerate(records)]


def ranked(counter: Counter, shelf: Shelf, records: list[ConsumerRecord], *, n: int) -> BlockRanking:
    bundle, projection = counter.model.bundle, shelf.projection
    assert projection is not None
    groups = sorted({tuple(sorted(record.audiences)) for record in records})
    return rank_block(
        HistoryBlock.of(
            [history_vector(one.events, bundle.items, bundle.weights, now=NOW) for one in records]
        ),
        Asked(
            np.array([groups.index(tuple(sorted(record.audiences))) for record in records]),
            lambda group: shelf.eligible(NOW, placement=None, audiences=groups[group]),
            n,
        ),
        projection=projection,
        bundle=bundle,
    )


def assert_alike(counter: Counter, shelf: Shelf, records: list[ConsumerRecord], *, n: int) -> BlockRanking:
    together = ranked(counter, shelf, records, n=n)
    for row, record in enumerate(records):
        alone = rank(counter.ask(n=n), record, shelf=shelf, model=counter.model)
        order = [] if alone is None else alone.order.tolist()
        assert (together.place[row, len(order) :] == -1).all()
        if alone is None:
            continue
        assert together.tailored[row] == (alone.strategy == "tailored")
        for number, at in enumerate(order):
            place = alone.pooled.place(at)
            item = alone.pooled.featured_item(place)
            assert together.place[row, number] == place
            assert together.featured[row, number] == (-1 if item is None else item)
            if item is not None:
                assert together.score[row, number] == pytest.approx(
                    alone.pooled.score[at], rel=1e-5, abs=1e-6
                )
    return together


def with_audiences(shelf: Shelf) -> Shelf:
    """Two promotions of three are for members of a list only."""
    return replace(
        shelf,
        audience=np.arange(len(shelf.promotions), dtype=np.int32) % 3 - 1,
        audience_codes=MappingProxyType({"vip": 0, "new": 1}),
    )


def of_several_items(shelf: Shelf, counter: Counter, pooling: Pooling) -> Shelf:
    """Promotions of no known item, of one and of several; an item may be in several of them."""
    random, n = np.random.default_rng(2), len(shelf.promotions)
    coverage = sparse.random(n, len(counter.model.bundle.items), density=0.01, format="csr", rng=random)
    return replace(shelf, projection=Projection(coverage, pooling, model=counter.model.bundle.model))


@pytest.mark.parametrize("kind", MODELS)
def test_everybody_is_shown_the_same_as_alone(kind: str) -> None:
    items = make_items(MANY if kind == "als 200" else 300, n_sites=2)
    counter = make_counter(MODELS[kind](items), len(items) // 2)
    records = somebody(items)
    for n in (1, 3):
        together = assert_alike(counter, counter.shelf, records, n=n)
        n_tailored = 0 if kind == "popularity" else 40
        assert together.strategies() == {
            strategy: number
            for strategy, number in {"tailored": n_tailored, "popularity": 42 - n_tailored}.items()
            if number
        }
        assert_alike(counter, with_audiences(counter.shelf), records, n=n)


def test_where_nothing_may_be_shown_nothing_is() -> None:
    items = make_items(300, n_sites=2)
    counter = make_counter(make_als(items, 16), 150)
    shelf = replace(counter.shelf, ends_s=np.zeros(150))
    assert assert_alike(counter, shelf, somebody(items), n=1).strategies() == {"none": 42}
    members_only = replace(with_audiences(counter.shelf), audience=np.zeros(150, dtype=np.int32))
    told = assert_alike(counter, members_only, somebody(items), n=1).strategies()
    assert told == {"tailored": 26, "popularity": 2, "none": 14}


@pytest.mark.parametrize(
    "pooling",
    [Pooling("sum"), Pooling("sum_over_sqrt"), Pooling("max"), Pooling("top_mean", top=2, overlap=0)],
    ids=str,
)
@pytest.mark.parametrize("kind", ["als 16", "blend"])
def test_promotions_of_several_items_and_of_none_are_pooled_alike(kind: str, pooling: Pooling) -> None:
    items = make_items(300, n_sites=2)
    counter = make_counter(MODELS[kind](items), 150)
    shelf = with_audiences(of_several_items(counter.shelf, counter, pooling))
    for n in (1, 3, 149):
        assert_alike(counter, shelf, somebody(items), n=n)


def test_promotions_in_another_order_than_their_items_are_ranked_alike() -> None:
    items = make_items(300, n_sites=2)
    counter = make_counter(make_als(items, 16), 150)
    covered = np.random.default_rng(3).integers(20, 120, size=150)
    coverage = sparse.csr_matrix((np.ones(150), (np.arange(150), covered)), shape=(150, 600))
    projection = Projection(coverage, Pooling(), model=counter.model.bundle.model)
    assert_alike(counter, replace(counter.shelf, projection=projection), somebody(items), n=1)
