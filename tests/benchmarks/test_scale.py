"""What grows in docs/scale.md, on a small scale."""

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.scale_core import LENGTH, MANY_SITES, ONE_SITE, make_counter, promotions, recall
from benchmarks.scale_network import CONSUMERS, WORKERS
from benchmarks.scale_plots import draw_scale
from benchmarks.trained import FIRST_SITE, Trained
from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.als import Als


@pytest.fixture(scope="module")
def trained():
    """Two tastes of ten items each."""
    random = np.random.default_rng(0)
    rows = [(f"c{n}", f"{n % 2}{item}") for n in range(60) for item in random.choice(10, 4, replace=False)]
    consumers, items = zip(*rows, strict=True)
    table = pa.table(
        {
            "consumer_id": consumers,
            "site_id": [FIRST_SITE] * len(rows),
            "item_id": items,
            "kind": ["page_view"] * len(rows),
        }
    )
    interactions = build_interactions(table, InteractionWeights())
    model = Als(factors=4).fit(interactions)
    cells = interactions.confidence()
    return Trained("test", model, np.split(cells.indices, cells.indptr[1:-1]))


def test_a_larger_network_has_the_items_asked_for_beside_the_trained_ones(trained):
    model = trained.network(1_000, n_sites=100)
    assert len(model.items) == 1_000 + len(trained.model.items)
    assert len(model.items.site_ids) == 101
    assert model.items.site_slice("shop-0") == slice(20, 30)


def test_a_history_is_as_long_as_it_is_to_be_and_known_to_the_model(trained):
    model = trained.network(100, n_sites=1)
    [record] = trained.records(1, n_events=50)
    assert len(record.events) == 50
    assert all(model.items.index(site, item) is not None for site, item, *_ in record.events)


def test_the_promotion_on_top_is_the_one_that_the_formula_finds(trained):
    counter = make_counter(trained.network(2_000, n_sites=1), 2_000)
    assert recall(counter, trained.records(20, n_events=8)) == 1


def test_promotions_are_measured_on_one_site_and_over_a_hundred(trained):
    rows = list(promotions(trained, [500], turns=3))
    assert [(row["axis"], row["n"]) for row in rows] == [(ONE_SITE, 500), (MANY_SITES, 500)]
    assert all(row["us"] > 0 and row["recall"] == 1 for row in rows)


def test_the_picture_is_drawn(tmp_path):
    rows = [
        {"axis": axis, "n": n, "us": 100.0, "laid_out_s": 1.0, "p99_us": 200.0, "per_second": 1000.0}
        for axis in (ONE_SITE, MANY_SITES, LENGTH, CONSUMERS, WORKERS)
        for n in (1, 10)
    ]
    draw_scale(rows, tmp_path / "scale.png")
    assert (tmp_path / "scale.png").stat().st_size > 10_000
