"""The closed-form fold-in beside implicit's own, and what makes training repeatable."""

import numpy as np
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from features.history import HistoryVector
from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models.als import Als, FittedAls, to_als_confidence
from models.errors import InvalidModel


def random_interactions(n_consumers: int = 300, n_items: int = 200) -> Interactions:
    generator = np.random.default_rng(7)
    by_kind = {}
    for kind in KINDS:
        cells = sparse.random(n_consumers, n_items, density=0.04, format="csr", rng=generator)
        cells.data = np.ceil(cells.data * 5)
        by_kind[kind] = sparse.csr_matrix(cells, dtype=np.float32)
    return Interactions(
        consumers=ConsumerIds(f"c{row:05}" for row in range(n_consumers)),
        items=ItemIds({"site": [f"i{column:05}" for column in range(n_items)]}),
        by_kind=by_kind,
        as_of=None,
        weights=InteractionWeights(half_life_days=3),
    )


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    return random_interactions()


@pytest.fixture(scope="module", params=[(8, 0.5, 1.0), (64, 10.0, 0.2), (32, 1.0, 40.0)], ids=str)
def model(request: pytest.FixtureRequest, interactions: Interactions) -> FittedAls:
    factors, regularization, alpha = request.param
    return Als(factors=factors, regularization=regularization, alpha=alpha, iterations=4).fit(interactions)


def implicit_fold_in(model: FittedAls, interactions: Interactions, rows: list[int]) -> NDArray[np.float32]:
    with threadpool_limits(limits=1, user_api="blas"):
        oracle = AlternatingLeastSquares(
            factors=model.made_with.factors, regularization=model.made_with.regularization, use_cg=False
        )
        oracle.item_factors = model.item_factors
        confidence = to_als_confidence(interactions.confidence(), model.made_with.alpha)
        return np.asarray(oracle.recalculate_user(rows, confidence[rows]))


def test_the_fold_in_equals_implicits_own(model: FittedAls, interactions: Interactions) -> None:
    rows = list(range(0, 300, 7))
    theirs = implicit_fold_in(model, interactions, rows)
    ours = np.array([model.read(interactions.row(row)).vector for row in rows])
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_the_fold_in_solves_the_papers_equation(model: FittedAls, interactions: Interactions) -> None:
    history = interactions.row(11)
    y = model.item_factors.astype(np.float64)
    c = np.ones(len(y))
    c[history.item_index] = 1 + model.made_with.alpha * history.confidence(model.weights)
    p = np.zeros(len(y))
    p[history.item_index] = 1
    ridge = model.made_with.regularization * np.eye(y.shape[1])
    x = np.linalg.solve(y.T @ np.diag(c) @ y + ridge, y.T @ np.diag(c) @ p)
    assert model.score(history) == pytest.approx(y @ x, rel=1e-3, abs=1e-4)


def test_training_on_two_threads_repeats_bit_for_bit(interactions: Interactions) -> None:
    fits = {Als(factors=16, iterations=3).fit(interactions).item_factors.tobytes() for _ in range(3)}
    assert len(fits) == 1


def test_another_seed_gives_other_factors(interactions: Interactions) -> None:
    first, second = (Als(factors=8, iterations=1, random_state=seed).fit(interactions) for seed in (0, 1))
    assert not np.array_equal(first.item_factors, second.item_factors)


def test_blas_threads_are_as_before_after_training(interactions: Interactions) -> None:
    before = [pool["num_threads"] for pool in threadpool_info()]
    Als(factors=4, iterations=1).fit(interactions)
    assert [pool["num_threads"] for pool in threadpool_info()][: len(before)] == before


def test_progress_is_told_after_each_iteration(interactions: Interactions) -> None:
    told: list[tuple[int, int]] = []
    Als(factors=4, iterations=3).fit(interactions, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_a_consumer_who_came_after_training_is_served_like_any_other(interactions: Interactions) -> None:
    model = Als(factors=8, iterations=3).fit(interactions)
    by_kind = np.array([[0, 0], [0, 0], [1, 3]], dtype=np.float32)
    scores = model.score(HistoryVector(np.array([4, 90], dtype=np.int32), by_kind))
    assert np.ptp(scores) > 0


@pytest.mark.parametrize(
    "parameters",
    [
        {"factors": 0},
        {"iterations": 0},
        {"regularization": 0},
        {"regularization": float("nan")},
        {"alpha": -1},
        {"alpha": float("inf")},
        {"factors": "64"},
        {"factors": 64.5},
        {"factors": True},
        {"random_state": -1},
    ],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict) -> None:
    with pytest.raises(InvalidModel, match=next(iter(parameters))):
        Als(**parameters)
