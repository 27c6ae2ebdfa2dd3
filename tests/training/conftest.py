"""A little network where two tastes are easy to tell apart, in a real database."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.interactions import Interactions
from features.snapshot import Snapshot, take_snapshot
from models.popularity import FittedPopularity
from models.recommender import FittedRecommender
from storage.database import Database
from storage.imports import import_activity, import_promotions
from storage.settings import Settings
from training.evaluate import rank_items, summarise_items
from training.redemptions import PromotionRecords, ask_redemptions, summarise_redemptions
from training.results import Result
from training.split import Split

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
TASTES = ("even", "odd")
N_CONSUMERS = 24
N_ITEMS = 10


def taste_of(number: int) -> str:
    return TASTES[number % 2]


def small_activity() -> pa.Table:
    """Each consumer buys, day by day, items of their taste on both sites; odd items are for odd consumers."""
    rows = []
    for number in range(N_CONSUMERS):
        for day in range(N_ITEMS):
            item = (day * 2 + (number % 2) + 2 * number) % (2 * N_ITEMS)
            rows.append(
                {
                    "consumer_id": f"c{number:02}",
                    "site_id": "books" if day % 2 else "garden",
                    "item_id": f"i{item:02}",
                    "kind": "purchase",
                    "occurred_at": START + timedelta(days=day, minutes=number),
                }
            )
    return pa.Table.from_pylist(rows)


def small_promotions() -> pa.Table:
    """One promotion a taste, live all the time."""
    return pa.Table.from_pylist(
        [
            {
                "promotion_id": taste,
                "title": f"{taste} things",
                "sites": ["books", "garden"],
                "items": [
                    {"site_id": site_id, "item_id": f"i{item:02}"}
                    for site_id in ("books", "garden")
                    for item in range(2 * N_ITEMS)
                    if taste_of(item) == taste
                ],
                "starts_at": START - timedelta(days=1),
                "ends_at": START + timedelta(days=400),
            }
            for taste in TASTES
        ]
    )


def small_outcomes() -> pa.Table:
    """Every consumer takes up a promotion of their taste on each of the last days."""
    return pa.Table.from_pylist(
        [
            {
                "consumer_id": f"c{number:02}",
                "site_id": "books",
                "kind": "promotion_conversion",
                "promotion_id": taste_of(number),
                "occurred_at": START + timedelta(days=day, minutes=number),
            }
            for number in range(N_CONSUMERS)
            for day in (7, 8, 9)
        ]
    )


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests of this package: MLflow takes seconds to make its tables."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def settings(home: Path, database_url: str) -> Settings:
    return Settings(home=home, database_url=database_url)


@pytest.fixture
def filled(database: Database, tmp_path: Path) -> Database:
    """A database with the little network in it."""
    tables = {
        "activity": small_activity(),
        "outcomes": small_outcomes(),
        "promotions": small_promotions(),
    }
    for name, table in tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
    import_promotions(database, [tmp_path / "promotions.parquet"], source="test")
    files = [tmp_path / "activity.parquet", tmp_path / "outcomes.parquet"]
    import_activity(database, files, source="test", legal_basis="contract", now=START + timedelta(days=30))
    return database


@pytest.fixture
def snapshot(filled: Database, tmp_path: Path) -> Snapshot:
    return take_snapshot(filled, tmp_path / "snapshots")


def evaluate_items(
    models: list[FittedRecommender], interactions: Interactions, split: Split, *, popularity: FittedPopularity
) -> list[Result]:
    """What a training measures of items."""
    rankings, queries = rank_items(models, interactions, split, popularity=popularity)
    return summarise_items(rankings, queries, protocol=split.protocol, interactions=interactions)


def evaluate_redemptions(
    models: list[FittedRecommender], interactions: Interactions, records: PromotionRecords, **how: Any
) -> list[Result]:
    """What a training measures of promotions."""
    asked = ask_redemptions(models, interactions, records, **how)
    return [result for one in asked for result in summarise_redemptions(one, interactions)]
