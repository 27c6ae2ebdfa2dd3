"""The next snapshot: only what changed is exported again, and nothing that may not be used stays in it."""

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.errors import SnapshotNotWritten
from features.interactions import build_interactions
from features.snapshot import Snapshot, open_snapshot, take_snapshot
from storage.activity import append_events
from storage.consumers import erase, link_identifier
from storage.database import Connection, Database
from storage.events import ActivityEvent
from storage.sources import register_source

AT = datetime(2026, 3, 10, 12, tzinfo=UTC)
FIRST_DAY, SECOND_DAY = "2026-03-01.parquet", "2026-03-02.parquet"


def store(connection: Connection, identifier: str, event_id: str, *, day: str, source: str = "shop") -> None:
    one = ActivityEvent(
        namespace="site:books",
        identifier=identifier,
        site_id="books",
        event_id=event_id,
        kind="purchase",
        item_id=event_id,
        source_id=source,
        same_site=True,
        cross_site=True,
        occurred_at=AT,
    )
    append_events(connection, [one])
    connection.execute(
        "UPDATE activity SET received_at = %s::timestamptz WHERE event_id = %s", (f"{day} 10:00+00", event_id)
    )


@pytest.fixture
def filled(database: Database) -> Database:
    with database.connection() as connection:
        for source in ("shop", "vendor"):
            register_source(connection, source)
        store(connection, "ada", "1", day="2026-03-01")
        store(connection, "bob", "2", day="2026-03-02")
        store(connection, "eve", "3", day="2026-03-02", source="vendor")
    return database


def inodes(snapshot: Snapshot) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in snapshot.activity.iterdir()}


def items(snapshot: Snapshot) -> list[str]:
    return sorted(pq.read_table(snapshot.activity)["item_id"].to_pylist())


def test_what_did_not_change_is_shared_with_the_snapshot_before(filled: Database, tmp_path: Path) -> None:
    before = take_snapshot(filled, tmp_path)
    with filled.connection() as connection:
        store(connection, "ada", "4", day="2026-03-03")
    after = take_snapshot(filled, tmp_path)
    assert {name: inodes(after)[name] for name in inodes(before)} == inodes(before)
    assert items(before) == ["1", "2", "3"]
    assert items(after) == ["1", "2", "3", "4"]


def test_the_manifest_tells_window_counts_and_digest(filled: Database, tmp_path: Path) -> None:
    manifest = take_snapshot(filled, tmp_path).manifest
    assert manifest["window"] == [AT.isoformat()] * 2
    assert manifest["counts"]["activity"] == 3
    assert len(manifest["digest"]) == 64


def late_event(connection: Connection) -> None:
    store(connection, "zoe", "late", day="2026-03-02")


def erasure(connection: Connection) -> None:
    (row,) = connection.execute("SELECT consumer_id FROM identifier WHERE identifier = 'bob'").fetchall()
    erase(connection, row[0])


def link(connection: Connection) -> None:
    link_identifier(connection, "site:books", "bob", consumer_id="ada")


def withdrawal(connection: Connection) -> None:
    connection.execute("UPDATE source SET withdrawn_at = now() WHERE source_id = 'vendor'")


def withdrawn_consent(connection: Connection) -> None:
    connection.execute("UPDATE activity SET cross_site = false WHERE event_id = '2'")


@pytest.mark.parametrize("change", [late_event, erasure, link, withdrawal, withdrawn_consent])
def test_a_part_that_anything_changed_in_is_exported_again_and_only_that(
    filled: Database, tmp_path: Path, change: Callable[[Connection], None]
) -> None:
    before = take_snapshot(filled, tmp_path / "kept")
    with filled.connection() as connection:
        change(connection)
    after = take_snapshot(filled, tmp_path / "kept")
    assert inodes(after)[FIRST_DAY] == inodes(before)[FIRST_DAY]
    assert inodes(after)[SECOND_DAY] != inodes(before)[SECOND_DAY]
    anew = take_snapshot(filled, tmp_path / "anew")
    assert pq.read_table(after.activity).equals(pq.read_table(anew.activity))
    assert not pq.read_table(after.activity).equals(pq.read_table(before.activity))


def test_a_damaged_snapshot_is_not_built_upon(filled: Database, tmp_path: Path) -> None:
    before = take_snapshot(filled, tmp_path)
    (before.activity / FIRST_DAY).write_bytes(b"something else")
    assert items(take_snapshot(filled, tmp_path)) == ["1", "2", "3"]


def test_a_snapshot_opened_again_gives_the_same_matrices(filled: Database, tmp_path: Path) -> None:
    snapshot = take_snapshot(filled, tmp_path)
    first = build_interactions(snapshot).digest
    with filled.connection() as connection:
        erasure(connection)
    take_snapshot(filled, tmp_path)
    assert build_interactions(open_snapshot(snapshot.path)).digest == first


def test_two_snapshots_of_the_same_content_say_so(filled: Database, tmp_path: Path) -> None:
    first, second = (take_snapshot(filled, tmp_path) for _ in range(2))
    assert first.digest != second.digest
    assert first.content_digest == second.content_digest
    with filled.connection() as connection:
        late_event(connection)
    assert take_snapshot(filled, tmp_path).content_digest != first.content_digest


@contextmanager
def small_files() -> Iterator[None]:
    """No file may grow above 500 bytes, as on a disk that is full; keep it off pytest's own output."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_says_so_and_leaves_the_old_snapshot_whole(filled: Database, tmp_path: Path) -> None:
    before = take_snapshot(filled, tmp_path)
    with filled.connection() as connection:
        late_event(connection)
    with (
        pytest.raises(SnapshotNotWritten, match=f"no room .*{os.strerror(errno.EFBIG)}"),
        small_files(),
    ):
        take_snapshot(filled, tmp_path)
    assert list(tmp_path.iterdir()) == [before.path]
    assert open_snapshot(before.path).manifest == before.manifest
