"""What every model keeps to. Run on a checkerboard, whose right answer is known by construction.

Twelve consumers, ten items on two sites: even consumers like even items, odd consumers odd ones. Each lacks
one of their items, which is what a model should find.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from features.history import HistoryVector
from features.interactions import Interactions, build_interactions
from features.weights import KINDS, InteractionWeights
from models.als import Als, FittedAls
from models.blend import Blend, Member
from models.bundle import MODEL_KINDS, read_bundle, write_bundle
from models.errors import EmptyHistory, InvalidModel
from models.graph import Graph
from models.ials import Ials
from models.pooling import Pooling
from models.popularity import FittedPopularity, Popularity
from models.recommender import FittedRecommender, Recommender
from models.ridge import Ridge

RECOMMENDERS: dict[str, Callable[[], Recommender]] = {
    "als": lambda: Als(factors=4, regularization=0.1, iterations=12),
    "blend": lambda: Blend(
        (Member(Als(factors=2), 0.5, 1, 1, 1), Member(Graph(kept=4), 2.0, 0, 0.5, 1)), popularity=0.3
    ),
    "graph": lambda: Graph(kept=4),
    "ials": lambda: Ials(factors=4, iterations=12),
    "popularity": Popularity,
    "ridge": lambda: Ridge(regularization=1, own=1, page_view=0.1, kept=4),
}
N_CONSUMERS, N_ITEMS = 12, 10


def checkerboard(*, without: int | None = None) -> Interactions:
    rows = [
        (f"c{consumer:02}", "books" if item < 5 else "music", f"i{item}", KINDS[(consumer + item) % 3])
        for consumer in range(N_CONSUMERS)
        for item in range(N_ITEMS)
        if (consumer + item) % 2 == 0 and item != missing_item(consumer) and consumer != without
    ]
    names = ["consumer_id", "site_id", "item_id", "kind"]
    columns = [pa.array(column, pa.string()) for column in zip(*rows, strict=True)]
    weights = InteractionWeights(page_view=0.5, product_review=1, purchase=2)
    return build_interactions(pa.table(columns, names=names), weights, as_of=datetime(2026, 1, 1, tzinfo=UTC))


def missing_item(consumer: int) -> int:
    return (consumer * 3 + 2 * (consumer // 2)) % N_ITEMS


def history_of(*entries: tuple[int, float]) -> HistoryVector:
    """Purchases only: (item index, how many)."""
    by_kind = np.zeros((len(KINDS), len(entries)), dtype=np.float32)
    by_kind[KINDS.index("purchase")] = [count for _, count in entries]
    return HistoryVector(np.array([item for item, _ in entries], dtype=np.int32), by_kind)


def learned(model: FittedRecommender) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.arrays().items()}


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return checkerboard()


@pytest.fixture(params=sorted(RECOMMENDERS))
def recommender(request: pytest.FixtureRequest) -> Recommender:
    return RECOMMENDERS[request.param]()


@pytest.fixture
def model(recommender: Recommender, interactions: Interactions) -> FittedRecommender:
    return recommender.fit(interactions)


def test_every_kind_of_model_keeps_this_contract() -> None:
    assert set(RECOMMENDERS) == set(MODEL_KINDS)


def test_every_known_item_has_a_finite_score(model: FittedRecommender, interactions: Interactions) -> None:
    for consumer_index in range(N_CONSUMERS):
        scores = model.score(interactions.row(consumer_index))
        assert scores.shape == (len(interactions.items),) == (N_ITEMS,)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()


def test_a_part_of_the_items_scores_as_among_all(
    model: FittedRecommender, interactions: Interactions
) -> None:
    for part in (slice(0, N_ITEMS), slice(1, 4), slice(2, N_ITEMS), slice(3, 3)):
        for consumer_index in range(N_CONSUMERS):
            history = interactions.row(consumer_index)
            expected = pytest.approx(model.score(history)[part], rel=1e-5, abs=1e-6)
            assert model.score(history, part) == expected
            assert np.array_equal(model.read(history).base(part), model.read(history).base()[part])


def test_what_has_no_prior_scores_by_the_history_alone(
    model: FittedRecommender, interactions: Interactions
) -> None:
    reading = model.read(interactions.row(0))
    assert model.has_prior == model.prior.any() == reading.base().any()


def test_an_extreme_history_still_has_finite_scores(model: FittedRecommender) -> None:
    assert np.isfinite(model.score(history_of((0, 1e6), (1, 1e-6)))).all()


def test_it_scores_the_items_and_weighs_by_the_weights_it_was_fitted_on(
    model: FittedRecommender, interactions: Interactions
) -> None:
    assert model.items == interactions.items
    assert model.weights == interactions.weights


def test_the_same_history_scores_the_same_twice(model: FittedRecommender) -> None:
    first = model.score(history_of((0, 1), (4, 2)))
    kept = first.copy()
    first[:] = 0
    assert np.array_equal(model.score(history_of((0, 1), (4, 2))), kept)


def test_many_threads_may_ask_at_once(model: FittedRecommender, interactions: Interactions) -> None:
    histories = [interactions.row(row) for row in range(N_CONSUMERS)]
    alone = [model.score(history) for history in histories]
    wrong: list[int] = []

    def ask() -> None:
        for _ in range(20):
            for row, history in enumerate(histories):
                if not np.array_equal(model.score(history), alone[row]):
                    wrong.append(row)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_fitting_twice_gives_the_same_model_bit_for_bit(
    recommender: Recommender, interactions: Interactions
) -> None:
    assert learned(recommender.fit(interactions)) == learned(recommender.fit(interactions))


def test_refitting_forgets_what_was_learned_before(
    recommender: Recommender, interactions: Interactions
) -> None:
    fresh = learned(recommender.fit(interactions))
    assert learned(recommender.fit(checkerboard(without=3))) != fresh
    assert learned(recommender.fit(interactions)) == fresh


def test_fitting_leaves_the_interactions_alone(recommender: Recommender) -> None:
    interactions = checkerboard()
    recommender.fit(interactions)
    assert checkerboard().digest == Interactions(**vars_of(interactions)).digest


def vars_of(interactions: Interactions) -> dict[str, object]:
    return {name: getattr(interactions, name) for name in Interactions.__dataclass_fields__}


@pytest.mark.parametrize(
    "history",
    [history_of(), history_of((0, 0), (3, 0))],
    ids=["no items", "items without confidence"],
)
def test_an_empty_history_says_so_instead_of_scoring_zeros(
    model: FittedRecommender, history: HistoryVector
) -> None:
    with pytest.raises(EmptyHistory, match="has a confidence above 0"):
        model.score(history)
    with pytest.raises(EmptyHistory):
        model.read(history).explain(0)


def test_a_history_of_an_item_out_of_range_is_refused(model: FittedRecommender) -> None:
    with pytest.raises(InvalidModel, match=f"names item {N_ITEMS}; the model knows {N_ITEMS}"):
        model.score(history_of((0, 1), (N_ITEMS, 1)))


def test_the_explanation_and_the_base_sum_to_the_score(
    model: FittedRecommender, interactions: Interactions
) -> None:
    history = interactions.row(5)
    scores = model.score(history)
    for item_index in range(N_ITEMS):
        given = model.read(history).explain(item_index)
        assert given.shape == (len(history),)
        assert given.sum() + model.read(history).base()[item_index] == pytest.approx(
            scores[item_index], abs=1e-5
        )


def test_items_are_explained_together_by_their_weights(
    model: FittedRecommender, interactions: Interactions
) -> None:
    history, items = interactions.row(5), np.array([0, 3, 9], dtype=np.int32)
    weights = np.array([0.5, 2, -1], dtype=np.float32)
    each = zip(items.tolist(), weights, strict=True)
    apart = sum(weight * model.read(history).explain(item) for item, weight in each)
    assert model.read(history).explain(items, weights) == pytest.approx(apart, abs=1e-5)


def test_an_entry_without_confidence_gives_nothing(model: FittedRecommender) -> None:
    with_nothing = model.read(history_of((0, 2), (1, 0), (4, 1))).explain(2)
    assert with_nothing[1] == 0
    assert with_nothing[[0, 2]] == pytest.approx(model.read(history_of((0, 2), (4, 1))).explain(2))


def test_saved_and_loaded_it_answers_the_same(
    model: FittedRecommender, interactions: Interactions, tmp_path: Path
) -> None:
    popularity = Popularity().fit(interactions)
    digest = write_bundle(tmp_path / "bundle", model, popularity=popularity, pooling=Pooling())
    bundle = read_bundle(tmp_path / "bundle", expected_digest=digest)
    assert (bundle.model.kind, bundle.items, bundle.weights) == (model.kind, model.items, model.weights)
    assert bundle.model.parameters() == model.parameters()
    for consumer_index in range(N_CONSUMERS):
        history = interactions.row(consumer_index)
        assert np.array_equal(bundle.model.score(history), model.score(history))
    assert np.array_equal(bundle.model.prior, model.prior)
    assert np.array_equal(bundle.popularity.prior, popularity.prior)


def test_arrays_of_the_wrong_shape_type_or_value_make_no_model(model: FittedRecommender) -> None:
    arrays = model.arrays()
    for name, array in arrays.items():
        other_type = np.float64 if array.dtype == np.float32 else np.int16
        for wrong, reason in (
            (None, f"no array '{name.rpartition('.')[2]}'"),
            (array[:-1], "expected|divide"),
            (array.astype(other_type), f"is {other_type.__name__}"),
            (array[np.newaxis], f"expected {array.dtype}"),
            (spoiled(array), "not finite|beyond|divide"),
        ):
            given = {**arrays, name: wrong}
            with pytest.raises(InvalidModel, match=reason):
                type(model).from_arrays(
                    model.items,
                    model.weights,
                    arrays={one: kept for one, kept in given.items() if kept is not None},
                    parameters=model.parameters(),
                )


def spoiled(array: np.ndarray) -> np.ndarray:
    broken = array.copy()
    broken.flat[0] = np.nan if array.dtype == np.float32 else -1
    return broken


def test_als_finds_the_item_that_each_consumer_lacks(interactions: Interactions) -> None:
    model = Als(factors=2, regularization=1, iterations=15).fit(interactions)
    assert isinstance(model, FittedAls)
    for consumer_index in range(N_CONSUMERS):
        scores = model.score(interactions.row(consumer_index))
        theirs = np.arange(N_ITEMS) % 2 == consumer_index % 2
        assert scores[theirs].min() > scores[~theirs].max()


def test_popularity_is_each_items_share_of_its_site(interactions: Interactions) -> None:
    model = Popularity().fit(interactions)
    assert isinstance(model, FittedPopularity)
    total = interactions.confidence().toarray().sum(axis=0)
    for site_id in interactions.items.site_ids:
        site = interactions.items.site_slice(site_id)
        assert model.prior[site] == pytest.approx(total[site] / total[site].sum())
