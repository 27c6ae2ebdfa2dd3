import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.activity import get_quarantined, list_quarantine
from storage.errors import UnknownQuarantineRow
from storage.events import ALIASES
from storage.imports import import_activity, import_items
from storage.replay import replay_quarantine

NOW = datetime(2026, 6, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=30)
GOOD = {"consumer_id": "ann", "site_id": "books", "kind": "page_view", "item_id": "b1"}
EARLY = {**GOOD, "occurred_at": "2026-06-20T00:00:00Z"}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def take_in(database, path, *, now=NOW):
    report = import_activity(database, [path], source="vendor", legal_basis="contract", now=now)
    return report.stored, report.duplicate, report.quarantined


def replay(database, **options):
    report = replay_quarantine(database, **{"now": LATER, **options})
    return report.stored, report.duplicate, report.quarantined


def rows_of(database, table="activity"):
    with database.connection() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_a_row_that_is_good_by_now_is_stored_once_and_leaves_quarantine(database, tmp_path):
    path = write(tmp_path / "e.jsonl", GOOD, EARLY, {**GOOD, "kind": "stare"})
    assert take_in(database, path) == (1, 0, 2)
    assert replay(database, now=NOW) == (0, 0, 2)
    assert replay(database) == (1, 0, 1)
    assert replay(database) == (0, 0, 1)
    assert rows_of(database) == 2
    with database.connection() as connection:
        [left] = list_quarantine(connection)
    assert "stare" in left.reason


def test_the_file_imported_again_after_a_replay_adds_nothing(database, tmp_path):
    path = write(tmp_path / "e.jsonl", EARLY, EARLY, GOOD)
    take_in(database, path)
    assert replay(database) == (2, 0, 0)
    assert take_in(database, path, now=LATER) == (0, 3, 0)


def test_a_row_that_came_in_by_another_way_meanwhile_is_a_duplicate(database, tmp_path):
    path = write(tmp_path / "e.jsonl", EARLY)
    take_in(database, path)
    assert take_in(database, path, now=LATER) == (1, 0, 0)
    assert replay(database) == (0, 1, 0)
    assert rows_of(database) == 1
    assert rows_of(database, "quarantine") == 0


def test_a_word_that_the_code_learned_counts(database, tmp_path, monkeypatch):
    path = write(tmp_path / "e.jsonl", {**GOOD, "kind": "stare", "event_id": "e1"})
    take_in(database, path)
    monkeypatch.setitem(ALIASES, "stare", "page_view")
    assert replay(database) == (1, 0, 0)


def test_only_the_source_that_is_named_is_replayed(database, tmp_path):
    take_in(database, write(tmp_path / "e.jsonl", EARLY))
    assert replay(database, source="another") == (0, 0, 0)
    assert replay(database, source="vendor") == (1, 0, 0)


def test_rows_without_their_content_stay(database, tmp_path):
    path = write(tmp_path / "e.jsonl", EARLY)
    path.write_text(path.read_text() + '["no", "object"]\n{"cut": \n')
    import_activity(database, [path], source="nobody", now=NOW)
    assert replay(database) == (0, 0, 2)
    assert rows_of(database, "quarantine") == 3


def test_values_that_json_cannot_hold_do_not_become_good_in_quarantine(database, tmp_path):
    path = tmp_path / "e.parquet"
    rows = [{**GOOD, "item_id": b"raw", "occurred_at": datetime(2026, 6, 20, tzinfo=UTC)}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    assert take_in(database, path) == (0, 0, 1)
    assert replay(database) == (0, 0, 1)


def test_items_are_replayed_as_items(database, tmp_path, monkeypatch):
    path = write(tmp_path / "i.jsonl", {"site_id": "books", "item_id": "b1", "title": "T" * 5000})
    assert import_items(database, [path], source="shop").quarantined == 1
    monkeypatch.setattr("storage.fields.LONGEST_TEXT", 6000)
    assert replay(database) == (1, 0, 0)
    assert rows_of(database, "item") == 1


def test_one_row_is_shown_with_all_that_it_said(database, tmp_path):
    take_in(database, write(tmp_path / "e.jsonl", EARLY))
    with database.connection() as connection:
        [listed] = list_quarantine(connection)
        shown = get_quarantined(connection, listed.quarantine_id)
        assert json.loads(shown.payload) == EARLY
        with pytest.raises(UnknownQuarantineRow, match="unknown quarantined row '999'"):
            get_quarantined(connection, 999)
