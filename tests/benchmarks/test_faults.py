"""The benchmark of faults, small: that it would see what it looks for."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from benchmarks.faults import IMPORT, main
from benchmarks.killed_imports import make_files
from benchmarks.numbered import Count, compare, with_replays, write_file
from storage.imports import import_activity

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def take_in(database, *paths):
    return import_activity(database, paths, source="vendor", legal_basis="contract", now=NOW)


def test_imports_are_killed_and_the_figures_written(tmp_path, capsys):
    path = tmp_path / "faults.json"
    assert main(["--only", IMPORT, "--kills", "1", "--events", "600", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    (row,) = figures["rows"]
    assert (row["kills"], row["lost"], row["doubled"]) == (1, 0, 0)
    assert row["stored"] == row["distinct"] > 200
    assert row["quarantined"] > 0
    assert figures["ratios"] == {"import_stored_vs_distinct": 1.0}
    assert figures["machine"]["cores"] >= 1
    assert "import_stored_vs_distinct" in capsys.readouterr().out


def test_the_expected_counts_are_those_of_one_import(database, tmp_path):
    files = make_files(tmp_path, np.random.default_rng(1), n_rows=1_200)
    report = take_in(database, *files.paths)
    assert report.read == files.n_rows == 1_200
    assert report.quarantined == len(files.quarantined) > 0
    assert compare(database, files.expected) == Count(report.stored, lost=0, doubled=0)


def test_an_event_that_is_missing_and_one_that_is_there_again_are_counted(database, tmp_path):
    write_file(tmp_path / "with.jsonl", np.arange(10))
    write_file(tmp_path / "without.jsonl", np.array([3]), with_ids=False)
    take_in(database, tmp_path / "with.jsonl", tmp_path / "without.jsonl")
    assert compare(database, np.ones(12, dtype=np.int64)) == Count(stored=11, lost=2, doubled=1)


def test_an_event_that_is_stored_otherwise_than_it_was_sent_is_told(database, tmp_path):
    write_file(tmp_path / "events.csv", np.arange(3))
    take_in(database, tmp_path / "events.csv")
    with database.connection() as connection:
        connection.execute("UPDATE activity SET item_id = 'another' WHERE event_id = 'e1'")
    with pytest.raises(RuntimeError, match=r"event 1 .*'item-31'.*'another'"):
        compare(database, np.ones(3, dtype=np.int64))


def test_three_of_ten_rows_are_replays():
    rows = with_replays(np.random.default_rng(2), 5, 1_000)
    assert len(rows) == 1_000
    assert sorted(set(rows.tolist())) == list(range(5, 705))
