"""The redemption benchmark on the shipped data."""

import json
from pathlib import Path

import pytest

from benchmarks.redemptions import CUT, DATA, SERVED, main, records_of
from examples.complete_journey.tables import read_complete_journey
from training.redemptions import redemption_queries


def test_the_figures_are_written_and_als_beats_popularity(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "redemptions.json"
    assert main(["--json", str(path)]) == 0
    figures = json.loads(path.read_text())
    assert figures["ratios"]["ndcg10_als_vs_popularity"] > 1
    assert figures["ratios"]["ndcg10_als_vs_best_popularity"] > 1
    served = [row for row in figures["rows"] if row["model"] == SERVED and row["protocol"] == "redemptions"]
    (ndcg,) = [row for row in served if row["metric"] == "ndcg"]
    assert figures["ratios"]["ndcg10_served"] == ndcg["mean"]
    assert ndcg["low"] < ndcg["mean"] < ndcg["high"]
    assert "ndcg10_served" in capsys.readouterr().out


def test_queries_and_candidates_are_those_of_the_published_protocol() -> None:
    queries = redemption_queries(records_of(read_complete_journey(DATA)), since=CUT)
    assert len(queries) == 427
    n_offers = [len(set(query.offer.tolist())) for query in queries]
    assert round(sum(n_offers) / len(n_offers)) == 229
