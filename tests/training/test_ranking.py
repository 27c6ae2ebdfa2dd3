"""Scoring many consumers at once gives what each one's history gives alone."""

import numpy as np
import pytest
from scipy import sparse

from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models.als import Als
from models.blend import Blend, Member
from models.errors import EmptyHistory
from models.graph import Graph
from models.ials import Ials
from models.popularity import Popularity
from models.recommender import Recommender
from models.ridge import Ridge
from training.ranking import score_model

N_CONSUMERS = 50

MODELS = {
    "als": Als(factors=4, iterations=2),
    "ials": Ials(factors=4, iterations=2),
    "graph": Graph(power=0.5, low_pass=0.3, vectors=4, kept=9),
    "ridge": Ridge(regularization=2, kept=9),
    "popularity": Popularity(),
    "blend": Blend(
        (Member(Ridge(kept=9), 1.0, 0.1, 0.3, 1), Member(Ials(factors=4), 0.2, 0, 0, 1)), popularity=0.4
    ),
}


@pytest.fixture(scope="module")
def interactions() -> Interactions:
    generator = np.random.default_rng(9)
    by_kind = {
        kind: sparse.random(N_CONSUMERS, 30, density=0.05, format="csr", rng=generator, dtype=np.float32)
        for kind in KINDS
    }
    # One consumer only viewed, and one did nothing.
    for kind, matrix in by_kind.items():
        lil = matrix.tolil()
        lil[0] = 0
        lil[1] = 0
        if kind == "page_view":
            lil[0, 3] = 1
        by_kind[kind] = sparse.csr_matrix(lil)
    return Interactions(
        consumers=ConsumerIds(f"c{row:02}" for row in range(N_CONSUMERS)),
        items=ItemIds(
            {"a": [f"i{column:02}" for column in range(12)], "b": [f"i{column:02}" for column in range(18)]}
        ),
        by_kind=by_kind,
        as_of=None,
        weights=InteractionWeights(page_view=0.2, product_review=0.5, purchase=1),
    )


@pytest.mark.parametrize("name", MODELS)
def test_a_block_of_consumers_scores_as_each_of_them_alone(name: str, interactions: Interactions) -> None:
    unfitted: Recommender = MODELS[name]
    model = unfitted.fit(interactions)
    score = score_model(model, interactions)
    rows = np.arange(N_CONSUMERS)
    for site in (interactions.items.site_slice("a"), interactions.items.site_slice("b")):
        block = score(rows, site)
        for row in rows:
            try:
                alone = model.score(interactions.row(int(row)))[site]
            except EmptyHistory:
                assert name == "popularity" or np.isnan(block[row]).all()
                continue
            assert block[row] == pytest.approx(alone, rel=1e-4, abs=1e-5)
