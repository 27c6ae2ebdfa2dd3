"""The regression beside ordinary least squares, column by column, in float64."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import sparse

from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models import ridge
from models.errors import InvalidModel
from models.ridge import Ridge

N_CONSUMERS, N_ITEMS = 80, 12
WEIGHTS = InteractionWeights(page_view=0.5, product_review=0.7, purchase=1)


def interactions_of(*kinds: str) -> Interactions:
    generator = np.random.default_rng(4)
    cells = {}
    for kind in KINDS:
        drawn = generator.integers(1, 4, size=(N_CONSUMERS, N_ITEMS))
        drawn *= generator.random((N_CONSUMERS, N_ITEMS)) < 0.25
        cells[kind] = sparse.csr_matrix(drawn * (kind in kinds), dtype=np.float32)
    return Interactions(
        consumers=ConsumerIds(f"c{row:02}" for row in range(N_CONSUMERS)),
        items=ItemIds({"site": [f"i{column:02}" for column in range(N_ITEMS)]}),
        by_kind=cells,
        as_of=None,
        weights=WEIGHTS,
    )


def dense(interactions: Interactions, row: float) -> tuple[list[NDArray[np.float64]], NDArray[np.float64]]:
    """Each kind weighed, and all of them together; rows scaled alike."""
    by_kind = [
        interactions.by_kind[kind].toarray() * w for kind, w in zip(KINDS, WEIGHTS.by_kind, strict=True)
    ]
    total = np.sum(by_kind, axis=0)
    length = np.linalg.norm(total, axis=1, keepdims=True)
    scale = np.where(length > 0, np.maximum(length, 1e-9) ** -row, 0)
    return [scale * one for one in by_kind], scale * total


def test_without_own_kinds_and_with_its_confidence_as_target_it_is_ease() -> None:
    interactions = interactions_of("purchase")
    bought = interactions.by_kind["purchase"].toarray().astype(np.float64)
    interactions.by_kind["purchase"].data[:] = 1
    x = (bought > 0).astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 5 * np.eye(N_ITEMS))
    ease = -inverse / np.diag(inverse)
    np.fill_diagonal(ease, 0)
    model = Ridge(regularization=5, row=0, kept=N_ITEMS).fit(interactions)
    np.testing.assert_allclose(model.matrix.toarray(), ease, rtol=1e-3, atol=1e-5)
    assert not model.own.any()


@pytest.mark.parametrize("row", [0.0, 0.5])
def test_every_column_solves_its_own_regression(row: float) -> None:
    interactions = interactions_of(*KINDS)
    by_kind, features = dense(interactions, row)
    target = (interactions.by_kind["purchase"].toarray() > 0) + 0.25 * (
        interactions.by_kind["page_view"].toarray() > 0
    )
    # So strong a pull towards the overall weights that these can be had from one regression more.
    made = Ridge(regularization=5, own=1e-3, row=row, page_view=0.25, kept=N_ITEMS).fit(interactions)
    for item in range(N_ITEMS):
        others = np.delete(np.arange(N_ITEMS), item)
        x = np.column_stack([features[:, others], by_kind[0][:, item], by_kind[1][:, item]])
        penalty = np.diag([5.0] * len(others) + [0.0, 0.0])
        solved = np.linalg.solve(x.T @ x + penalty, x.T @ target[:, item])
        column = made.matrix.toarray()[:, item]
        assert column[others] == pytest.approx(solved[: len(others)], rel=2e-2, abs=2e-3)
        assert made.own[:, item] == pytest.approx([*solved[len(others) :], 0], rel=2e-2, abs=2e-3)


def test_strong_regularization_draws_own_weights_to_what_they_are_over_all_items() -> None:
    own = Ridge(regularization=5, own=1e6, row=0, kept=N_ITEMS).fit(interactions_of(*KINDS)).own
    assert np.ptp(own, axis=1).max() < 1e-3


def test_a_score_is_the_regressions_answer_for_the_history() -> None:
    interactions = interactions_of(*KINDS)
    model = Ridge(regularization=5, own=3, row=0.5, kept=N_ITEMS).fit(interactions)
    by_kind, features = dense(interactions, 0.5)
    expected = features @ model.matrix.toarray() + sum(
        cells * own for cells, own in zip(by_kind, model.own, strict=True)
    )
    for consumer in range(0, N_CONSUMERS, 9):
        if len(interactions.row(consumer)):
            assert model.score(interactions.row(consumer)) == pytest.approx(
                expected[consumer], rel=1e-4, abs=1e-5
            )


def test_too_many_items_are_refused_before_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "LARGEST_CATALOGUE", 11)
    with pytest.raises(InvalidModel, match="12 items are too many to regress on; up to 11"):
        Ridge().fit(interactions_of("purchase"))


@pytest.mark.parametrize(
    "parameters",
    [{"regularization": 0}, {"own": -1}, {"row": -1}, {"kept": 0}, {"purchase": 0}],
    ids=str,
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict) -> None:
    with pytest.raises(InvalidModel, match=next(iter(parameters))):
        Ridge(**parameters)


def test_a_discount_divides_scores_by_how_many_consumers_an_item_has() -> None:
    interactions = interactions_of(*KINDS)
    plain = Ridge(regularization=5, own=3, kept=N_ITEMS).fit(interactions)
    discounted = Ridge(regularization=5, own=3, kept=N_ITEMS, discount=0.5).fit(interactions)
    total = sum(interactions.by_kind[kind].toarray() for kind in KINDS)
    consumers = np.count_nonzero(total, axis=0)
    expected = (consumers / consumers.mean()) ** -0.5
    np.testing.assert_allclose(discounted.matrix.toarray(), plain.matrix.toarray() * expected, rtol=1e-5)
    np.testing.assert_allclose(discounted.own, plain.own * expected, rtol=1e-5)
