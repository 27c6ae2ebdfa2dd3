import json

import pyarrow.compute as pc

from benchmarks.ingest import main, make_events
from benchmarks.ingest_http import BATCHES, NOOP, SINGLE


def test_the_figures_are_written_with_the_ratio_that_is_promised(tmp_path, capsys):
    figures = tmp_path / "ingest.json"
    options = {"--rows": 500, "--repeats": 1, "--sent": 300, "--single": 50, "--rounds": 1}
    given = [str(part) for option in options.items() for part in option]
    assert main([*given, "--json", str(figures)]) == 0
    written = json.loads(figures.read_text())
    for ratio in ("import_vs_copy", "ingest_vs_insert", "single_event_vs_mounted_noop"):
        assert written["ratios"][ratio] > 0
    assert {row["what"] for row in written["rows"]} >= {"copy, same keys", "parquet", BATCHES, SINGLE, NOOP}
    assert "import_vs_copy" in capsys.readouterr().out


def test_every_event_of_the_benchmark_is_another():
    events = make_events(1000, random_state=1)
    assert pc.count_distinct(events["event_id"]).as_py() == len(events) == 1000
