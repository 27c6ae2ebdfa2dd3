"""Among many items the best are found without scoring all, and what is found has its exact score."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from features.history import HistoryVector
from features.ids import ItemIds
from features.weights import KINDS, InteractionWeights
from models.als import Als, FittedAls
from models.blend import FittedBlend
from models.factors import principal_axes
from models.graph import FittedGraph, Graph
from models.pooling import Pooling
from models.projection import Projection
from models.recommender import FittedRecommender
from models.shortlist import about_the_best, shortlist_length, worth_a_search

N_ITEMS, N_FACTORS = 6000, 400
WEIGHTS = InteractionWeights()
ITEMS = ItemIds({site: [f"{number:04}" for number in range(N_ITEMS // 2)] for site in ("books", "music")})


def make_als() -> FittedAls:
    generator = np.random.default_rng(3)
    spectrum = np.arange(1, N_FACTORS + 1) ** -0.5
    factors = principal_axes(generator.standard_normal((N_ITEMS, N_FACTORS)) * spectrum)
    return FittedAls(ITEMS, WEIGHTS, factors, Als(factors=N_FACTORS))


def make_blend() -> FittedBlend:
    generator = np.random.default_rng(4)
    matrix = sparse.random(N_ITEMS, N_ITEMS, density=0.01, format="csr", dtype=np.float32, rng=generator)
    graph = FittedGraph(ITEMS, WEIGHTS, matrix, np.zeros((len(KINDS), N_ITEMS), np.float32), Graph())
    crowd = generator.random(N_ITEMS).astype(np.float32)
    return FittedBlend(ITEMS, WEIGHTS, (make_als(), graph), (1.0, 0.5), crowd, 0.3, 10.0)


@pytest.fixture(params=[make_als, make_blend], ids=["als", "blend"], scope="module")
def model(request: pytest.FixtureRequest) -> FittedRecommender:
    return request.param()


def draw_history(seed: int) -> HistoryVector:
    generator = np.random.default_rng(seed)
    items = np.sort(generator.choice(N_ITEMS, 30, replace=False)).astype(np.int32)
    return HistoryVector(items, generator.random((len(KINDS), 30)).astype(np.float32))


def one_each(items: NDArray[np.int64], *, overlap: float) -> tuple[sparse.csr_matrix, Pooling]:
    cells = (np.ones(len(items), dtype=np.float32), (np.arange(len(items)), items))
    return sparse.csr_matrix(cells, shape=(len(items), N_ITEMS)), Pooling("top_mean", 5, overlap)


def test_what_is_found_has_its_exact_score_and_holds_what_was_asked_for(model: FittedRecommender) -> None:
    among = np.arange(100, N_ITEMS, dtype=np.int32)
    searches = model.search_among(among)
    for seed in range(5):
        reading = model.read(draw_history(seed))
        also = np.array([2, 50, 5999], dtype=np.int32)
        found = reading.shortlist(searches, 200, also=also)
        assert found is not None
        items, scores = found
        assert np.array_equal(items, np.unique(items))
        assert set(also.tolist()) <= set(items.tolist())
        assert scores == pytest.approx(reading.score()[items], rel=1e-4, abs=1e-5)


def test_the_best_promotions_are_found_among_many(model: FittedRecommender) -> None:
    # Items with no, one or several promotions, in no order.
    items = np.random.default_rng(5).permutation(np.r_[np.arange(N_ITEMS), np.arange(0, N_ITEMS, 3)])
    coverage, pooling = one_each(items, overlap=0.2)
    quick, exact = Projection(coverage, pooling, model=model), Projection(coverage, pooling)
    for seed in range(20):
        history = draw_history(seed)
        reading = model.read(history)
        few = quick.shortlist(reading, WEIGHTS, n=3)
        assert few is not None
        assert len(few.score) < len(items) / 4
        everything = exact.pool(reading.score(exact.within), history=history, weights=WEIGHTS)
        assert few.score == pytest.approx(everything.score[few.places], rel=1e-4, abs=1e-5)
        best = np.argsort(-everything.score, kind="stable")[:3]
        assert [few.place(at) for at in np.argsort(-few.score, kind="stable")[:3].tolist()] == best.tolist()
        at = int(few.score.argmax())
        assert few.featured_item(few.place(at)) == items[few.place(at)]
        signals = quick.signals(model, reading, promotion_index=few.place(at), pooled=few)
        assert sum(signal.total for signal in signals) == pytest.approx(few.score[at], rel=1e-3)


def test_promotions_of_what_the_consumer_did_are_scored_in_any_case() -> None:
    coverage, pooling = one_each(np.arange(N_ITEMS), overlap=1e6)
    history = draw_history(1)
    model = make_als()
    few = Projection(coverage, pooling, model=model).shortlist(model.read(history), WEIGHTS, n=1)
    assert few is not None
    assert set(history.item_index.tolist()) <= set(np.asarray(few.places).tolist())


def test_where_all_can_be_scored_as_fast_there_is_no_shortlist() -> None:
    model = make_als()
    few, pooling = one_each(np.arange(1000), overlap=0.2)
    several = sparse.vstack(
        [one_each(np.arange(N_ITEMS), overlap=0)[0], sparse.csr_matrix(np.ones((1, N_ITEMS)))]
    )
    for coverage in (few, sparse.csr_matrix(several)):
        made = Projection(coverage, pooling, model=model)
        assert made.shortlist(model.read(draw_history(1)), WEIGHTS, n=1) is None


def test_what_is_worth_a_search_and_how_many_it_looks_for() -> None:
    assert not worth_a_search(10_000, 64)
    assert worth_a_search(10_000, 256)
    assert not worth_a_search(1000, 4096)
    assert [shortlist_length(n, 1) for n in (100, 10_000, 1_000_000)] == [100, 400, 5000]
    assert shortlist_length(10_000, 50) == 1000


def test_about_the_best_are_the_best_give_or_take_some() -> None:
    scores = np.random.default_rng(2).standard_normal(10_000).astype(np.float32)
    found = about_the_best(scores, 200)
    assert 100 < len(found) < 400
    assert scores[found].min() >= np.sort(scores)[-len(found)]
    assert about_the_best(scores[:20], 200).tolist() == list(range(20))
