import json

import pyarrow.compute as pc

from benchmarks.ingest import main, make_events


def test_the_figures_are_written_with_the_ratio_that_is_promised(tmp_path, capsys):
    figures = tmp_path / "ingest.json"
    assert main(["--rows", "500", "--repeats", "1", "--json", str(figures)]) == 0
    written = json.loads(figures.read_text())
    assert written["ratios"]["import_vs_copy"] > 0
    assert {row["what"] for row in written["rows"]} >= {"copy, same keys", "parquet"}
    assert "import_vs_copy" in capsys.readouterr().out


def test_every_event_of_the_benchmark_is_another():
    events = make_events(1000, random_state=1)
    assert pc.count_distinct(events["event_id"]).as_py() == len(events) == 1000
