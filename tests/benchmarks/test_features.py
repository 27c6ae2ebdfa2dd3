"""The benchmark of features, small: that it measures what it says."""

import json
from pathlib import Path

import duckdb
import pytest

from benchmarks.features import DUCKDB, OURS, main, write_events


def test_both_ways_count_the_same_cells_and_the_ratio_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "features.json"
    # So few that no consumer is above the cap, which only we have.
    assert main(["--events", "2000", "--rounds", "1", "--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    ours, theirs = figures["rows"]
    assert (ours["way"], theirs["way"]) == (OURS, DUCKDB)
    assert ours["n_cells"] == theirs["n_cells"] > 1000
    assert figures["ratios"]["features_vs_duckdb"] == ours["seconds"] / theirs["seconds"]
    assert figures["peak_bytes"] == ours["peak_bytes"] > 0
    assert "features_vs_duckdb" in capsys.readouterr().out


def test_the_events_are_the_same_every_time(tmp_path: Path) -> None:
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    write_events(one, 500)
    write_events(two, 500)
    with duckdb.connect() as connection:
        kinds = connection.sql(f"SELECT count(*), count(DISTINCT kind) FROM '{one}'").fetchone()
    assert one.read_bytes() == two.read_bytes()
    assert kinds == (500, 3)


def test_no_events_are_refused() -> None:
    with pytest.raises(SystemExit):
        main(["--events", "0"])
