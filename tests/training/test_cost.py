"""What a decision costs is measured on real histories."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from features.interactions import build_interactions
from features.weights import InteractionWeights
from models.als import Als
from models.pooling import Pooling
from models.popularity import Popularity
from training.cost import decision_us, folder_bytes


def activity() -> pa.Table:
    return pa.Table.from_pylist(
        [
            {
                "consumer_id": f"c{consumer:02}",
                "site_id": "books",
                "item_id": f"i{(7 * consumer + 3 * item) % 400:03}",
                "kind": "page_view" if consumer == 0 else "purchase",
                "occurred_at": datetime(2026, 1, 1, tzinfo=UTC),
            }
            for consumer in range(50)
            for item in range(30)
        ]
    )


def test_a_decision_costs_time_however_few_consumers_there_are() -> None:
    interactions = build_interactions(activity())
    model = Als(factors=8, iterations=2).fit(interactions)
    assert decision_us(model, Pooling(), interactions, n_promotions=1000, n_histories=60) > 0


def test_consumers_without_a_usable_history_are_decided_for_by_the_prior() -> None:
    views_only = activity().filter(pa.compute.equal(activity()["consumer_id"], "c00"))
    interactions = build_interactions(views_only, InteractionWeights(page_view=0))
    assert decision_us(Popularity().fit(interactions), Pooling(), interactions, n_promotions=10) > 0


def test_a_folder_is_as_large_as_its_files(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a").write_bytes(b"12345")
    (tmp_path / "b").write_bytes(b"123")
    assert folder_bytes(tmp_path) == 8
