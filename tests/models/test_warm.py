"""A warm fit: the recipe of before, from the factors of before."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from features.ids import ConsumerIds, ItemIds
from features.interactions import Interactions
from features.weights import KINDS, InteractionWeights
from models import warm
from models.als import Als
from models.blend import Blend, Member
from models.factors import carried_over
from models.graph import Graph
from models.ials import Ials
from models.recommender import FittedRecommender, Recommender
from models.warm import fit_warm

RECIPES: dict[str, Recommender] = {
    "als": Als(factors=8, regularization=1),
    "ials": Ials(factors=8),
    "graph": Graph(kept=5),
    "blend": Blend(
        (Member(Als(factors=8), 1.0, 1, 1, 1), Member(Graph(kept=5), 0.5, 1, 1, 1)), popularity=0.1
    ),
}


def interactions_of(n_items: int, *, first: int = 0) -> Interactions:
    """Two tastes; the items are numbered from `first` on."""
    random = np.random.default_rng(1)
    likes = (np.arange(80)[:, None] % 2) == (np.arange(n_items) % 2)
    cells = sparse.csr_matrix(likes & (random.random(likes.shape) < 0.5), dtype=np.float32)
    return Interactions(
        consumers=ConsumerIds(f"c{row:02}" for row in range(80)),
        items=ItemIds({"a": [f"i{first + column:02}" for column in range(n_items)]}),
        by_kind={kind: sparse.csr_matrix(cells * (kind == "purchase")) for kind in KINDS},
        as_of=None,
        weights=InteractionWeights(),
    )


def ranks_by_taste(model: FittedRecommender, interactions: Interactions) -> float:
    """Share of the consumers whose five best are all of their taste."""
    right = [(np.argsort(-model.score(interactions.row(row)))[:5] % 2 == row % 2).all() for row in range(80)]
    return float(np.mean(right))


@pytest.mark.parametrize("name", RECIPES)
def test_it_ranks_like_a_cold_fit_and_says_it_was_made_like_one(name: str) -> None:
    before, now = interactions_of(30), interactions_of(34)
    recipe = RECIPES[name]
    cold, warmed = recipe.fit(now), fit_warm(recipe, now, recipe.fit(before))
    assert warmed.items == now.items
    assert warmed.parameters() == cold.parameters()
    assert ranks_by_taste(warmed, now) >= ranks_by_taste(cold, now) > 0.9


def test_it_takes_fewer_iterations() -> None:
    told: list[tuple[int, int]] = []
    recipe, data = Als(factors=4), interactions_of(20)
    fit_warm(recipe, data, recipe.fit(data), progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (warm.ALS_ITERATIONS, warm.ALS_ITERATIONS)


def test_known_items_begin_where_they_were_and_new_ones_anywhere() -> None:
    model = Als(factors=4).fit(interactions_of(20))
    start = carried_over(model, interactions_of(20, first=10).items, spread=0.01, random_state=0)
    np.testing.assert_array_equal(start[:10], model.item_factors[10:])
    assert 0 < np.abs(start[10:]).max() < 0.1


def test_items_keep_their_factors_when_sites_and_items_come_and_go() -> None:
    model = Als(factors=4).fit(interactions_of(20))
    items = ItemIds({"0": ["i03"], "a": ["i02", "i99"]})
    np.testing.assert_array_equal(items.columns_in(model.items), [-1, 2, -1])
    start = carried_over(model, items, spread=0.01, random_state=0)
    np.testing.assert_array_equal(start[1], model.item_factors[2])


def test_another_recipe_is_fitted_as_always() -> None:
    data = interactions_of(20)
    other = Als(factors=4).fit(data)
    recipe = Als(factors=8)
    assert np.array_equal(
        fit_warm(recipe, data, other).arrays()["item_factors"], recipe.fit(data).item_factors
    )
    graph = Graph(kept=5)
    assert (fit_warm(graph, data, other).arrays()["values"] == graph.fit(data).matrix.data).all()


def test_a_wider_blend_than_before_begins_with_what_there_is() -> None:
    data = interactions_of(20)
    narrow = Blend((Member(Als(factors=8), 1.0, 1, 1, 1),))
    wide = replace(narrow, members=(*narrow.members, Member(Ials(factors=4), 0.3, 1, 1, 1)))
    assert len(fit_warm(wide, data, narrow.fit(data)).arrays()) == 3
