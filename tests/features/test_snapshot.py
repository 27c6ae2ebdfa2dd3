"""Storage becomes a snapshot, and serving's view of a consumer equals the pipeline's row."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.errors import SnapshotRefused
from features.history import history_vector
from features.interactions import build_interactions
from features.snapshot import Snapshot, open_snapshot, take_snapshot
from features.weights import InteractionWeights
from storage.activity import append_events
from storage.database import Database
from storage.events import ActivityEvent
from storage.reader import ConsumerReader, ConsumerRecord, Wanted

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
TABLES = ("activity", "items", "promotions", "coverage", "promotion_sites", "audience")


def event(
    identifier: str, event_id: str, *, item_id: str = "1", days_ago: float | None = 0, **more: object
) -> ActivityEvent:
    told: dict[str, object] = {
        "namespace": "network",
        "site_id": "books",
        "kind": "purchase",
        "source_id": "test",
        "same_site": True,
        "cross_site": True,
        "occurred_at": None if days_ago is None else NOW - timedelta(days=days_ago),
    }
    return ActivityEvent(identifier=identifier, event_id=event_id, item_id=item_id, **{**told, **more})


def store(database: Database, *events: ActivityEvent) -> None:
    with database.connection() as connection:
        append_events(connection, events)


def read_as_serving(database: Database, consumers: Sequence[str], *, limit: int) -> list[ConsumerRecord]:
    async def read() -> list[ConsumerRecord]:
        reader = ConsumerReader()
        await reader.open(database.url)
        try:
            return [await reader.read_consumer(Wanted(one, "books"), limit=limit) for one in consumers]
        finally:
            await reader.close()

    return asyncio.run(read())


def column(path: Path, name: str) -> list[object]:
    return list(pq.read_table(path)[name].to_pylist())


def test_an_empty_storage_gives_a_whole_snapshot(database: Database, tmp_path: Path) -> None:
    snapshot = take_snapshot(database, tmp_path)
    assert [pq.read_table(getattr(snapshot, table)).num_rows for table in TABLES] == [0] * len(TABLES)
    assert open_snapshot(snapshot.path).manifest == snapshot.manifest


def test_only_activity_with_consent_across_sites_is_taken(database: Database, tmp_path: Path) -> None:
    store(database, event("ada", "1"), event("ada", "2", cross_site=False))
    assert column(take_snapshot(database, tmp_path).activity, "event_id") == ["1"]


def test_awkward_texts_and_times_survive(database: Database, tmp_path: Path) -> None:
    texts = ['he said "hi"', "a,b", "two\nlines", "ünï — 𝄞", "\\N", "NULL"]
    time = datetime(2026, 3, 9, 23, 59, 59, 999_999, tzinfo=UTC)
    store(database, *(event("ada", text, item_id=text, occurred_at=time) for text in texts))
    store(database, event("bob", "timeless", days_ago=None))
    snapshot = take_snapshot(database, tmp_path)
    assert set(column(snapshot.activity, "item_id")) == {*texts, "1"}
    assert column(snapshot.activity, "occurred_at") == [time] * len(texts) + [None]


def test_a_snapshot_of_an_earlier_moment_leaves_later_events_out(database: Database, tmp_path: Path) -> None:
    store(database, event("ada", "new"), event("ada", "old", days_ago=3), event("ada", "any", days_ago=None))
    snapshot = take_snapshot(database, tmp_path, as_of=NOW - timedelta(days=1))
    assert column(snapshot.activity, "event_id") == ["old", "any"]
    assert snapshot.as_of == NOW - timedelta(days=1)


def test_categories_are_written_out_into_the_items_covered(database: Database, tmp_path: Path) -> None:
    with database.connection() as connection:
        for statement in (
            "INSERT INTO site (site_id, name) VALUES ('books', 'Books')",
            "INSERT INTO item (site_id, item_id, category) VALUES"
            " ('books', '1', 'tales'), ('books', '2', 'tales'), ('books', '3', 'maps')",
            "INSERT INTO promotion (promotion_id, title, digest) VALUES ('p', 'P', ''), ('q', 'Q', '')",
            "INSERT INTO promotion_site VALUES ('books', 'p')",
            "INSERT INTO promotion_item VALUES ('p', 'books', '1'), ('q', 'books', '9')",
            "INSERT INTO promotion_category VALUES ('p', 'books', 'tales')",
            "INSERT INTO audience_member VALUES ('ada', 'spring')",
        ):
            connection.execute(statement)
    snapshot = take_snapshot(database, tmp_path)
    covered = zip(
        column(snapshot.coverage, "promotion_id"), column(snapshot.coverage, "item_id"), strict=True
    )
    assert list(covered) == [("p", "1"), ("p", "2"), ("q", "9")]
    assert column(snapshot.promotion_sites, "promotion_id") == ["p"]
    assert column(snapshot.audience, "consumer_id") == ["ada"]
    assert column(snapshot.promotions, "title") == ["P", "Q"]
    assert column(snapshot.items, "category") == ["tales", "tales", "maps"]


def test_progress_is_told_table_by_table(database: Database, tmp_path: Path) -> None:
    store(database, event("ada", "1"))
    told: list[tuple[str, int]] = []
    take_snapshot(database, tmp_path, progress=lambda table, rows: told.append((table, rows)))
    assert told == [(table, int(table == "activity")) for table in TABLES]


def test_an_interrupted_snapshot_leaves_nothing_behind(database: Database, tmp_path: Path) -> None:
    def interrupt(table: str, rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        take_snapshot(database, tmp_path, progress=interrupt)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def snapshot(database: Database, tmp_path: Path) -> Snapshot:
    return take_snapshot(database, tmp_path, as_of=NOW)


def test_the_same_moment_is_the_same_snapshot(database: Database, tmp_path: Path, snapshot: Snapshot) -> None:
    assert take_snapshot(database, tmp_path, as_of=NOW).path == snapshot.path


def test_a_changed_file_is_refused(snapshot: Snapshot) -> None:
    snapshot.items.write_bytes(b"something else")
    with pytest.raises(SnapshotRefused, match="is not what was written"):
        open_snapshot(snapshot.path)


def test_a_missing_file_is_refused(snapshot: Snapshot) -> None:
    snapshot.items.unlink()
    with pytest.raises(SnapshotRefused, match="no whole snapshot"):
        open_snapshot(snapshot.path)


def test_another_format_version_is_refused(snapshot: Snapshot) -> None:
    manifest = snapshot.path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 3', '"format_version": 4'))
    with pytest.raises(SnapshotRefused, match="format version 4"):
        open_snapshot(snapshot.path)


KINDS = ("purchase", "page_view", "product_review", "promotion_view")
SITES = ("books", "Music", "éclair")


def many_events() -> list[ActivityEvent]:
    """A few consumers with every kind of tie: same time, same event id, no time, from the future."""
    ages = (None, -0.5, 0, 0, 0.5, 1, 7, 7, 40, 200)
    return [
        event(
            consumer,
            f"{number % 13}-{site_id}-{kind}",
            item_id=str(number % 5),
            days_ago=ages[(number + shift) % len(ages)],
            site_id=site_id,
            kind=kind,
            promotion_id="p" if kind == "promotion_view" else None,
            cross_site=True,
        )
        for shift, consumer in enumerate(("ada", "bob", "zoë"))
        for number in range(13)
        for site_id in SITES
        for kind in KINDS
    ]


@pytest.mark.parametrize(
    "weights",
    [
        InteractionWeights(),
        InteractionWeights(half_life_days=9.7, max_events_per_consumer=50),
        InteractionWeights(half_life_days=30, window_days=7, max_events_per_consumer=17),
        InteractionWeights(page_view=0, min_item_consumers=2, max_events_per_consumer=25),
    ],
    ids=str,
)
def test_the_vector_that_serving_makes_equals_the_pipelines_row(
    database: Database, tmp_path: Path, weights: InteractionWeights
) -> None:
    store(database, *many_events())
    # Two identifiers of one consumer, with the same event ids at the same times.
    twins = [event("eve", str(n), item_id=str(n % 3), namespace=space) for n in range(9) for space in "ab"]
    store(database, *twins)
    with database.connection() as connection:
        connection.execute("UPDATE identifier SET consumer_id = 'eve' WHERE identifier = 'eve'")
        connection.execute("INSERT INTO identifier VALUES ('network', 'eve', 'eve') ON CONFLICT DO NOTHING")
    # Taken now and looked at from earlier: some events are from the future.
    interactions = build_interactions(take_snapshot(database, tmp_path), weights, as_of=NOW)
    records = read_as_serving(database, interactions.consumers, limit=weights.max_events_per_consumer)
    assert [record.consumer_id for record in records] == ["ada", "bob", "eve", "zoë"]
    for row, record in enumerate(records):
        served = history_vector(record.events, interactions.items, weights, now=NOW)
        learned = interactions.row(row)
        assert served.item_index.tobytes() == learned.item_index.tobytes()
        assert served.by_kind.tobytes() == learned.by_kind.tobytes()
