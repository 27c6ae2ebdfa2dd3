"""Many histories are read and scored together as each of them alone."""

import numpy as np
import pytest

from features.history import HistoryVector
from features.history_block import HistoryBlock
from models.als import Als
from models.block import read_block, readable
from models.errors import EmptyHistory
from models.ials import Ials
from models.recommender import FittedRecommender
from tests.models.test_contract import N_ITEMS, RECOMMENDERS, checkerboard

MODELS = {
    **RECOMMENDERS,
    # Histories longer and shorter than half of the factors are solved in different ways.
    "als of many factors": lambda: Als(factors=9, regularization=0.1, iterations=3),
    "ials of many factors": lambda: Ials(factors=9, iterations=3),
}


@pytest.fixture(scope="module", params=sorted(MODELS))
def model(request: pytest.FixtureRequest) -> FittedRecommender:
    return MODELS[request.param]().fit(checkerboard())


def histories() -> list[HistoryVector]:
    """Of all lengths, some entries without any confidence, some histories without anything else."""
    random = np.random.default_rng(0)
    made = []
    for size in [0, 1, 1, *range(N_ITEMS + 1), 3, 3, 3]:
        items = np.sort(random.choice(N_ITEMS, size, replace=False)).astype(np.int32)
        by_kind = random.integers(0, 3, size=(3, size)).astype(np.float32)
        made.append(HistoryVector(items, by_kind))
    views = np.zeros((3, 2), dtype=np.float32)
    return [*made, HistoryVector(np.array([1, 4], dtype=np.int32), views)]


def is_readable(model: FittedRecommender, history: HistoryVector) -> bool:
    try:
        model.read(history)
    except EmptyHistory:
        return False
    return True


def test_a_block_scores_like_each_history_alone(model: FittedRecommender) -> None:
    every = histories()
    block = HistoryBlock.of(every)
    rows = readable(model, block)
    assert rows.tolist() == [is_readable(model, one) for one in every]
    read = read_block(model, block.take(rows))
    alone = [model.read(one) for one, can in zip(every, rows, strict=True) if can]
    for within in (slice(0, N_ITEMS), slice(2, 7)):
        for some in (slice(0, len(alone)), slice(3, 4), slice(5, 9)):
            expected = np.stack([one.score(within) for one in alone[some]])
            assert read.score(some, within) == pytest.approx(expected, rel=1e-4, abs=1e-5)
