"""The graph filter beside the formula in dense numpy."""

import numpy as np
import pytest
from scipy import sparse

from features.history import HistoryVector
from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models.errors import InvalidModel
from models.graph import FittedGraph, Graph
from models.item_item import strongest

N_CONSUMERS, N_ITEMS = 60, 25


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    generator = np.random.default_rng(2)
    cells = sparse.random(N_CONSUMERS, N_ITEMS, density=0.2, format="csr", rng=generator, dtype=np.float32)
    return Interactions(
        consumers=ConsumerIds(f"c{row:02}" for row in range(N_CONSUMERS)),
        items=ItemIds({"site": [f"i{column:02}" for column in range(N_ITEMS)]}),
        by_kind={kind: sparse.csr_matrix(cells * (kind == "purchase")) for kind in KINDS},
        as_of=None,
        weights=InteractionWeights(),
    )


@pytest.mark.parametrize("exponents", [(0.7, 0.5, 0.3, 1.0), (1.0, 0.0, 1.0, 0.5)], ids=str)
def test_the_weights_are_the_formulas(
    interactions: Interactions, exponents: tuple[float, float, float, float]
) -> None:
    consumer, of_history, target, power = exponents
    x = interactions.confidence().toarray().astype(np.float64) ** power
    x[interactions.confidence().toarray() == 0] = 0
    per_consumer, per_item = np.maximum((x > 0).sum(axis=1), 1), np.maximum((x > 0).sum(axis=0), 1)
    expected = x.T @ (x / per_consumer[:, None] ** consumer) / per_item**target
    expected /= per_item[:, None] ** of_history
    np.fill_diagonal(expected, 0)
    made_with = Graph(consumer=consumer, history=of_history, target=target, power=power, kept=N_ITEMS)
    model = made_with.fit(interactions)
    np.testing.assert_allclose(model.matrix.toarray(), expected, rtol=1e-5)
    history = interactions.row(3)
    raised = history.confidence(model.weights).astype(np.float64) ** power
    assert model.score(history) == pytest.approx(raised @ expected[history.item_index], rel=1e-4)


def test_the_low_pass_filter_is_the_formulas(interactions: Interactions) -> None:
    x = interactions.confidence().toarray().astype(np.float64)
    per_consumer, per_item = np.maximum((x > 0).sum(axis=1), 1), np.maximum((x > 0).sum(axis=0), 1)
    _, _, vectors = np.linalg.svd(x / np.sqrt(per_consumer)[:, None] / np.sqrt(per_item))
    ideal = vectors[: N_ITEMS - 1].T @ vectors[: N_ITEMS - 1]
    low_pass = ideal / np.sqrt(per_item)[:, None] * np.sqrt(per_item)
    np.fill_diagonal(low_pass, 0)
    plain, both = (
        Graph(low_pass=share, vectors=N_ITEMS - 1, kept=N_ITEMS).fit(interactions).matrix.toarray()
        for share in (0, 0.3)
    )
    np.testing.assert_allclose(both - plain, 0.3 * low_pass, atol=1e-3)


def test_only_the_strongest_weights_of_a_row_are_kept(interactions: Interactions) -> None:
    everything = Graph(kept=N_ITEMS).fit(interactions).matrix.toarray()
    few = Graph(kept=3).fit(interactions).matrix.toarray()
    for whole, kept in zip(everything, few, strict=True):
        best = np.argsort(-whole)[:3]
        assert set(np.flatnonzero(kept)) <= set(best)
        np.testing.assert_array_equal(kept[best], whole[best])


def test_the_strongest_are_those_of_the_greatest_size() -> None:
    kept = strongest(np.array([[1, -3, 2, 0], [0, 0, 0, 5]], dtype=np.float32), 2)
    np.testing.assert_array_equal(kept.toarray(), [[0, -3, 2, 0], [0, 0, 0, 5]])
    assert kept.nnz == 3


@pytest.mark.parametrize(
    "parameters", [{"kept": 0}, {"target": -1}, {"consumer": 3}, {"power": True}], ids=str
)
def test_parameters_that_make_no_sense_are_refused(parameters: dict) -> None:
    with pytest.raises(InvalidModel, match=next(iter(parameters))):
        Graph(**parameters)


def test_a_history_takes_its_rows_out_of_the_matrix() -> None:
    generator = np.random.default_rng(3)
    dense = generator.random((40, 40), dtype=np.float32) * (generator.random((40, 40)) < 0.2)
    dense[[0, 7, 8, 39]] = 0
    items = ItemIds({"a": [f"{n:02}" for n in range(15)], "b": [f"{n:02}" for n in range(25)]})
    own = generator.random((len(KINDS), 40)).astype(np.float32)
    for index in ([0], [39], [7, 8], [0, 5, 6, 7, 20, 38, 39], list(range(40))):
        by_kind = generator.random((len(KINDS), len(index))).astype(np.float32)
        history = HistoryVector(np.array(index, dtype=np.int32), by_kind)
        for said in (np.zeros_like(own), own):
            model = FittedGraph(items, InteractionWeights(), sparse.csr_matrix(dense), said, Graph())
            reading = model.read(history)
            confidence = history.confidence(model.weights)
            itself = (said[:, index] * model.weights.by_kind[:, np.newaxis] * by_kind).sum(axis=0)
            expected = confidence @ dense[index]
            expected[index] += itself
            for part in (slice(None), slice(15, 40), slice(3, 9), slice(4, 4)):
                assert reading.score(part) == pytest.approx(expected[part], rel=1e-5, abs=1e-6)
            for column in (0, 20, 39):
                given = confidence * dense[index, column] + np.where(np.array(index) == column, itself, 0)
                assert reading.explain(column) == pytest.approx(given, rel=1e-5, abs=1e-6)
