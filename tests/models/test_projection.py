"""From item scores to promotion scores."""

import numpy as np
import pytest
from scipy import sparse

from features.history import HistoryVector
from features.ids import ItemIds
from features.weights import InteractionWeights
from models.als import Als, FittedAls
from models.blend import FittedBlend
from models.errors import InvalidModel
from models.factors import principal_axes
from models.pooling import Pooling
from models.projection import Projection

ITEMS = ItemIds({"a": ["1", "2", "3", "4"], "b": ["1"]})
SCORES = np.array([4, 1, -2, 3, 0.5], dtype=np.float32)
COVERED = [
    [("a", "1"), ("a", "2"), ("a", "3"), ("a", "4")],
    [],
    [("b", "1"), ("b", "unknown")],
    [("c", "1")],
    [("a", "3")],
    [("a", "2"), ("a", "2")],
]
WEIGHTS = InteractionWeights(purchase=2)
POOLINGS = [
    Pooling("sum", overlap=0),
    Pooling("sum_over_sqrt", overlap=0),
    Pooling("max", overlap=0),
    Pooling("top_mean", top=2, overlap=0),
    Pooling("top_mean", top=50, overlap=0),
]


def projection(pooling: Pooling) -> Projection:
    return Projection.from_pairs(COVERED, ITEMS, pooling=pooling)


def purchases(item_index: list[int]) -> HistoryVector:
    by_kind = np.zeros((3, len(item_index)), dtype=np.float32)
    by_kind[2] = 1
    return HistoryVector(np.array(item_index, dtype=np.int32), by_kind)


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        (POOLINGS[0], [6, 0, 0.5, 0, -2, 1]),
        (POOLINGS[1], [3, 0, 0.5, 0, -2, 1]),
        (POOLINGS[2], [4, 0, 0.5, 0, -2, 1]),
        (POOLINGS[3], [3.5, 0, 0.25, 0, -1, 0.5]),
        (POOLINGS[4], [0.12, 0, 0.01, 0, -0.04, 0.02]),
    ],
    ids=str,
)
def test_each_pooling_by_hand(pooling: Pooling, expected: list[float]) -> None:
    assert projection(pooling).pool(SCORES).score == pytest.approx(expected)


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_a_promotion_that_covers_nothing_known_says_so(pooling: Pooling) -> None:
    pooled = projection(pooling).pool(SCORES)
    assert pooled.known.tolist() == [True, False, True, False, True, True]
    assert pooled.featured_item(1) is None


def test_the_featured_item_is_the_covered_one_with_the_best_score() -> None:
    pooled = projection(Pooling()).pool(SCORES)
    assert [pooled.featured_item(promotion) for promotion in range(6)] == [0, None, 4, None, 2, 1]


def test_the_consumers_own_activity_can_make_another_item_the_featured_one() -> None:
    pooling = Pooling("max", overlap=2)
    pooled = projection(pooling).pool(SCORES, history=purchases([1]), weights=WEIGHTS)
    assert pooled.own is not None
    assert (pooled.own.item_index.tolist(), pooled.own.worth.tolist()) == ([1], [4])
    assert pooled.featured_item(0) == 1


def test_the_consumers_own_activity_in_covered_items_adds_to_the_score() -> None:
    pooling = Pooling("max", overlap=0.5)
    alone = projection(pooling).pool(SCORES).score
    with_history = projection(pooling).pool(SCORES, history=purchases([1, 2]), weights=WEIGHTS).score
    assert (with_history - alone).tolist() == [2, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_the_weights_of_the_items_give_the_pooled_score(pooling: Pooling) -> None:
    made = projection(pooling)
    pooled = made.pool(SCORES)
    for promotion in range(6):
        weights = made.item_weights(promotion, SCORES)
        assert weights @ SCORES[made.covered(promotion)] == pytest.approx(pooled.score[promotion])


@pytest.mark.parametrize("pooling", [*POOLINGS, Pooling("top_mean", top=2, overlap=0.5)], ids=str)
def test_promotions_of_one_item_each_pool_as_beside_others(pooling: Pooling) -> None:
    history = purchases([1, 2])
    coverage = np.eye(5, dtype=bool)[[3, 0, 0, 2, 4, 1]]
    alone = Projection(sparse.csr_matrix(coverage), pooling).pool(SCORES, history=history, weights=WEIGHTS)
    beside = Projection(sparse.csr_matrix(np.vstack([coverage, np.ones(5)])), pooling)
    pooled = beside.pool(SCORES, history=history, weights=WEIGHTS)
    assert alone.score.tolist() == pooled.score[:6].tolist()


def test_no_promotion_at_all_pools_to_nothing() -> None:
    for pooling in POOLINGS:
        made = Projection.from_pairs([], ITEMS, pooling=pooling)
        assert made.pool(SCORES[made.within]).score.shape == (0,)


@pytest.mark.parametrize("pooling", [*POOLINGS, Pooling("max", overlap=0.5)], ids=str)
def test_only_the_items_between_the_first_and_the_last_covered_one_need_a_score(pooling: Pooling) -> None:
    coverage = np.zeros((4, 5), dtype=bool)
    coverage[1, 2] = coverage[2, [2, 3]] = coverage[3, [0, 4]] = True
    history = purchases([0, 2, 4])
    part = Projection(sparse.csr_matrix(coverage[:3]), pooling)
    whole = Projection(sparse.csr_matrix(coverage), pooling)
    assert (part.within, whole.within) == (slice(2, 4), slice(0, 5))
    some = part.pool(SCORES[2:4], history=history, weights=WEIGHTS)
    all_of_them = whole.pool(SCORES, history=history, weights=WEIGHTS)
    assert some.score.tolist() == all_of_them.score[:3].tolist()
    assert [some.featured_item(one) for one in range(3)] == [
        all_of_them.featured_item(one) for one in range(3)
    ]
    assert part.covered(2).tolist() == [2, 3]


def test_scores_of_another_length_are_refused() -> None:
    with pytest.raises(InvalidModel, match=r"item scores are \[4\]; expected \[5\]"):
        projection(Pooling()).pool(SCORES[:-1])


@pytest.mark.parametrize("pooling", [*POOLINGS, Pooling("top_mean", top=7, overlap=0)], ids=str)
def test_thousands_of_promotions_of_all_sizes_pool_as_each_alone(pooling: Pooling) -> None:
    generator = np.random.default_rng(3)
    scores = generator.standard_normal(900).astype(np.float32)
    sizes = np.minimum(generator.zipf(1.4, 1000), 700) - 1
    coverage = sparse.lil_matrix((1000, 900), dtype=bool)
    for promotion, size in enumerate(sizes):
        coverage[promotion, generator.choice(900, size, replace=False)] = True
    made = Projection(sparse.csr_matrix(coverage), pooling)
    pooled = made.pool(scores)
    assert np.array_equal(pooled.known, sizes > 0)
    alone = [made.item_weights(one, scores) @ scores[made.covered(one)] for one in range(1000)]
    assert pooled.score == pytest.approx(np.array(alone), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("kind", ["sum", "sum_over_sqrt", "max", "top_mean"])
def test_what_the_history_gave_to_a_promotion_sums_to_its_score(kind: str) -> None:
    generator = np.random.default_rng(5)
    factors = generator.standard_normal((5, 3)).astype(np.float32)
    model = FittedAls(ITEMS, WEIGHTS, principal_axes(factors), Als(factors=3, regularization=1))
    made = projection(Pooling(kind, top=2, overlap=0.3))  # type: ignore[arg-type]
    history = purchases([0, 2, 4])
    scores = model.score(history)
    pooled = made.pool(scores, history=history, weights=WEIGHTS)
    for promotion in np.flatnonzero(pooled.known):
        signals = made.signals(model, model.read(history), promotion_index=int(promotion), pooled=pooled)
        given = np.sum([signal.given for signal in signals], axis=0)
        assert given.sum() == pytest.approx(pooled.score[promotion], abs=1e-5)


def test_the_signals_of_a_blend_are_its_members_own_activity_and_popularity() -> None:
    generator = np.random.default_rng(5)
    als = FittedAls(ITEMS, WEIGHTS, principal_axes(generator.standard_normal((5, 3))), Als(factors=3))
    other = FittedAls(ITEMS, WEIGHTS, principal_axes(generator.standard_normal((5, 2))), Als(factors=2))
    crowd = generator.random(5).astype(np.float32)
    model = FittedBlend(ITEMS, WEIGHTS, (als, other), (1.0, 0.5), crowd, popularity=2.0, strength=5.0)
    made = projection(Pooling("top_mean", top=2, overlap=0.3))
    history = purchases([0, 2, 4])
    pooled = made.pool(model.score(history), history=history, weights=WEIGHTS)
    for promotion in np.flatnonzero(pooled.known):
        signals = made.signals(model, model.read(history), promotion_index=int(promotion), pooled=pooled)
        own = ["own activity"] if {0, 2, 4} & set(made.covered(int(promotion)).tolist()) else []
        assert [signal.name for signal in signals] == ["als", "als", *own, "popularity"]
        assert sum(signal.total for signal in signals) == pytest.approx(pooled.score[promotion], abs=1e-5)


def test_a_pooling_survives_json() -> None:
    pooling = Pooling("sum_over_sqrt", overlap=0.3)
    assert Pooling.from_json(pooling.to_json()) == pooling


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"kind": "mean"}, "pooling 'mean'; known: sum, sum_over_sqrt, max, top_mean"),
        ({"top": 0}, "top=0"),
        ({"top": True}, "top=True"),
        ({"overlap": -1}, "overlap=-1"),
        ({"overlap": float("nan")}, "overlap=nan"),
        ({"bottom": 1}, "pooling has"),
    ],
)
def test_poolings_that_make_no_sense_are_refused(values: dict, reason: str) -> None:
    with pytest.raises(InvalidModel, match=reason):
        Pooling.from_json({**Pooling().to_json(), **values})
