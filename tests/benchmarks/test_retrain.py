"""The retraining benchmark on the shipped data, in one short round."""

import json
from pathlib import Path

import pytest

from benchmarks.retrain import RECIPES, main


def test_it_prints_and_writes_warm_beside_cold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "retrain.json"
    assert main(["--json", str(path), "--rounds", "1", "--budget", "1"]) == 0
    figures = json.loads(path.read_text())
    assert {(row["recipe"], row["way"]) for row in figures["rows"]} == {
        *((name, way) for name in RECIPES for way in ("cold", "warm")),
        ("auto", "search and fit"),
        ("auto", "warm"),
    }
    for name in RECIPES:
        assert figures["ratios"][f"{name.replace(' ', '')}_ndcg_warm_vs_cold"] == pytest.approx(1, abs=0.1)
    assert "warm_vs_cold" in capsys.readouterr().out
