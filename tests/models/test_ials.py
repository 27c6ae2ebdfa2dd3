"""iALS: our closed-form user step beside irspack's own, and what makes training repeatable."""

import numpy as np
import pytest
from scipy import sparse

from features.history import HistoryVector
from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models.errors import InvalidModel
from models.factors import principal_axes
from models.ials import FittedIals, Ials, train_ials


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    generator = np.random.default_rng(7)
    cells = sparse.random(300, 200, density=0.06, format="csr", rng=generator, dtype=np.float32)
    return Interactions(
        consumers=ConsumerIds(f"c{row:05}" for row in range(300)),
        items=ItemIds({"site": [f"i{column:05}" for column in range(200)]}),
        by_kind={kind: sparse.csr_matrix(cells * (kind == "purchase")) for kind in KINDS},
        as_of=None,
        weights=InteractionWeights(),
    )


@pytest.mark.parametrize("parameters", [(8, 0.1, 0.003, 1.0), (64, 0.02, 0.05, 0.7)], ids=str)
def test_the_fold_in_solves_the_papers_equation(
    interactions: Interactions, parameters: tuple[int, float, float, float]
) -> None:
    factors, unobserved, regularization, frequency = parameters
    model = Ials(factors, unobserved, regularization, frequency, iterations=4).fit(interactions)
    history = interactions.row(11)
    y, r = model.item_factors.astype(np.float64), history.confidence(model.weights)
    seen = y[history.item_index]
    ridge = regularization * (len(history) + unobserved * len(y)) ** frequency
    system = unobserved * y.T @ y + (seen.T * r) @ seen + ridge * np.eye(y.shape[1])
    x = np.linalg.solve(system, seen.T @ r)
    assert model.score(history) == pytest.approx(y @ x, rel=1e-3, abs=1e-4)


def test_the_fold_in_is_what_irspack_makes_of_a_consumer_in_its_last_step(interactions: Interactions) -> None:
    cells = interactions.confidence()
    parameters = {"n_components": 8, "alpha0": 0.1, "reg": 0.003, "nu": 1.0, "solver_type": "CHOLESKY"}
    consumers, items = train_ials(cells, train_epochs=60, random_seed=1, **parameters)
    theirs = consumers @ items.T
    model = Ials(8, 0.1, 0.003, 1.0)
    # After many epochs the user step changes nothing more.
    fitted = FittedIals(interactions.items, interactions.weights, principal_axes(items), model)
    ours = np.array([fitted.score(interactions.row(row)) for row in range(0, 300, 7)])
    assert np.abs(ours - theirs[::7]).max() < 0.02 * np.abs(theirs).max()


def test_training_repeats_bit_for_bit(interactions: Interactions) -> None:
    fits = {Ials(factors=16, iterations=3).fit(interactions).item_factors.tobytes() for _ in range(20)}
    assert len(fits) == 1


def test_a_longer_history_than_factors_and_a_shorter_one_are_solved_alike(interactions: Interactions) -> None:
    model = Ials(factors=8, iterations=4).fit(interactions)
    items = np.arange(20, dtype=np.int32)
    by_kind = np.zeros((len(KINDS), 20), dtype=np.float32)
    by_kind[-1] = 1
    # What weighs next to nothing changes next to nothing, but makes the history longer than the factors.
    slight = by_kind.copy()
    slight[-1, 5:] = 1e-6
    short = HistoryVector(items[:5], by_kind[:, :5])
    longer = HistoryVector(items, slight)
    flat = Ials(factors=8, frequency=0.0, iterations=4)
    model = FittedIals(model.items, model.weights, model.item_factors, flat)
    assert model.score(longer) == pytest.approx(model.score(short), rel=1e-3, abs=1e-4)


def test_progress_is_told_after_each_iteration(interactions: Interactions) -> None:
    told: list[tuple[int, int]] = []
    Ials(factors=4, iterations=3).fit(interactions, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize(
    "parameters",
    [{"factors": 0}, {"unobserved": 0}, {"regularization": -1}, {"frequency": 3}, {"iterations": 1.5}],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict) -> None:
    with pytest.raises(InvalidModel, match=next(iter(parameters))):
        Ials(**parameters)
